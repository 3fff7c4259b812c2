"""Timing side by side: every contestant is sampled once a round, so that all of them meet the same noise.

A clock that drifts, a neighbour that wakes up or a CPU that heats up then moves all contestants of a round together,
and the ratio within a round stays meaningful. Medians and quartiles are reported, never the mean: interruptions only
ever add time.
"""

from __future__ import annotations

import dataclasses
import math
import random
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# Two milliseconds hold thousands of timer ticks and are well below the scheduler's time slice.
SAMPLE_SECONDS = 0.002
# A call shorter than this may live in a cache that another contestant has just emptied: one untimed call refills it.
WARM_CALL_SECONDS = 0.02
# Threads of other libraries spin for some milliseconds after their work and would take a core from the next sample.
SETTLE_SECONDS = 0.01
# The order of the contestants within a round is shuffled, so that nobody always runs after the same neighbour.
ORDER_SEED = 20240501


def nothing() -> None:
    """Do nothing: the default for work to do before a sample."""


@dataclasses.dataclass(frozen=True)
class Statement:
    """One thing to time.

    A string is compiled into the timing loop (as `python -m timeit` does), which adds no call of its own; a callable
    adds about 0.05 us to each call. `before` runs untimed ahead of every sample. While time is taken, the garbage
    collector is off.
    """

    name: str
    run: str | Callable[[], object]
    scope: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    before: Callable[[], object] = nothing


@dataclasses.dataclass(frozen=True)
class Spread:
    """A median with its quartiles; the result files use the same names."""

    median: float
    q1: float
    q3: float
    samples: int


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles of `values` (quartiles by linear interpolation, ends included)."""
    if not values:
        raise ValueError("spread of no values")
    q1, median, q3 = (float(value) for value in np.percentile(values, (25, 50, 75)))
    return Spread(median, q1, q3, len(values))


@dataclasses.dataclass(frozen=True)
class Samples:
    """Seconds for one call, one entry for each round, and how many calls each entry averages over."""

    seconds: tuple[float, ...]
    repeats: int

    @property
    def spread(self) -> Spread:
        """Median and quartiles of the seconds for one call."""
        return spread(self.seconds)


def repeats_for(seconds_per_call: float, sample_seconds: float = SAMPLE_SECONDS) -> int:
    """Return how many calls make up one sample: enough to last `sample_seconds`, at least one."""
    if seconds_per_call <= 0:
        raise ValueError(f"seconds_per_call must be positive, got {seconds_per_call}")
    return max(1, math.ceil(sample_seconds / seconds_per_call))


def estimate(timer: timeit.Timer, sample_seconds: float = SAMPLE_SECONDS) -> float:
    """Return a first guess of the seconds for one call: double the calls until they last a quarter of a sample."""
    calls = 1
    while True:
        elapsed = timer.timeit(calls)
        if elapsed >= sample_seconds / 4 or calls >= 1 << 24:
            return max(elapsed / calls, 1e-9)
        calls *= 2


def alternate(
    statements: Sequence[Statement],
    *,
    seconds_each: float,
    min_rounds: int = 5,
    max_rounds: int = 200,
    sample_seconds: float = SAMPLE_SECONDS,
    pause: float = 0.0,
) -> dict[str, Samples]:
    """Sample all statements in turn until each has used its time.

    Parameters
    ----------
    statements : sequence of Statement
        What to time; names must differ.
    seconds_each : float
        Time for each statement. One that has used it up, and has been sampled `min_rounds` times, leaves; round r of
        one statement therefore always pairs with round r of another.
    min_rounds, max_rounds : int
        Bounds of the number of samples of each statement.
    sample_seconds : float
        How long one sample should last; short calls are repeated to fill it.
    pause : float
        Seconds of sleep ahead of every sample; SETTLE_SECONDS where several threads are at work.
    """
    if len({statement.name for statement in statements}) != len(statements):
        raise ValueError("two statements have the same name")
    order = random.Random(ORDER_SEED)
    timers = {s.name: timeit.Timer(s.run, globals=dict(s.scope)) for s in statements}
    repeats: dict[str, int] = {}
    warm: set[str] = set()
    for statement in statements:
        timer = timers[statement.name]
        statement.before()
        timer.timeit(1)  # warm-up: compiles, starts threads, touches pages
        guess = estimate(timer, sample_seconds)
        repeats[statement.name] = repeats_for(guess, sample_seconds)
        if guess < WARM_CALL_SECONDS:
            warm.add(statement.name)

    seconds: dict[str, list[float]] = {name: [] for name in timers}
    running = list(statements)
    for _ in range(max_rounds):
        order.shuffle(running)
        for statement in running:
            name = statement.name
            if pause:
                time.sleep(pause)
            statement.before()
            if name in warm:
                timers[name].timeit(1)
            seconds[name].append(timers[name].timeit(repeats[name]) / repeats[name])
        running = [
            s
            for s in running
            if sum(seconds[s.name]) * repeats[s.name] < seconds_each or len(seconds[s.name]) < min_rounds
        ]
    return {name: Samples(tuple(values), repeats[name]) for name, values in seconds.items()}


def paired_ratio(numerator: Samples, denominator: Samples) -> Spread:
    """Return the spread of the time ratios taken within the rounds that both statements were part of."""
    return spread([a / b for a, b in zip(numerator.seconds, denominator.seconds, strict=False)])


def pick_fastest(
    statements: Sequence[Statement], *, seconds_each: float, pause: float = 0.0
) -> tuple[Statement, dict[str, float]]:
    """Return the statement with the smallest median, and all medians in seconds by name."""
    if len(statements) == 1:
        return statements[0], {}
    taken = alternate(statements, seconds_each=seconds_each, pause=pause)
    medians = {name: samples.spread.median for name, samples in taken.items()}
    return min(statements, key=lambda statement: medians[statement.name]), medians
