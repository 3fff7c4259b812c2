"""What callers may give as ``rng``, made into a stream of draws.

The convention is SPEC 7 of the scientific Python ecosystem
(https://scientific-python.org/specs/spec-0007/), with `Stream` beside NumPy's kinds.
"""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, SupportsIndex, TypeAlias, Union

import numpy as np

from simdrop._core import Stream

if TYPE_CHECKING:
    from numpy.random import BitGenerator, Generator, SeedSequence

RNG: TypeAlias = Union["Stream", SupportsIndex, "SeedSequence", "Generator", "BitGenerator", None]


def as_stream(rng: RNG) -> Stream:
    """Return `rng` itself if it is a stream, else a new stream seeded from it."""
    if isinstance(rng, Stream):
        return rng
    if rng is None:
        return Stream(int.from_bytes(os.urandom(8), "little"))
    if isinstance(rng, np.random.SeedSequence):
        return Stream(int(rng.generate_state(1, np.uint64)[0]))
    if isinstance(rng, np.random.BitGenerator):
        rng = np.random.Generator(rng)
    if isinstance(rng, np.random.Generator):
        return Stream(int(rng.integers(0, 2**64, dtype=np.uint64)))
    if isinstance(rng, bool | np.bool_) or not hasattr(type(rng), "__index__"):
        raise TypeError(
            f"rng: got {rng!r} ({type(rng).__name__}); accepted: None, an integer seed, a numpy.random.SeedSequence, "
            "Generator or BitGenerator, or a simdrop.Stream"
        )
    return Stream(_seed(operator.index(rng)))


def _seed(seed: int) -> int:
    if not 0 <= seed < 2**64:
        raise ValueError(f"rng: got the seed {seed}; accepted: an integer from 0 to {2**64 - 1}")
    return seed
