"""Measures each target of the project: simdrop against the limit of the machine, and against its peers.

Run `python bench/bench_limit.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sweeps
from answers import WrongAnswerError, check
from contest import ALL_DTYPES, dtype_of
from limit_cases import MEMORY_P, Bench, Case, cases, make_bench
from machine import ROOT, describe, load_warning, optional, usable_cpus
from memory_probe import probe
from plots_limit import plot_limit
from report import console, limit_table, payload, progress, write_json
from timing import SETTLE_SECONDS, Spread, alternate, paired_ratio, pick_fastest, spread

MEMORY_ROW, COST_ROW = "extra memory on 1 GiB in place", "cost of an element, 16 times the size"
EXTRA_BYTES_TARGET = 1 << 20
# Not a target of its own: cost counts as linear when an element costs the same within the noise of a busy machine.
GROWTH_TARGET = 1.1


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small arrays, little time: shows that everything works")
    parser.add_argument("--large", action="store_true", help="draw the cost up to 1 Gi elements (4 GiB), not 64 Mi")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only cases whose name contains one of these words")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and stop")
    parser.add_argument("--threads", type=int, default=usable_cpus(), help="threads of the cases that use all")
    parser.add_argument("--seconds", type=float, help="time for each side of each case (1.5, or 0.02 when quick)")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "bench" / "results", help="folder for the results")
    options = parser.parse_args(words)
    if not 1 <= options.threads <= usable_cpus():
        parser.error(f"--threads: {options.threads} is not within 1 .. {usable_cpus()}, the CPUs of this process")
    if options.seconds is None:
        options.seconds = 0.02 if options.quick else 1.5
    return options


def entry(key: str, row: str, target: float | None, unit: str, better: str, value: Spread | None) -> dict[str, Any]:
    """Return one entry of the result file; without a value it is a skipped case."""
    reached = None
    if value is not None and target is not None:
        reached = value.median <= target if better == "lower" else value.median >= target
    measure = {"unit": unit, "better": better, **(value.as_json() if value else {})}
    return {
        "case": key,
        "contestant": "simdrop",
        "row": row,
        "target": target,
        "measure": measure,
        "reached": reached,
        "reference": "",
        "skipped": None,
    }


def run_case(case: Case, bench: Bench, seconds: float) -> dict[str, Any]:
    """Measure one case: pick the fastest of each side, then sample both in turn."""
    if reason := case.missing(bench):
        return entry(case.key, case.row, case.target, case.unit, case.better, None) | {"skipped": reason}
    duel = case.build(bench)
    pause = SETTLE_SECONDS if case.threads > 1 else 0.0
    ours, our_routes = pick_fastest(duel.ours, seconds_each=seconds / 5, pause=pause)
    sides = [ours]
    candidates: dict[str, float] = {}
    if duel.reference:
        reference, candidates = pick_fastest(duel.reference, seconds_each=seconds / 5, pause=pause)
        sides.append(reference)
    samples = alternate(sides, seconds_each=seconds, pause=pause)
    mine = samples[ours.name]
    if case.unit == "ratio":
        value = paired_ratio(samples[reference.name], mine)
    elif case.unit == "time ratio":
        value = paired_ratio(mine, samples[reference.name])
    else:
        value = spread([duel.elements / second / 1e9 for second in mine.seconds])
    result = entry(case.key, case.row, case.target, case.unit, case.better, value)
    result["elements"] = duel.elements
    result["ours"] = ours.name
    result["seconds"] = mine.spread.as_json()
    result["giga_elements_per_second"] = duel.elements / mine.spread.median / 1e9
    result["candidates"] = our_routes | candidates
    if duel.bytes_moved:
        result["gigabytes_per_second"] = duel.bytes_moved / mine.spread.median / 1e9
    if duel.reference:
        result["reference"] = reference.name
        result["reference_seconds"] = samples[reference.name].spread.as_json()
    return result


def memory_results(threads: int, quick: bool) -> list[dict[str, Any]]:
    """Measure the extra memory with one thread and with all; three processes each, the largest value counts."""
    mebibytes = 64 if quick else 1024
    results = []
    for count in sorted({1, threads}):
        found = [float(probe(mebibytes, 0.1, count)) for _ in range(3)]
        most = Spread(max(found), min(found), max(found), len(found))
        key = f"extra-memory/threads={count}"
        results.append(entry(key, MEMORY_ROW, EXTRA_BYTES_TARGET, "bytes", "lower", most))
    return results


def check_answers(bench: Bench) -> None:
    """Check simdrop's answers on every instruction set, type and p of the cases, and the answers of the peers."""
    with np.errstate(all="ignore"):
        for dtype in ALL_DTYPES:
            if (real := dtype_of(dtype)) is None:
                continue
            x = np.empty(1 << 20, real)
            for contestant in bench.peers.values():
                if not contestant.takes(dtype, x.size) or contestant.name == "Python loop":
                    continue
                for p in MEMORY_P if contestant.name.startswith("simdrop") else (0.1,):
                    check(contestant, x, p, 1)
    simdrop = bench.simdrop
    mask = simdrop.Mask((512, 64), 0.1, seed=7)
    base = np.random.default_rng(7).uniform(1, 2, (1024, 64)).astype(np.float32)
    wanted = mask.apply(base[::2].copy())
    bits = np.packbits(mask.keep().reshape(-1), bitorder="little")
    square = np.array(wanted.T, order="C")
    right = {
        "every second row": np.array_equal(mask.apply_(base.copy()[::2]), wanted),
        "out": np.array_equal(mask.apply(base[::2], out=np.empty_like(wanted)), wanted),
        "threads": np.array_equal(mask.apply(base[::2], threads=bench.threads), wanted),
        "packed": np.array_equal(mask.packed(), bits),
        "transposed": np.array_equal(mask.apply_(np.array(base[::2].T, order="C").T), square.T),
    }
    wrong = [name for name, fine in right.items() if not fine]
    if wrong:
        raise WrongAnswerError("simdrop: " + ", ".join(wrong))


