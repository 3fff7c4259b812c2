"""Times dropout of arrays in any memory order against multiplying the same view.

Run `python bench/bench_views.py --help` for the options and see README.md in this folder.
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
from plot_windows import plot_views
from report import Result, WrongAnswerError, conduct, progress, read_options, result
from timing import Statement, alternate, paired_ratio

TARGETS = {0.1: 0.3, 0.5: 0.5}


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


def measure(options: argparse.Namespace) -> tuple[list[Result], dict[str, Any]]:
    """Drop out of views, in turn with a multiplication of the same view."""
    results: list[Result] = []
    one, stream = np.float32(1), simdrop.Stream(1)
    cases = [case for size in options.sizes for case in views(size) if options.wanted(case[0])]
    for name, x, out in progress(cases, lambda case: case[0]):
        for p, target in TARGETS.items():
            if not np.array_equal(simdrop.dropout(x, p, rng=1) != 0, simdrop.Mask(x.shape, p, seed=1).keep()):
                raise WrongAnswerError(f"{name}: not the mask's elements are kept")
            simdrop.set_num_threads(options.threads)
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
            results.append(
                result(
                    f"{name}/p={p:g}/{count_name(x.size)}",
                    paired_ratio(taken["NumPy"], taken["simdrop"]),
                    unit="ratio",
                    better="higher",
                    target=target,
                    reference="np.multiply on the view",
                    view=name,
                    p=p,
                    elements=x.size,
                    giga_elements_per_second=x.size / taken["simdrop"].spread.median / 1e9,
                )
            )
    return results, {}


def main(words: Sequence[str] | None = None) -> int:
    """Measure, show and write."""
    options = read_options(__doc__, words, sizes=("1Mi",), quick_sizes=("16Ki",), seconds=0.1, threads=1)
    return conduct("views", options, lambda out: measure(options), draw=plot_views)


if __name__ == "__main__":
    sys.exit(main())
