"""Measures each target of the project: simdrop against the limit of the machine, and against its peers.

Run `python bench/bench_limit.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import simdrop
from answers import check
from contestants import ALL_DTYPES, Array, dtype_of, gather
from limit_cases import (
    BEST,
    MEMORY_P,
    NUMBA_AVX2,
    QUICK,
    Bench,
    Case,
    Sizes,
    array,
    cases,
    drop,
    numpy_scaling,
    scaling,
)
from machine import ROOT, count_name, optional, usable_cpus
from plot_limit import plot_limit
from report import Result, WrongAnswerError, conduct, progress, read_options, result
from timing import SETTLE_SECONDS, Spread, Statement, alternate, paired_ratio, pick_fastest, spread

EXTRA_BYTES_TARGET = 1 << 20
# Not a target of its own: cost counts as linear when an element costs the same within the noise of a busy machine.
GROWTH_TARGET = 1.1
FIRST, LARGE = 64 << 10, 1 << 30  # sizes of the cost curve
Point = dict[str, Any]


def run_case(case: Case, bench: Bench, seconds: float) -> Result:
    """Measure one case: pick the fastest of each side, then sample both in turn."""
    known: Result = {"row": case.row, "target": case.target, "unit": case.unit, "better": case.better}
    if reason := case.missing(bench):
        return result(case.key, None, **known) | {"skipped": reason}
    duel = case.build(bench)
    pause = SETTLE_SECONDS if (case.threads or 1) > 1 else 0.0
    sides: list[Statement] = []
    candidates: dict[str, float] = {}
    for side in filter(None, (duel.ours, duel.reference)):
        fastest, medians = pick_fastest(side, seconds_each=seconds / 5, pause=pause)
        sides.append(fastest)
        candidates |= medians
    mine, *others = alternate(sides, seconds_each=seconds, pause=pause).values()
    if case.unit == "G elements/s":
        value = spread([duel.elements / second / 1e9 for second in mine.seconds])
    else:
        value = paired_ratio(others[0], mine) if case.unit == "ratio" else paired_ratio(mine, others[0])
    return result(
        case.key,
        value,
        **known,
        elements=duel.elements,
        ours=sides[0].name,
        reference=sides[-1].name if others else "",
        seconds=dataclasses.asdict(mine.spread),
        reference_seconds=dataclasses.asdict(others[0].spread) if others else None,
        candidates=candidates,
        giga_elements_per_second=duel.elements / mine.spread.median / 1e9,
        gigabytes_per_second=duel.bytes_moved / mine.spread.median / 1e9,
    )


def memory_results(options: argparse.Namespace) -> Iterator[Result]:
    """Measure the extra memory with one thread and with all; three processes each, the largest value counts."""
    for threads in sorted({1, options.threads}):
        size = "64" if options.quick else "1024"
        command = [sys.executable, str(ROOT / "bench" / "memory_probe.py"), size, str(threads)]
        found = [float(subprocess.check_output(command)) for _ in range(3)]
        most = Spread(max(found), min(found), max(found), len(found))
        row, target = "extra memory on 1 GiB in place", EXTRA_BYTES_TARGET
        yield result(f"extra-memory/threads={threads}", most, unit="bytes", target=target, row=row)


def sweep_sizes(largest: int) -> list[int]:
    """Return the sizes of the cost curve: steps of four from 64 Ki to `largest`."""
    return [FIRST << shift for shift in range(0, 40, 2) if FIRST << shift <= largest]


def thread_counts(most: int) -> list[int]:
    """Return the powers of two up to `most`, and `most` itself."""
    return sorted({1 << k for k in range(most.bit_length())} | {most})


def clock_rate() -> float | None:
    """Return the CPU's clock in GHz, by chains of six instructions of one cycle each; None without Numba."""
    if (numba := optional("numba")) is None:
        return None

    def turns(state: Any, count: int) -> Any:
        for _ in range(count):
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
        return state

    scope = {"turns": numba.njit(turns), "state": np.uint64(88172645463325252), "count": 100_000}
    (samples,) = alternate([Statement("clock", "turns(state, count)", scope)], seconds_each=0.2).values()
    return 6 * 100_000 / min(samples.seconds) / 1e9


def cycles(results: Sequence[Result]) -> Iterator[Result]:
    """Yield what 4096 elements take in level 2, and their packed mask, in cycles of the clock as it is now."""
    targets = {"level-2/p=0.1": 1000, "level-2/p=0.5": None, "packed/p=0.1": 750, "packed/p=0.5": None}
    rates = {r["case"]: r["giga_elements_per_second"] for r in results if r["case"] in targets and not r["skipped"]}
    clock = clock_rate() if rates else None
    for case, rate in rates.items():
        if clock is not None:
            row, value = "cycles for 4096 elements", spread([4096 / rate * clock])
            yield result(f"cycles/{case}", value, unit="cycles", target=targets[case], row=row, clock_ghz=clock)


