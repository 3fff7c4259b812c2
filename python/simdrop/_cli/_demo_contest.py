"""The contestants of ``simdrop demo``, each checked before it is timed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import simdrop
from simdrop._cli._errors import CommandError

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
    drops: bool = True


def contestants(python_limit: int) -> list[Contestant]:
    """Return the contestants, slowest first. ``python_limit`` is the number of elements for the Python loop."""
    generator = np.random.default_rng(_SEED)
    sfc = np.random.Generator(np.random.SFC64(_SEED))
    stream = simdrop.Stream(_SEED)
    draw = random.Random(_SEED).random

    def python_loop(x: Array, p: float) -> Array:
        scale = 1 / (1 - p)
        values: list[float] = x.tolist()
        return np.array([value * scale if draw() >= p else 0.0 for value in values], x.dtype)

    # The line that everybody writes. It draws float64 numbers and makes four new arrays.
    def naive(x: Array, p: float) -> Array:
        result: Array = x * (generator.random(x.shape) >= p) / (1 - p)
        return result

    # The same with numbers of the data's own type, and in place.
    def float32(x: Array, p: float) -> Array:
        keep = generator.random(x.shape, dtype=np.float32) >= np.float32(p)
        np.multiply(x, keep, out=x)
        np.multiply(x, np.float32(1 / (1 - p)), out=x)
        return x

    # The fastest recipe known to us: NumPy's fastest generator, a byte for each decision, in place, block by block.
    def byte_blocks(x: Array, p: float) -> Array:
        threshold = round(p * 256)
        scale = np.float32(256 / (256 - threshold))
        for start in range(0, x.size, _BYTE_BLOCK):
            block = x[start : start + _BYTE_BLOCK]
            words = sfc.integers(0, 2**64, (block.size + 7) // 8, dtype=np.uint64)
            np.multiply(block, words.view(np.uint8)[: block.size] >= threshold, out=block)
            np.multiply(block, scale, out=block)
        return x

    def library(threads: int) -> Callable[[Array, float], Array]:
        def run(x: Array, p: float) -> Array:
            simdrop.dropout_(x, p, rng=stream, threads=threads)
            return x

        return run

    def scaling(x: Array, p: float) -> Array:
        np.multiply(x, np.float32(1 / (1 - p)), out=x)
        return x

    many = simdrop.get_num_threads()
    return [
        Contestant("Python loop", python_loop, limit=python_limit),
        Contestant("NumPy, naive", naive),
        Contestant("NumPy, float32", float32),
        Contestant("NumPy, random bytes", byte_blocks, real_p=lambda p: round(p * 256) / 256),
        Contestant("simdrop, 1 thread", library(1)),
        *([Contestant(f"simdrop, {many} threads", library(many))] if many > 1 else []),
        Contestant("scaling, 1 thread", scaling, drops=False),
    ]


def check(contestant: Contestant, data: Array, p: float) -> None:
    """Raise unless the contestant drops the right fraction and scales what it keeps."""
    data = data[: contestant.limit]
    result = contestant.run(data.copy(), p)
    q = 1 - contestant.real_p(p)
    scaled = np.isclose(result, data / ((1 - p) if not contestant.drops else q), rtol=1e-5, atol=0)
    visible = np.count_nonzero(data)  # where the data is zero, nobody can tell
    dropped = np.count_nonzero((result == 0) & (data != 0))
    if not bool(np.all(scaled | (result == 0))):
        raise CommandError(f"{contestant.name}: kept values are not x / (1 - p)", 1)
    expected = visible * (1 - q) if contestant.drops else 0.0
    if abs(dropped - expected) > _SIGMAS * np.sqrt(visible * q * (1 - q)):
        raise CommandError(f"{contestant.name}: dropped {dropped} of {visible} values, expected {expected:.0f}", 1)


def seconds_each(
    entrants: list[Contestant], data: Array, p: float, rounds: int, step: Callable[[int], None]
) -> dict[str, float]:
    """Time all contestants in turn, again and again, and return each one's median in seconds per element.

    Taking turns spreads whatever else the machine does over all of them. Each starts from a fresh copy of the data;
    making the copy is not timed. ``step`` is called after each run.
    """
    times: dict[str, list[float]] = {entrant.name: [] for entrant in entrants}
    work = data.copy()
    for _ in range(rounds):
        for entrant in entrants:
            np.copyto(work, data)
            part = work[: entrant.limit]
            start = time.perf_counter()
            entrant.run(part, p)
            times[entrant.name].append((time.perf_counter() - start) / part.size)
            step(1)
    return {name: float(np.median(values)) for name, values in times.items()}
