"""Times windows of a mask against masks of their own: how fast a part of a mask is, by the length of its rows.

Run `python bench/bench_windows.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import simdrop
from machine import count_name
from plot_windows import plot_windows
from report import Result, WrongAnswerError, conduct, progress, read_options, result
from timing import Statement, alternate, paired_ratio

SIZES = ("64Ki", "16Mi")
PROBABILITIES = (0.1, 0.5)
ROWS = (8, 16, 32, 64, 128, 256, 512, 1024, 4096)
TARGETS = {64: 0.5, 128: 0.5, 256: 0.5, 512: 0.9, 1024: 0.9, 4096: 0.9}
judged = partial(result, contestant="simdrop, window", reference="simdrop, a mask of its own", unit="ratio")


def windows(size: int, p: float) -> Iterator[tuple[str, simdrop.Mask, float | None]]:
    """Yield windows of so many elements with a name and the speed aimed at."""
    for row in ROWS:
        whole = simdrop.Mask((size // row, 4 * row), p, seed=1)
        yield f"rows of {row}", whole[:, row : 2 * row], TARGETS.get(row)
    for row in (64, 512):
        yield (
            f"rows of {row}, start anywhere",
            simdrop.Mask((size // row, 5 * row + 3), p, seed=1)[:, 7 : 7 + row],
            None,
        )
    yield "every second", simdrop.Mask((size // 512, 1024), p, seed=1)[:, ::2], 0.3
    yield "transposed", simdrop.Mask((512, size // 512), p, seed=1).T, 0.3


def measure(options: argparse.Namespace) -> tuple[list[Result], dict[str, Any]]:
    """Apply windows in place, in turn with a mask of as many elements whose index is contiguous."""
    simdrop.set_num_threads(options.threads)
    results: list[Result] = []
    cases = [(size, p) for size in options.sizes for p in PROBABILITIES]
    for size, p in progress(cases, lambda case: f"{count_name(case[0])}, p = {case[1]}"):
        x, own = np.ones(size, np.float32), simdrop.Mask(size, p, seed=1)
        for name, window, target in windows(size, p):
            y = np.ones(window.shape, np.float32)
            if (window.apply(y) != 0).sum() != window.count_kept():
                raise WrongAnswerError(f"{name}: another number of elements is kept than the mask says")
            taken = alternate(
                [
                    Statement("own", "apply(x)", {"apply": own.apply_, "x": x}),
                    Statement("window", "apply(y)", {"apply": window.apply_, "y": y}),
                ],
                seconds_each=options.seconds,
                min_rounds=3 if options.quick else 9,
            )
            fields: Result = {"window": name, "p": p, "elements": size}
            case = f"{name}/p={p:g}/{count_name(size)}"
            ratio = paired_ratio(taken["own"], taken["window"])
            rate = size / taken["window"].spread.median / 1e9
            fields["giga_elements_per_second"] = rate
            results.append(judged(case, ratio, better="higher", target=target, **fields))
    return results, {}


def main(words: Sequence[str] | None = None) -> int:
    """Measure, show and write."""
    options = read_options(__doc__, words, sizes=SIZES, quick_sizes=("16Ki",), seconds=0.2, threads=1)
    return conduct("windows", options, lambda out: measure(options), draw=plot_windows)


if __name__ == "__main__":
    sys.exit(main())
