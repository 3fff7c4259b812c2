"""Curves next to the targets: the cost against the size of the array, and the speed against the threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from limit_cases import Bench, array, scaling
from machine import optional
from report import count_name, progress
from scalings import numpy_scaling
from timing import SETTLE_SECONDS, Statement, alternate

FIRST, LAST, LARGE = 64 << 10, 64 << 20, 1 << 30
PROBABILITIES = (0.1, 0.5)


def sweep_sizes(largest: int) -> list[int]:
    """Return the sizes of the cost curve: steps of four from 64 Ki to `largest`."""
    sizes = []
    size = FIRST
    while size <= largest:
        sizes.append(size)
        size *= 4
    return sizes


def fits(elements: int) -> bool:
    """Return whether a float32 array of so many elements leaves half of the free memory alone."""
    psutil = optional("psutil")
    return psutil is None or 4 * elements <= psutil.virtual_memory().available // 2


def cost_sweep(bench: Bench, sizes: Sequence[int], seconds_each: float) -> list[dict[str, Any]]:
    """Time one thread over float32 arrays of growing size; each size is the front of one large array."""
    whole = array(max(sizes))
    points = []
    for size in progress(sizes, lambda size: f"cost of {count_name(size)}"):
        x = whole[:size]
        named = [bench.drop(x, p, name=f"simdrop, p = {p:g}") for p in PROBABILITIES]
        for name, samples in alternate([scaling(x), *named], seconds_each=seconds_each, min_rounds=3).items():
            points.append({"contestant": name, "elements": size, "seconds": samples.spread.as_json()})
    return points


def growth(points: Sequence[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    """Yield, for each simdrop curve, the cost of an element of the largest array over that of the third largest.

    The curve has steps of four: the two arrays differ sixteenfold, and with the usual sizes both exceed every cache.
    """
    sizes = sorted({point["elements"] for point in points})
    if len(sizes) < 3:
        return
    cost = {(p["contestant"], p["elements"]): p["seconds"]["median"] / p["elements"] for p in points}
    for name in dict.fromkeys(point["contestant"] for point in points):
        if name.startswith("simdrop"):
            yield name, cost[name, sizes[-1]] / cost[name, sizes[-3]]


def thread_counts(most: int) -> list[int]:
    """Return the powers of two up to `most`, and `most` itself."""
    return sorted({1 << k for k in range(most.bit_length()) if 1 << k <= most} | {most})


def thread_sweep(bench: Bench, seconds_each: float) -> list[dict[str, Any]]:
    """Time simdrop and NumPy's scaling with 1, 2, 4 ... threads, in the caches and from memory."""
    points = []
    arrays = {"in cache": array(bench.sizes.cache), "from memory": array(bench.sizes.memory)}
    pairs = [(place, threads) for place in arrays for threads in thread_counts(bench.threads)]
    for place, threads in progress(pairs, lambda pair: f"{pair[0]}, threads: {pair[1]}"):
        x = arrays[place]
        statements = [
            Statement("np.multiply", numpy_scaling(x, threads).run),
            *(bench.drop(x, p, threads=threads, name=f"simdrop, p = {p:g}") for p in PROBABILITIES),
        ]
        for name, samples in alternate(statements, seconds_each=seconds_each, pause=SETTLE_SECONDS).items():
            point = {"contestant": name, "place": place, "elements": x.size, "threads": threads}
            points.append(point | {"seconds": samples.spread.as_json()})
    return points
