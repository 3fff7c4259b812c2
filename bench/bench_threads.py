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
from pathlib import Path
from typing import Any

import numpy as np
import simdrop
from machine import ROOT, describe, load_warning, usable_cpus
from report import console, write_json
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


def seconds(x: Any, threads: int | None, stream: simdrop.Stream) -> float:
    """Time one call in place."""
    start = time.perf_counter()
    simdrop.dropout_(x, P, rng=stream, threads=threads)
    return time.perf_counter() - start


def sample(x: Any, calls: int, gap: float = 0.0, in_a_row: bool = False) -> dict[str, Any]:
    """Time calls with one thread and with the default: in turn, or many of one kind in a row as a loop does."""
    stream = simdrop.Stream(1)
    times: dict[int | None, list[float]] = {1: [], None: []}
    for _ in range(20 if in_a_row else calls):
        for threads, list_ in times.items():
            for _ in range(calls // 20 if in_a_row else 1):
                list_.append(seconds(x, threads, stream))
                if gap:
                    time.sleep(gap)
    one, default = (
        {name: float(np.percentile(list_, q)) for name, q in (("median", 50), ("p99", 99))}
        | {"mean": float(np.mean(list_))}
        for list_ in times.values()
    )
    return {"one thread": one, "default": default}


def check() -> None:
    """Refuse to time wrong answers."""
    x = np.ones(1 << 20, np.float32)
    if (simdrop.dropout(x, P, rng=1, threads=1) != simdrop.dropout(x, P, rng=1)).any():
        raise SystemExit("the result depends on the threads")


def main(words: Sequence[str] | None = None) -> int:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few calls: shows that everything works")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "bench" / "results", help="folder for the result")
    options = parser.parse_args(words)
    calls = 100 if options.quick else 2000
    machine = describe(usable_cpus())
    if warning := load_warning(machine):
        console().print(warning)
    check()
    cases: dict[str, dict[str, Any]] = {}
    for size in SIZES:
        cases[f"idle, {size >> 10} Ki in a row"] = sample(np.ones(size, np.float32), calls, in_a_row=True)
    x = np.ones(1 << 20, np.float32)
    cases["idle, 1 Mi in turn"] = sample(x, calls)
    cases["idle, 1 Mi, 1 ms apart"] = sample(x, calls // 5, gap=0.001)
    cases["idle, 2048 x 768 transposed (3 tiles)"] = sample(
        np.ones((2048, 768), np.float32).T, calls // 4, in_a_row=True
    )
    for count in (1, 2):
        with spinning(count):
            cases[f"{count} spinning process{'es' * (count > 1)}, 1 Mi in turn"] = sample(x, calls)
    table = Table(title=f"us a call, float32, p = {P}, in place, {usable_cpus()} CPUs: {machine['cpu']}")
    for column in ("case", "1 thread", "p99", "mean", "default", "p99", "mean", "ratio", "of p99"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for name, case in cases.items():
        one, default = case["one thread"], case["default"]
        numbers = [side[key] * 1e6 for side in (one, default) for key in ("median", "p99", "mean")]
        ratios = [default[key] / one[key] for key in ("median", "p99")]
        table.add_row(name, *(f"{number:.1f}" for number in numbers), *(f"{ratio:.2f}" for ratio in ratios))
    console().print(table)
    content = {"schema": 1, "kind": "threads", "machine": machine, "calls": calls, "cases": cases}
    write_json(options.output_dir / "threads.json", content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
