"""Times windows of a mask against masks of their own, and arrays in any memory order against multiplying them.

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


VIEW_TARGETS = {0.1: 0.3, 0.5: 0.5}


def views(size: int) -> Iterator[tuple[str, Any, Any]]:
    """Yield arrays of about so many elements whose memory is not in their order, with where the result goes."""
    side = 1 << (size.bit_length() - 1) // 2
    ones = partial(np.ones, dtype=np.float32)
    dense = ones(size)
    small = max(1, int((size / 24) ** 0.5))
    wide = max(1, int((size / 256) ** 0.5))
    whole = {
        "(N, 16).T": dense.reshape(-1, 16).T,
        "(16, N).T": dense.reshape(16, -1).T,
        "(N, N).T": dense.reshape(side, -1).T,
        "NHWC as NCHW, 3 channels": ones((8, small, small, 3)).transpose(0, 3, 1, 2),
        "NHWC as NCHW, 64 channels": ones((4, wide, wide, 64)).transpose(0, 3, 1, 2),
        "axes 1 and 3 swapped": dense.reshape(8, -1, 8, 128).swapaxes(1, 3),
        "axes 1 and 2 swapped": dense.reshape(8, -1, 8, 128).swapaxes(1, 2),
        "Fortran order": dense.reshape(-1, side // 8, 64).T,
        "[::-1]": dense[::-1],
        "[..., ::-1]": dense.reshape(side, -1)[..., ::-1],
        "reversed and transposed": dense.reshape(side, -1)[::-1, ::-1].T,
        "rows of 7 of 8": dense.reshape(-1, 8)[:, :7],
        "rows of 17 of 32": dense.reshape(-1, 32)[:, :17],
        "rows of 100 of 1024": dense.reshape(-1, 1024)[:, :100],
        "every second element": dense[::2],
    }
    for name, view in whole.items():
        yield name, view, view
    column = np.broadcast_to(ones((side, 1)), (side, size // side))
    yield "from a broadcast column", column, ones(column.shape)


def measure_views(options: argparse.Namespace) -> Iterator[Result]:
    """Drop out of views, in turn with a multiplication of the same view."""
    one, stream = np.float32(1), simdrop.Stream(1)
    cases = [(name, x, out) for size in (1 << 20,) if not options.quick for name, x, out in views(size)]
    cases = cases or list(views(1 << 14))
    for name, x, out in progress(cases, lambda case: case[0]):
        for p in PROBABILITIES:
            if not np.array_equal(simdrop.dropout(x, p, rng=1) != 0, simdrop.Mask(x.shape, p, seed=1).keep()):
                raise WrongAnswerError(f"{name}: not the mask's elements are kept")
            names = {"x": x, "out": out, "p": p, "one": one, "stream": stream}
            taken = alternate(
                [
                    Statement("NumPy", "multiply(x, one, out=out)", {"multiply": np.multiply, **names}),
                    Statement("simdrop", "dropout(x, p, rng=stream, out=out)", {"dropout": simdrop.dropout, **names}),
                ],
                seconds_each=options.seconds,
                min_rounds=3 if options.quick else 9,
            )
            if out is x:
                x[...] = 1
            yield result(
                f"view/{name}/p={p:g}",
                paired_ratio(taken["NumPy"], taken["simdrop"]),
                unit="ratio",
                better="higher",
                target=VIEW_TARGETS[p],
                reference="np.multiply on the view",
                view=name,
                p=p,
                elements=x.size,
                giga_elements_per_second=x.size / taken["simdrop"].spread.median / 1e9,
            )


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
    return [*results, *measure_views(options)], {}


def main(words: Sequence[str] | None = None) -> int:
    """Measure, show and write."""
    options = read_options(__doc__, words, sizes=SIZES, quick_sizes=("16Ki",), seconds=0.2, threads=1)
    return conduct("windows", options, lambda out: measure(options), draw=plot_windows)


if __name__ == "__main__":
    sys.exit(main())
