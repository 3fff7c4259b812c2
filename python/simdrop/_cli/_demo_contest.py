"""The contestants of ``simdrop demo``, each checked before it is timed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import simdrop
from simdrop._cli._errors import SYSTEM_FAILED, CommandError
from simdrop._cli._progress import progress

Array = np.ndarray[Any, np.dtype[Any]]

_SIGMAS = 6.0  # a correct contestant fails its check once in 10**9 runs
_BYTE_BLOCK = 1 << 16  # elements; the block, its bytes and its mask stay in the second-level cache
_SEED = 20


@dataclass(frozen=True)
class Contestant:
    """One way to do dropout.

    ``run(x, p)`` may change ``x``, and returns the result. It works on the first ``limit`` elements of the data only,
    if that is given: a Python loop over all of them would take longer than all the others together.
    """

    name: str
    run: Callable[[Array, float], Array]
    real_p: Callable[[float], float] = float
    limit: int | None = None


def contestants(python_limit: int) -> list[Contestant]:
    """Return the contestants, slowest first. ``python_limit`` is the number of elements for the Python loop."""
    generator = np.random.default_rng(_SEED)
    sfc = np.random.Generator(np.random.SFC64(_SEED))
    stream = simdrop.Stream(_SEED)
    draw = random.Random(_SEED).random

    def python_loop(x: Array, p: float) -> Array:
        scale = 1 / (1 - p)
        return np.array([value * scale if draw() >= p else 0.0 for value in x.tolist()], x.dtype)

    # With numbers of the data's own type, and in place.
    def float32(x: Array, p: float) -> Array:
        np.multiply(x, generator.random(x.shape, dtype=np.float32) >= np.float32(p), out=x)
        return scaling(x, p)

    # The fastest recipe known to us: NumPy's fastest generator, a byte for each decision, in place, block by block.
    def byte_blocks(x: Array, p: float) -> Array:
        threshold = round(p * 256)
        for start in range(0, x.size, _BYTE_BLOCK):
            block = x[start : start + _BYTE_BLOCK]
            words = sfc.integers(0, 2**64, (block.size + 7) // 8, dtype=np.uint64)
            np.multiply(block, words.view(np.uint8)[: block.size] >= threshold, out=block)
            scaling(block, threshold / 256)
        return x

    def scaling(x: Array, p: float) -> Array:
        np.multiply(x, np.float32(1 / (1 - p)), out=x)
        return x

    def library(threads: int) -> Contestant:
        name = f"simdrop, {threads} thread{'s' * (threads > 1)}"
        return Contestant(name, lambda x, p: simdrop.dropout_(x, p, rng=stream, threads=threads))

    return [
        Contestant("Python loop", python_loop, limit=python_limit),
        # The line that everybody writes. It draws float64 numbers and makes four new arrays.
        Contestant("NumPy, naive", lambda x, p: x * (generator.random(x.shape) >= p) / (1 - p)),
        Contestant("NumPy, float32", float32),
        Contestant("NumPy, random bytes", byte_blocks, real_p=lambda p: round(p * 256) / 256),
        *(library(threads) for threads in sorted({1, simdrop.get_num_threads()})),
        Contestant("scaling, 1 thread", scaling, real_p=lambda p: 0.0),
    ]


def check(contestant: Contestant, data: Array, p: float) -> None:
    """Raise unless the contestant drops the right fraction and scales what it keeps."""
    data = data[: contestant.limit]
    result, real_p = contestant.run(data.copy(), p), contestant.real_p(p)
    scale = 1 / (1 - (real_p or p))  # scaling drops nothing, and scales as if it did
    if not np.all(np.isclose(result, data * scale, rtol=1e-5, atol=0) | (result == 0)):
        raise CommandError(f"{contestant.name}: kept values are not x / (1 - p)", SYSTEM_FAILED)
    visible = np.count_nonzero(data)  # where the data is zero, nobody can tell
    dropped, expected = np.count_nonzero((result == 0) & (data != 0)), visible * real_p
    if abs(dropped - expected) > _SIGMAS * np.sqrt(expected * (1 - real_p)):
        raise CommandError(
            f"{contestant.name}: dropped {dropped} of {visible} values, expected {expected:.0f}", SYSTEM_FAILED
        )


def race(
    entrants: list[Contestant], data: Array, probabilities: Sequence[float], rounds: int
) -> dict[float, dict[str, float]]:
    """Check all contestants, time them in turn, again and again, and return each one's median in seconds per element.

    Taking turns spreads whatever else the machine does over all of them. Each starts from a fresh copy of the data;
    making the copy is not timed.
    """
    times: dict[float, dict[str, list[float]]] = {p: {entrant.name: [] for entrant in entrants} for p in probabilities}
    work = data.copy()
    with progress(len(times) * rounds * len(entrants), "timing", unit="run") as step:
        for p, lists in times.items():
            for entrant in entrants:
                check(entrant, data, p)
            for entrant in entrants * rounds:
                np.copyto(work, data)
                part = work[: entrant.limit]
                start = time.perf_counter()
                entrant.run(part, p)
                lists[entrant.name].append((time.perf_counter() - start) / part.size)
                step(1)
    return {p: {name: float(np.median(values)) for name, values in lists.items()} for p, lists in times.items()}