def confined_results(options: argparse.Namespace) -> list[Result]:
    """Measure the cases whose peers are confined to AVX2, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--only", "hash32, AVX2", "--seconds", str(options.seconds), "--output-dir", folder]
        command = [sys.executable, __file__, *words, *["--quick"] * options.quick]
        subprocess.run(command, env=os.environ | NUMBA_AVX2, check=True, stdout=subprocess.DEVNULL)
        found: list[Result] = json.loads((Path(folder) / "limit.json").read_text(encoding="utf-8"))["results"]
        return found


def cost_sweep(largest: int, seconds_each: float) -> list[Point]:
    """Time one thread over float32 arrays of growing size; each size is the front of one large array."""
    # Half of the free memory is left alone.
    sizes = [size for size in sweep_sizes(largest) if 4 * size <= psutil.virtual_memory().available // 2]
    whole = array(max(sizes))
    return list(_points(((f"cost of {count_name(size)}", {}, whole[:size], 1) for size in sizes), seconds_each))


def thread_sweep(sizes: Sizes, most: int, seconds_each: float) -> list[Point]:
    """Time simdrop and NumPy's scaling with 1, 2, 4 ... threads, in the caches and from memory."""
    settings = [
        (f"{place}, threads: {threads}", {"place": place, "threads": threads}, x, threads)
        for place, x in (("in cache", array(sizes.cache)), ("from memory", array(sizes.memory)))
        for threads in thread_counts(most)
    ]
    return list(_points(settings, seconds_each))


def _points(settings: Iterable[tuple[str, Point, Array, int]], seconds_each: float) -> Iterator[Point]:
    for _, fields, x, threads in progress(settings, lambda setting: setting[0]):
        limit = scaling(x) if threads == 1 else numpy_scaling(x, threads)
        statements = [dataclasses.replace(limit, name="np.multiply")]
        statements += [drop(x, p, threads, name=f"simdrop, p = {p:g}") for p in (0.1, 0.5)]
        pause = SETTLE_SECONDS if "threads" in fields else 0.0
        for name, samples in alternate(statements, seconds_each=seconds_each, min_rounds=3, pause=pause).items():
            yield {"contestant": name, **fields, "elements": x.size, "seconds": dataclasses.asdict(samples.spread)}


def growth(points: Sequence[Point]) -> Iterator[tuple[str, float]]:
    """Yield, for each simdrop curve, the cost of an element of the largest array over that of the third largest.

    The curve has steps of four: the two arrays differ sixteenfold, and with the usual sizes both exceed every cache.
    """
    sizes = sorted({point["elements"] for point in points})
    cost = {(p["contestant"], p["elements"]): p["seconds"]["median"] / p["elements"] for p in points}
    for name in dict.fromkeys(name for name, _ in cost if name.startswith("simdrop") and len(sizes) >= 3):
        yield name, cost[name, sizes[-1]] / cost[name, sizes[-3]]


def check_answers(bench: Bench) -> None:
    """Check simdrop's answers on every instruction set, type and p of the cases, and the answers of the peers."""
    for dtype in (name for name in ALL_DTYPES if dtype_of(name) is not None):
        x = np.empty(1 << 20, dtype_of(dtype))
        for contestant in bench.peers.values():
            if contestant.takes(dtype, x.size) and contestant.name != "Python loop":
                for p in MEMORY_P if contestant.exact else (0.1,):
                    check(contestant, x, p, 1)
    mask = simdrop.Mask((512, 64), 0.1, seed=7)
    base = np.random.default_rng(7).uniform(1, 2, (1024, 64)).astype(np.float32)
    wanted = mask.apply(base[::2].copy())
    right = {
        "every second row": np.array_equal(mask.apply_(base.copy()[::2]), wanted),
        "out": np.array_equal(mask.apply(base[::2], out=np.empty_like(wanted)), wanted),
        "threads": np.array_equal(mask.apply(base[::2], threads=bench.threads), wanted),
        "packed": np.array_equal(mask.packed(), np.packbits(mask.keep().reshape(-1), bitorder="little")),
        "transposed": np.array_equal(mask.apply_(np.array(base[::2].T, order="C").T), wanted),
    }
    if wrong := [name for name, fine in right.items() if not fine]:
        raise WrongAnswerError("simdrop: " + ", ".join(wrong))


def measure(options: argparse.Namespace, chosen: Sequence[Case]) -> tuple[list[Result], dict[str, Any]]:
    """Run the cases, and the curves unless only some cases are wanted."""
    peers = {contestant.name: contestant for contestant in gather(1)[0]}
    bench = Bench(options.threads, QUICK if options.quick else Sizes(), peers)
    check_answers(bench)
    confined = NUMBA_AVX2.items() <= os.environ.items()
    here = [case for case in chosen if case.confined == confined]
    results = [run_case(case, bench, options.seconds) for case in progress(here, lambda case: case.key)]
    results += cycles(results)
    if any(case.confined for case in chosen) and not confined:
        results += confined_results(options)
    curves: dict[str, Any] = {"cost": [], "thread_scaling": []}
    if options.only == [""]:
        largest = LARGE if options.large else bench.sizes.memory
        curves["cost"] = cost_sweep(largest, options.seconds / 3)
        curves["thread_scaling"] = thread_sweep(bench.sizes, options.threads, options.seconds / 3)
        results += memory_results(options)
        for name, ratio in growth(curves["cost"]):
            key, row = f"cost/{name.split(', ')[1].replace(' ', '')}", "cost of an element, 16 times the size"
            results.append(result(key, spread([ratio]), unit="ratio", target=GROWTH_TARGET, row=row))
    simdrop.use_isa(BEST)
    return results, curves


def main(words: Sequence[str] | None = None) -> int:
    """Run the cases; the exit code tells whether it worked, not whether every target was reached."""
    large = {"action": "store_true", "help": "draw the cost up to 1 Gi elements (4 GiB), not 64 Mi"}
    names = {"action": "store_true", "help": "print the names of the cases and stop"}
    options = read_options(__doc__, words, seconds=1.5, threads=usable_cpus(), large=large, list=names)
    chosen = [case for case in cases() if options.wanted(case.key)]
    if options.list:
        print("\n".join(case.key for case in chosen))
        return 0
    return conduct("limit", options, lambda out: measure(options, chosen), draw=plot_limit)


if __name__ == "__main__":
    sys.exit(main())