def main(words: Sequence[str] | None = None) -> int:
    """Run the cases; the exit code tells whether it worked, not whether every target was reached."""
    options = arguments(words)
    chosen = [case for case in cases() if not options.only or any(word in case.key for word in options.only)]
    if options.list:
        print("\n".join(case.key for case in chosen))
        return 0
    simdrop = optional("simdrop")
    if simdrop is None:
        print("simdrop is not installed: python -m pip install . first", file=sys.stderr)
        return 2
    out = console()
    machine = describe(options.threads)
    if warning := load_warning(machine):
        out.print(f"[yellow]{warning}[/yellow]")
    bench = make_bench(simdrop, options.threads, options.quick)
    try:
        check_answers(bench)
    except WrongAnswerError as error:
        print(f"wrong answer, nothing is timed: {error}", file=sys.stderr)
        return 1
    with np.errstate(all="ignore"):
        results = [run_case(case, bench, options.seconds) for case in progress(chosen, lambda case: case.key)]
        cost: list[dict[str, Any]] = []
        threads: list[dict[str, Any]] = []
        if not options.only:
            largest = sweeps.LARGE if options.large else bench.sizes.memory
            sizes = [size for size in sweeps.sweep_sizes(largest) if sweeps.fits(size)]
            cost = sweeps.cost_sweep(bench, sizes, options.seconds / 3)
            threads = sweeps.thread_sweep(bench, options.seconds / 3)
            results += memory_results(options.threads, options.quick)
            for name, ratio in sweeps.growth(cost):
                key = f"cost/{name.split(', ')[1].replace(' ', '')}"
                results.append(entry(key, COST_ROW, GROWTH_TARGET, "ratio", "lower", spread([ratio])))
    simdrop.use_isa(bench.best)
    shown = {"quick": options.quick, "threads": options.threads, "seconds": options.seconds}
    content = payload("limit", machine, shown, results, cost=cost, thread_scaling=threads)
    out.print(limit_table(content))
    if options.quick:
        out.print("[yellow]quick: small arrays and short samples; the verdicts mean nothing[/yellow]")
    path = options.output_dir / "limit.json"
    write_json(path, content)
    for written in (path, *plot_limit(content, options.output_dir)):
        out.print(f"wrote {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
