"""Times dropout by simdrop, the usual recipes and the frameworks, side by side; checks every answer first.

Run `python bench/bench_dropout.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answers import WrongAnswerError, check
from contest import ALL_DTYPES, Array, Contestant, dtype_of
from contestants import gather
from machine import ROOT, describe, load_warning, title, usable_cpus
from plots import plot_dropout
from report import console, count_name, dropout_tables, parse_count, payload, progress, write_json
from timing import Samples, Statement, alternate

SIZES = ("1Ki", "16Ki", "64Ki", "1Mi", "16Mi", "64Mi")
QUICK_SIZES = ("1Ki", "64Ki", "1Mi")
PROBABILITIES = (0.1, 0.2, 0.5)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three sizes, little time: shows that everything works")
    parser.add_argument("--sizes", nargs="+", metavar="N", help="numbers of elements, such as 1000, 64Ki, 16Mi")
    parser.add_argument("--p", nargs="+", type=float, default=list(PROBABILITIES), help="drop probabilities")
    parser.add_argument("--dtype", nargs="+", choices=ALL_DTYPES, default=list(ALL_DTYPES), help="data types")
    parser.add_argument("--threads", type=int, default=1, help="threads for those who can use them")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only contestants whose name contains one of these")
    parser.add_argument("--seconds", type=float, help="time for each contestant in each case (0.3, or 0.02 when quick)")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "bench" / "results", help="folder for the results")
    options = parser.parse_args(words)
    try:
        options.sizes = [parse_count(text) for text in options.sizes or (QUICK_SIZES if options.quick else SIZES)]
    except ValueError as error:
        parser.error(f"--sizes: {error}")
    if not all(0 < p < 1 for p in options.p):
        parser.error("--p: the recipes are defined for 0 < p < 1 only")
    if not 1 <= options.threads <= usable_cpus():
        parser.error(f"--threads: {options.threads} is not within 1 .. {usable_cpus()}, the CPUs of this process")
    if options.seconds is None:
        options.seconds = 0.02 if options.quick else 0.3
    return options


def record(
    contestant: Contestant, samples: Samples, dtype: str, elements: int, p: float, threads: int
) -> dict[str, Any]:
    """Return one entry of the result file."""
    seconds = samples.spread
    return {
        "case": f"{dtype}/{count_name(elements)}/p={p:g}/threads={threads}",
        "contestant": contestant.name,
        "dtype": dtype,
        "elements": elements,
        "p": p,
        "threads": 1 if contestant.one_thread else threads,
        "measure": {"unit": "s", "better": "lower", **seconds.as_json()},
        "repeats": samples.repeats,
        "giga_elements_per_second": elements / seconds.median / 1e9,
    }


def cases(options: argparse.Namespace) -> list[tuple[str, int, float]]:
    """Return all combinations, largest arrays last, so that first results come soon."""
    return [(dtype, size, p) for size in sorted(options.sizes) for dtype in options.dtype for p in options.p]


def run_case(
    contestants: Sequence[Contestant], x: Array, dtype: str, p: float, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Check all contestants on one array, then time them in turn."""
    statements = []
    for contestant in contestants:
        prepared = check(contestant, x, p, options.threads)
        statements.append(Statement(contestant.name, prepared.call, before=prepared.before))
    samples = alternate(statements, seconds_each=options.seconds, min_rounds=3 if options.quick else 5)
    for contestant in contestants:
        yield record(contestant, samples[contestant.name], dtype, x.size, p, options.threads)


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when a contestant gave a wrong answer."""
    options = arguments(words)
    out = console()
    machine = describe(options.threads)
    known = gather(options.threads)
    absent = dict(known.absent)
    if any(dtype_of(name) is None for name in options.dtype):
        options.dtype.remove("bfloat16")
        absent["bfloat16"] = "ml_dtypes is not installed"
    wanted = [c for c in known.contestants if not options.only or any(word in c.name for word in options.only)]
    out.print(title(machine))
    if warning := load_warning(machine):
        out.print(f"[yellow]{warning}[/yellow]")
    for name, reason in absent.items():
        out.print(f"[yellow]absent[/yellow]: {name} ({reason})")

    results: list[dict[str, Any]] = []
    # Values decay to zeros and infinities when dropout runs over them again and again; no loop here depends on them.
    with np.errstate(all="ignore"):
        for dtype, size, p in progress(cases(options), lambda case: f"{case[0]} {count_name(case[1])} p={case[2]:g}"):
            x = np.empty(size, dtype_of(dtype))
            taking = [c for c in wanted if c.takes(dtype, size)]
            try:
                results += run_case(taking, x, dtype, p, options)
            except WrongAnswerError as error:
                print(f"wrong answer, nothing is written: {error}", file=sys.stderr)
                return 1
    shown = {"quick": options.quick, "sizes": options.sizes, "p": options.p, "dtypes": options.dtype}
    shown |= {"threads": options.threads, "seconds": options.seconds}
    how = {c.name: c.how for c in wanted}
    content = payload("dropout", machine, shown, results, contestants=how, absent=absent)
    for table in dropout_tables(content):
        out.print(table)
    name = "dropout" if options.threads == 1 else f"dropout-{options.threads}-threads"
    path = options.output_dir / f"{name}.json"
    write_json(path, content)
    for written in (path, *plot_dropout(content, options.output_dir, name)):
        out.print(f"wrote {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
