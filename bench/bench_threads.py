"""What a second thread brings, and what it costs when other processes want the CPUs.

Run `python bench/bench_threads.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import simdrop
from machine import count_name, usable_cpus
from report import Result, WrongAnswerError, conduct, progress, read_options, table
from rich.table import Table

P = 0.1
SIZES = (1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20)
SPIN = "while True: pass"


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Let other processes compute without a pause meanwhile."""
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        time.sleep(0.3)
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def sample(x: Any, calls: int, gap: float = 0.0, in_a_row: bool = False) -> dict[str, Any]:
    """Time calls with one thread and with the default: in turn, or many of one kind in a row as a loop does."""
    stream = simdrop.Stream(1)
    times: dict[int | None, list[float]] = {1: [], None: []}
    for _ in range(20 if in_a_row else calls):
        for threads, taken in times.items():
            for _ in range(calls // 20 if in_a_row else 1):
                if gap:
                    time.sleep(gap)
                start = time.perf_counter()
                simdrop.dropout_(x, P, rng=stream, threads=threads)
                taken.append(time.perf_counter() - start)
    return {
        name: {"median": np.median(taken), "p99": np.percentile(taken, 99), "mean": np.mean(taken)}
        for name, taken in zip(("one thread", "default"), times.values(), strict=True)
    }


def measure(options: argparse.Namespace) -> tuple[list[Result], dict[str, Any]]:
    """Time calls on an idle machine, and beside other processes."""
    calls = 100 if options.quick else 2000
    simdrop.set_num_threads(options.threads)
    x = np.ones(1 << 20, np.float32)
    if (simdrop.dropout(x, P, rng=1, threads=1) != simdrop.dropout(x, P, rng=1)).any():
        raise WrongAnswerError("the result depends on the threads")
    cases = {}
    for size in progress(SIZES, count_name):
        cases[f"idle, {count_name(size)} in a row"] = sample(np.ones(size, np.float32), calls, in_a_row=True)
    cases["idle, 1 Mi in turn"] = sample(x, calls)
    cases["idle, 1 Mi, 1 ms apart"] = sample(x, calls // 5, gap=0.001)
    transposed = np.ones((2048, 768), np.float32).T
    cases["idle, 2048 x 768 transposed (3 tiles)"] = sample(transposed, calls // 4, in_a_row=True)
    for count in (1, 2):
        with spinning(count):
            cases[f"{count} spinning process{'es' * (count > 1)}, 1 Mi in turn"] = sample(x, calls)
    return [], {"calls": calls, "cases": cases}


def tables(content: dict[str, Any]) -> list[Table]:
    """Return the times of all cases, and the default's over those of one thread."""
    rows = []
    for name, case in content["cases"].items():
        one, default = case["one thread"], case["default"]
        numbers = [f"{side[key] * 1e6:.1f}" for side in (one, default) for key in ("median", "p99", "mean")]
        rows.append((name, *numbers, *(f"{default[key] / one[key]:.2f}" for key in ("median", "p99"))))
    columns = ("case", "1 thread", "p99", "mean", "default", "p99", "mean", "ratio", "of p99")
    return [table(f"us a call, float32, p = {P}, in place", columns, rows)]


def main(words: Sequence[str] | None = None) -> int:
    """Measure, show and write."""
    options = read_options(__doc__, words, threads=usable_cpus())
    return conduct("threads", options, lambda out: measure(options), tables=tables)


if __name__ == "__main__":
    sys.exit(main())
