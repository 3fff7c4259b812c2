"""Threads change nothing but the time; other Python threads run meanwhile; a forked child works."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import reference
import simdrop
from helpers import DTYPES, any_bits, assert_same_bits, together

# Not a multiple of anything, and enough that each of seven threads gets groups of its own.
N = 2**19 + 37


@pytest.fixture(autouse=True)
def _default_threads() -> Iterator[None]:
    before = simdrop.get_num_threads()
    yield
    simdrop.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.5, 0.1])
def test_the_count_does_not_change_the_result(isa: str, p: float, dtype: str) -> None:
    x = any_bits(N, dtype)
    expected = reference.dropout(x, p, seed=8)
    for threads in (1, 2, 3, 7, None):
        assert_same_bits(simdrop.dropout(x, p, rng=8, threads=threads), expected, threads)
        assert_same_bits(simdrop.dropout_(x.copy(), p, rng=8, threads=threads), expected, threads)
        strided = np.repeat(x, 2).reshape(-1, 2)[:, 0]
        assert_same_bits(simdrop.dropout_(strided, p, rng=8, threads=threads), expected, (threads, "strided"))


@pytest.mark.parametrize("p", [0.5, 0.1])
def test_the_count_does_not_change_masks_and_draws(isa: str, p: float) -> None:
    mask = simdrop.Mask(N, p, seed=8, offset=61)
    flags = reference.keep(N, p, 8, offset=61)
    dropped = ~reference.keep(N, p, 8)
    words = reference.random_bits(N, 8)
    for threads in (1, 2, 3, 7, None):
        assert_same_bits(mask.keep(threads=threads), flags, threads)
        assert_same_bits(mask.packed(threads=threads), reference.pack(flags), threads)
        assert mask.count_kept(threads=threads) == np.count_nonzero(flags), threads
        assert_same_bits(simdrop.bernoulli(p, N, rng=8, threads=threads), dropped, threads)
        assert_same_bits(simdrop.bernoulli(p, N, rng=8, packed=True, threads=threads), reference.pack(dropped), threads)
        assert_same_bits(simdrop.random_bits(N, rng=8, threads=threads), words, threads)


def test_the_setting_does_not_change_the_result(isa: str) -> None:
    x = any_bits(N, "float32")
    expected = reference.dropout(x, 0.1, seed=8)
    for threads in (1, 2, 3, 7):
        simdrop.set_num_threads(threads)
        assert simdrop.get_num_threads() == threads
        assert_same_bits(simdrop.dropout(x, 0.1, rng=8), expected, threads)


def test_calls_from_several_python_threads(isa: str) -> None:
    x = any_bits(100_003, "float32")
    expected = [reference.dropout(x, 0.1, seed) for seed in range(6)]
    shared = np.empty((6, x.size), np.float32)

    def work(k: int) -> None:
        for _ in range(5):
            assert_same_bits(simdrop.dropout(x, 0.1, rng=k, threads=1 + k % 3), expected[k])
            shared[k] = x
            simdrop.dropout_(shared[k], 0.1, rng=k)
            assert_same_bits(shared[k], expected[k])

    together(work, 6)


BIG = 2**23
LONG_CALLS: tuple[tuple[str, Callable[[Any], object]], ...] = (
    ("dropout_", lambda x: simdrop.dropout_(x, 0.1, rng=1, threads=1)),
    ("dropout_, strided", lambda x: simdrop.dropout_(x[::2], 0.1, rng=1, threads=1)),
    ("dropout", lambda x: simdrop.dropout(x, 0.1, rng=1, out=x, threads=1)),
    ("keep", lambda x: simdrop.Mask(x.shape, 0.1, seed=1).keep(threads=1)),
    ("packed", lambda x: simdrop.Mask(x.shape, 0.1, seed=1).packed(threads=1)),
    ("count_kept", lambda x: simdrop.Mask(x.shape, 0.1, seed=1).count_kept(threads=1)),
    ("bernoulli", lambda x: simdrop.bernoulli(0.1, x.size, rng=1, threads=1)),
    ("random_bits", lambda x: simdrop.random_bits(x.size, rng=1, threads=1)),
)


@pytest.mark.parametrize(("name", "call"), LONG_CALLS, ids=[name for name, _ in LONG_CALLS])
def test_other_python_threads_run_meanwhile(name: str, call: Callable[[Any], object]) -> None:
    # With a switch interval of an hour, a thread that computes loses the interpreter only where it gives it up itself.
    # So the observer can see "begun and not ended" only if the call released it. A busy machine may fail to run the
    # observer in time, hence several attempts; but no number of attempts lets a call pass that holds the interpreter.
    x = np.ones(BIG, np.float32)
    call(x)  # whatever is loaded or started at the first call is not what is meant
    before_interval = sys.getswitchinterval()
    before_isa = simdrop.active_isa()
    simdrop.use_isa("scalar")  # the slowest, so that the call is long
    seen = False
    try:
        for _ in range(50):
            state = {"begun": False, "ended": False}

            def work(state: dict[str, bool] = state) -> None:
                state["begun"] = True
                call(x)
                state["ended"] = True

            thread = threading.Thread(target=work)
            sys.setswitchinterval(3600)
            thread.start()
            while not state["ended"] and not seen:
                seen = state["begun"] and not state["ended"]
                time.sleep(1e-4)
            sys.setswitchinterval(before_interval)
            thread.join()
            if seen:
                break
    finally:
        sys.setswitchinterval(before_interval)
        simdrop.use_isa(before_isa)
    assert seen, f"{name} never let another thread run"


def run_python(code: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_works() -> None:
    # In a process of its own: a child that hangs is then killed by the time limit, with its parent.
    done = run_python(
        """
        import os, signal, sys, warnings
        import numpy as np, simdrop
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own remark on fork with threads

        x = np.ones(2**20 + 37, np.float32)
        def digest():
            return [simdrop.dropout(x, 0.1, rng=5, threads=t).tobytes() for t in (1, 4)]

        expected = digest()  # the threads have been used
        for generation in range(3):
            child = os.fork()
            if child == 0:
                grandchild = os.fork()
                signal.alarm(60)  # ends a child that hangs
                status = 0 if digest() == expected else 7
                if grandchild:
                    _, code = os.waitpid(grandchild, 0)
                    status = status or os.waitstatus_to_exitcode(code)
                os._exit(status)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0, f"child: {os.waitstatus_to_exitcode(status)}"
            assert digest() == expected, "the parent goes on"
        print("fine")
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fine\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, tmp_path: Any) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import multiprocessing, pickle, warnings
            import numpy as np, simdrop
            warnings.simplefilter("ignore", DeprecationWarning)

            def work(job):
                stream, mask, threads = job
                x = np.ones(300_001, np.float32)
                return simdrop.dropout(x, 0.1, rng=stream, threads=threads).tobytes(), mask.count_kept()

            if __name__ == "__main__":
                mask = simdrop.Mask(1000, 0.3, seed=1)
                jobs = [(s, mask, k + 1) for k, s in enumerate(simdrop.Stream(3).spawn(4))]
                expected = [work(job) for job in pickle.loads(pickle.dumps(jobs))]
                with multiprocessing.get_context({method!r}).Pool(2) as pool:
                    assert pool.map(work, jobs) == expected
                print("fine")
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fine\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_used_where_asked_for(threads: int) -> None:
    # The workers stay for the next call, so that they can be counted after it.
    done = run_python(
        f"""
        import os
        import numpy as np, simdrop
        x = np.ones(2**22, np.float32)
        before = len(os.listdir("/proc/self/task"))
        simdrop.dropout_(x, 0.1, rng=1, threads={threads})
        print(len(os.listdir("/proc/self/task")) - before)
        """
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == threads - 1


def test_the_usual_environment_variable_governs_the_count() -> None:
    for count in (1, 3):
        done = subprocess.run(
            [sys.executable, "-c", "import simdrop; print(simdrop.get_num_threads())"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": str(count)},
        )
        assert int(done.stdout) == count


LIMITED = """
import ctypes, resource, sys
import numpy as np, simdrop

def limit(spare):
    used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, resource.RLIM_INFINITY))
"""


def _limited(script: str) -> str:
    """Run a script in a process of its own that may limit its memory; it must end by itself."""
    done = subprocess.run([sys.executable, "-c", LIMITED + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="the limit and /proc are Linux'")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", ["simdrop.dropout_(x, 0.1, rng=1, threads=threads)", "fused()"])
def test_memory_that_runs_out_is_an_error_on_any_number_of_threads(call: str, threads: int) -> None:
    """What a thread needs is allocated before threads start: an exception inside them would end the process."""
    script = f"""
threads = {threads}
x = np.ones((2048, 1024), np.float32, order="F")
other = np.ones((2048, 1024), np.float32, order="F")
def fused():
    simdrop.bias_dropout_add(x, None, other, 0.1, rng=1, out=x, threads=threads)
def attempt():
    {call}
attempt()
x[:] = 1
limit(0)
# Nothing is left that malloc could give, of any size (it keeps what was freed by size). Not by way of Python's objects,
# whose memory is not malloc's in all builds.
malloc = ctypes.CDLL(None).malloc
malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
for size in (*(1 << k for k in range(20, 12, -1)), *range(4096, 0, -16)):
    while malloc(size):
        pass
try:
    attempt()
except MemoryError:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("refused", bool((x == 1).all()))
"""
    assert _limited(script) == "refused True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit and /proc are Linux'")
@pytest.mark.parametrize("threads", [2, 64])
def test_threads_that_cannot_be_started_cost_nothing_but_time(threads: int) -> None:
    """There is memory left, but none for the stack of a thread."""
    script = f"""
x = np.ones(1 << 20, np.float32)
y = np.ones_like(x)
simdrop.dropout_(y, 0.1, rng=1, threads=1)
limit(2 << 20)
simdrop.dropout_(x, 0.1, rng=1, threads={threads})
print((x == y).all())
"""
    assert _limited(script) == "True\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity masks are Linux'")
def test_the_affinity_mask_is_obeyed() -> None:
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(simdrop.get_num_threads())"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", f"import simdrop\n{script}"], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "1\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_while_threads_work_has_threads_of_its_own() -> None:
    """Other threads are in the middle of calls at the moment of each fork; they and their locks stay behind."""
    script = """
import os, threading
import numpy as np, simdrop
whole = np.ones(1 << 20, np.float32)
simdrop.dropout_(whole, 0.3, rng=5, threads=1)
stop = threading.Event()
def work():
    x = np.ones(1 << 18, np.float32)
    while not stop.is_set():
        simdrop.dropout_(x, 0.5, rng=1, threads=2)
workers = [threading.Thread(target=work) for _ in range(3)]
for worker in workers:
    worker.start()
codes = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        x = np.ones(1 << 20, np.float32)
        simdrop.dropout_(x, 0.3, rng=5, threads=2)
        os._exit(0 if (x == whole).all() else 3)
    codes.append(os.waitpid(child, 0)[1])
stop.set()
print(set(codes))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "{0}\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_during_the_first_call_of_a_thread_works() -> None:
    """What a first call makes ready must not be left half made, and locked, in a child: each process forks once."""
    script = """
import os, signal, sys, threading, time
import numpy as np, simdrop
x, y = np.ones((2, 1 << 18), np.float32)
go = threading.Event()
def first():
    go.wait()
    simdrop.dropout_(x, 0.5, rng=1)
sys.setswitchinterval(1e-5)
thread = threading.Thread(target=first)
thread.start()
time.sleep(0.01)
go.set()
end = time.perf_counter() + float(sys.argv[1])
while time.perf_counter() < end:
    pass
child = os.fork()
if child == 0:
    signal.alarm(10)
    simdrop.dropout_(y, 0.5, rng=1)
    os._exit(0)
print(os.waitpid(child, 0)[1])
thread.join()
"""
    for microseconds in range(0, 120, 5):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script, str(microseconds * 1e-6)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout == "0\n", microseconds
