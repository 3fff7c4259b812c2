"""Times dropout by simdrop, the usual recipes and the frameworks, side by side; checks every answer first.

Run `python bench/bench_dropout.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from answers import check
from contestants import ALL_DTYPES, dtype_of, gather
from machine import count_name
from plots import plot_dropout
from report import Result, conduct, dropout_tables, progress, read_options, result
from rich.console import Console
from timing import Statement, alternate

SIZES = ("1Ki", "16Ki", "64Ki", "1Mi", "16Mi", "64Mi")
QUICK_SIZES = ("1Ki", "64Ki", "1Mi")


def probability(text: str) -> float:
    """Read a p for which every recipe is defined."""
    if not 0 < float(text) < 1:
        raise ValueError
    return float(text)


def measure(options: argparse.Namespace, out: Console) -> tuple[list[Result], dict[str, Any]]:
    """Check all contestants on each array, then time them in turn."""
    known, absent = gather(options.threads)
    known = [contestant for contestant in known if options.wanted(contestant.name)]
    if dtype_of("bfloat16") is None:
        absent["bfloat16"] = "ml_dtypes is not installed"
    for name, reason in absent.items():
        out.print(f"[yellow]absent[/yellow]: {name} ({reason})")
    options.dtypes = [dtype for dtype in options.dtypes if dtype not in absent]
    # The largest arrays last, so that first results come soon.
    cases = [(dtype, size, p) for size in sorted(options.sizes) for dtype in options.dtypes for p in options.p]
    results = []
    for dtype, size, p in progress(cases, lambda case: f"{case[0]} {count_name(case[1])} p={case[2]:g}"):
        x = np.empty(size, dtype_of(dtype))
        contestants = [contestant for contestant in known if contestant.takes(dtype, size)]
        ready = [check(contestant, x, p, options.threads) for contestant in contestants]
        statements = [Statement(c.name, r.call, before=r.before) for c, r in zip(contestants, ready, strict=True)]
        taken = alternate(statements, seconds_each=options.seconds, min_rounds=3 if options.quick else 5)
        for contestant in contestants:
            samples = taken[contestant.name]
            results.append(
                result(
                    f"{dtype}/{count_name(size)}/p={p:g}/threads={options.threads}",
                    samples.spread,
                    contestant=contestant.name,
                    dtype=dtype,
                    elements=size,
                    p=p,
                    threads=1 if contestant.one_thread else options.threads,
                    repeats=samples.repeats,
                    giga_elements_per_second=size / samples.spread.median / 1e9,
                )
            )
    return results, {"contestants": {c.name: c.how for c in known}, "absent": absent}


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when a contestant gave a wrong answer."""
    p = {"type": probability, "default": [0.1, 0.2, 0.5], "help": "drop probabilities", "nargs": "+"}
    dtype = {"choices": ALL_DTYPES, "default": list(ALL_DTYPES), "dest": "dtypes", "help": "data types", "nargs": "+"}
    options = read_options(__doc__, words, sizes=SIZES, quick_sizes=QUICK_SIZES, seconds=0.3, p=p, dtype=dtype)
    name = "dropout" if options.threads == 1 else f"dropout-{options.threads}-threads"
    return conduct(
        "dropout",
        options,
        lambda out: measure(options, out),
        tables=dropout_tables,
        draw=lambda content, folder: plot_dropout(content, folder, name),
        name=name,
    )


if __name__ == "__main__":
    sys.exit(main())
