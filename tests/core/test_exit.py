"""An interpreter that ends while threads work: it ends, and with the exit code that it was to have."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

WORK = """
    import os, sys, threading, time
    import numpy as np, simdrop
    x = np.ones(1 << 22, np.float32)
    stream = simdrop.Stream(1)
    began = threading.Barrier(5)
    def work():
        y = x.copy()
        began.wait()
        while True:
            simdrop.dropout_(y, 0.1, rng=stream, threads={threads})
            simdrop.Mask(y.shape, 0.3, seed=1).count_kept(threads={threads})
    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    began.wait()
    time.sleep({delay})
    {end}
"""


@pytest.mark.parametrize("threads", [1, 3, None])
@pytest.mark.parametrize(
    ("end", "code"),
    [("sys.exit(3)", 3), ("raise SystemExit", 0), ("os._exit(4)", 4), ("raise KeyError('the end')", 1), ("", 0)],
)
def test_exit_while_threads_work(threads: int | None, end: str, code: int) -> None:
    for delay in (0, 0.02):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(WORK).format(threads=threads, delay=delay, end=end)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Fatal" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(("name", "handler"), [("SIGTERM", "SIG_DFL"), ("SIGINT", "default_int_handler")])
def test_a_signal_ends_it(name: str, handler: str) -> None:
    # the handler is set because a shell's job in the background starts with SIGINT ignored
    set_handler = f"import signal; signal.signal(signal.{name}, signal.{handler})"
    end = f"{set_handler}; os.kill(os.getpid(), signal.{name}); time.sleep(30)"
    code = textwrap.dedent(WORK).format(threads=2, delay=0.01, end=end)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode < 0 or (name == "SIGINT" and "KeyboardInterrupt" in done.stderr), done.stderr
