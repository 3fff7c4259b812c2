"""Checks a contestant's answer before it is timed: a fast wrong answer must not enter a table."""

from __future__ import annotations

import math

import numpy as np
from contestants import SEED, Array, Contestant, Prepared
from report import WrongAnswerError

WINDOW = 1 << 20  # kept values are compared at both ends; the fraction is counted over the whole array
SIGMAS = 6.0  # a right answer fails once in half a billion checks
MAX_ULPS = 4  # recipes may multiply twice or divide; none needs more roundings than this


def fill(x: Array) -> None:
    """Fill `x` with values that show every mistake: never zero, both signs, all different within a window."""
    flat = x.reshape(-1)
    rng = np.random.default_rng(SEED)
    piece = rng.uniform(0.5, 1.5, min(flat.size, WINDOW)) * rng.choice((-1.0, 1.0), min(flat.size, WINDOW))
    with_type = piece.astype(x.dtype)
    for start in range(0, flat.size, WINDOW):
        flat[start : start + WINDOW] = with_type[: flat.size - start]


def count_nonzero(values: Array) -> int:
    """Count the values that are neither +0 nor -0 (the recipes that multiply by zero make both)."""
    if values.itemsize == 2:  # NumPy counts floats of 16 bits one by one; without the sign they are integers
        return int(np.count_nonzero(values.view(np.uint16) << np.uint16(1)))
    return int(np.count_nonzero(values))


def _check_kept(contestant: Contestant, source: Array, answer: Array, p: float) -> None:
    """Raise WrongAnswerError unless every element that is not zero is the scaled source element."""
    kept = answer != 0
    if contestant.exact:
        # The scale that the mask format defines, in the type that is computed in.
        scale = (np.float64 if source.dtype == np.float64 else np.float32)(1 / (1 - round(p * 2**40) / 2**40))
        expected = np.where(kept, (source.astype(scale.dtype) * scale).astype(source.dtype), source.dtype.type(0))
        unsigned = np.dtype(f"u{source.itemsize}")
        right = expected.view(unsigned) == np.ascontiguousarray(answer).view(unsigned)
    else:
        true_scale = 1 / (1 - contestant.probability(p))
        wanted = source[kept].astype(np.float64) * true_scale
        # One unit in the last place: 2^-10 for float16, 2^-7 for bfloat16, which numpy.finfo does not know.
        unit = 2.0**-7 if source.dtype.name == "bfloat16" else float(np.finfo(source.dtype).eps)
        right = np.abs(answer[kept].astype(np.float64) - wanted) <= MAX_ULPS * unit * np.abs(wanted)
    if not np.all(right):
        wrong = int(np.size(right) - np.count_nonzero(right))
        raise WrongAnswerError(f"{contestant.name}: {wrong} kept or dropped values are wrong, p = {p}, {source.dtype}")


def _answer(prepared: Prepared, x: Array) -> Array:
    """Call the contestant and return its answer as an array of the type of `x`."""
    returned = prepared.call()
    in_place = returned is None or (isinstance(returned, np.ndarray) and np.may_share_memory(returned, x))
    return x if in_place else np.asarray(returned, dtype=x.dtype)


def check(contestant: Contestant, x: Array, p: float, threads: int) -> Prepared:
    """Bind the contestant to `x`, check two of its answers, and return it ready to be timed.

    The drop count must lie within six standard deviations of the binomial, kept values must be the scaled input (to the
    last bit for simdrop, whose dropped values must be +0), and a second call must draw another mask.
    """
    fill(x)
    source_head, source_tail = x[:WINDOW].copy(), x[-WINDOW:].copy()
    prepared = contestant.prepare(x, p, threads)
    prepared.before()
    answer = _answer(prepared, x)
    dropped = answer.size - count_nonzero(answer)
    real_p = contestant.probability(p)
    slack = SIGMAS * math.sqrt(x.size * real_p * (1 - real_p)) + (real_p > 0)
    if abs(dropped - x.size * real_p) > slack:
        expected = f"{x.size * real_p:.0f} +- {slack:.0f}"
        raise WrongAnswerError(f"{contestant.name}: {dropped} of {x.size} dropped, credible is {expected}")
    _check_kept(contestant, source_head, answer[:WINDOW], p)
    _check_kept(contestant, source_tail, answer[-WINDOW:], p)
    if contestant.drops and 1024 <= x.size <= WINDOW and 0 < p < 1:
        first = np.asarray(answer == 0)
        if np.array_equal(first, np.asarray(_answer(prepared, x) == 0)):
            raise WrongAnswerError(f"{contestant.name}: two calls drew the same mask")
    return prepared
