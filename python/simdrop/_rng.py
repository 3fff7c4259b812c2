"""What callers may give as ``rng``, made into a stream of draws.

The convention is SPEC 7 of the scientific Python ecosystem
(https://scientific-python.org/specs/spec-0007/), with `Stream` beside NumPy's kinds.
"""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias, Union

import numpy as np

from simdrop import _core
from simdrop._core import Stream

if TYPE_CHECKING:
    from numpy.random import BitGenerator, Generator, SeedSequence

RNG: TypeAlias = Union[
    "Stream", SupportsIndex, Sequence[SupportsIndex], "SeedSequence", "Generator", "BitGenerator", None
]

_ACCEPTED = (
    "None, an integer seed, a sequence of integers, a numpy.random.SeedSequence, Generator or BitGenerator, "
    "or a simdrop.Stream"
)


def as_stream(rng: RNG) -> Stream:
    """Return `rng` itself if it is a stream, else a new stream seeded from it."""
    source = as_source(rng)
    return source if isinstance(source, Stream) else Stream(source)


def as_source(rng: RNG) -> Stream | int:
    """Return `rng` itself if it is a stream, else the seed of a new one.

    An integer below 2**64 is the seed itself. Larger ones, and sequences, are made into a seed by NumPy's
    `SeedSequence`, which is what ``numpy.random.default_rng`` does with them.
    """
    if type(rng) is int and 0 <= rng < 2**64:  # what is usual first, because these lines are a part of small calls
        return rng
    if rng is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(rng, Stream):
        return rng
    # Integers first: `np.random` is imported when it is first named, and a process that is forked while another thread
    # imports would wait for it for ever.
    entropy = None if isinstance(rng, _made_by_numpy()) else _entropy(rng)
    if isinstance(entropy, int) and entropy < 2**64:
        return entropy
    if isinstance(rng, np.random.BitGenerator):
        rng = np.random.Generator(rng)
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(0, 2**64, dtype=np.uint64))
    sequence = rng if isinstance(rng, np.random.SeedSequence) else np.random.SeedSequence(entropy)
    return int(sequence.generate_state(1, np.uint64)[0])


def _made_by_numpy() -> tuple[type, ...]:
    random = sys.modules.get("numpy.random")
    return () if random is None else (random.BitGenerator, random.Generator, random.SeedSequence)


def _entropy(rng: Any) -> int | list[int]:
    """Return an integer or a sequence of integers as Python's own, none of them negative."""
    entropy: int | list[int]
    try:
        entropy = _integer(rng)
    except TypeError:
        try:
            if not isinstance(rng, Sequence | np.ndarray) or isinstance(rng, str | bytes | bytearray | memoryview):
                raise TypeError
            entropy = [_integer(value) for value in rng]
        except TypeError:
            raise TypeError(f"rng: got {_core.shown(rng)} ({type(rng).__name__}); accepted: {_ACCEPTED}") from None
    if min(entropy if isinstance(entropy, list) else [entropy], default=0) < 0:
        raise ValueError(f"rng: got {_core.shown(rng)}; accepted: integers of 0 and above")
    return entropy


def _integer(value: Any) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError
    return operator.index(value)
