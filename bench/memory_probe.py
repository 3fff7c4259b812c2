"""Measures how much memory dropout takes while it works in place: run in a process of its own, prints one JSON line.

The high-water mark of the resident memory is reset before the call where Linux allows it, so that what the start of the
process took for a moment cannot hide what the call takes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _status_bytes(field: str) -> int:
    """Return one field of /proc/self/status, which the kernel writes in kB."""
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no field {field}")


def extra_bytes(mebibytes: int, p: float, threads: int) -> int:
    """Return by how much the peak resident memory exceeds the memory before an in-place dropout of so many MiB."""
    simdrop = importlib.import_module("simdrop")  # here, so that the parent process need not load it
    x = np.ones(mebibytes << 18, np.float32)
    stream = simdrop.Stream(1)
    simdrop.dropout_(x[:1024], p, rng=stream, threads=threads)  # loads the code and makes what is made once
    CLEAR_REFS.write_text("5")  # 5 resets VmHWM, see proc(5)
    before = _status_bytes("VmRSS")
    simdrop.dropout_(x, p, rng=stream, threads=threads)
    return max(0, _status_bytes("VmHWM") - before)


def probe(mebibytes: int, p: float, threads: int) -> int:
    """Run `extra_bytes` in a fresh process and return what it found."""
    command = [sys.executable, __file__, "--mib", str(mebibytes), "--p", str(p), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the memory probe failed: {done.stderr.strip()}")
    return int(json.loads(done.stdout)["extra_bytes"])


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the array in MiB")
    parser.add_argument("--p", type=float, default=0.1, help="drop probability")
    parser.add_argument("--threads", type=int, default=1, help="threads to use")
    options = parser.parse_args(words)
    print(json.dumps({"extra_bytes": extra_bytes(options.mib, options.p, options.threads)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
