"""The numbers of a mask: checked, immutable, comparable. What can be done with them is in _mask.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import SupportsFloat, SupportsIndex

from simdrop import _core
from simdrop._shapes import NoiseShape, Shape, as_noise_shape, as_shape

_LAST_INTEGER = 2**64 - 1
_INDICES = 1 << _core.INDEX_BITS


class MaskNumbers:
    """What a `simdrop.Mask` is made of."""

    __slots__ = ("_noise_shape", "_numbers", "_shape")

    _shape: tuple[int, ...]
    _noise_shape: tuple[int, ...]
    _numbers: tuple[float, int, int, int]  # p, seed, stream, offset

    def __init__(
        self,
        shape: Shape,
        p: SupportsFloat,
        *,
        seed: SupportsIndex,
        stream: SupportsIndex = 0,
        offset: SupportsIndex = 0,
        noise_shape: NoiseShape = None,
        broadcast_dims: Sequence[SupportsIndex] = (),
    ) -> None:
        lengths = as_shape("shape", shape)
        if noise_shape is None and not broadcast_dims:
            bits = lengths
        else:
            bits = as_noise_shape(lengths, noise_shape, broadcast_dims)
        size = math.prod(lengths)
        if size > _INDICES:
            raise ValueError(f"shape: got {lengths}, {size} elements; accepted: at most 2**58")
        _core.threshold(p)  # refuses what is not a probability
        numbers = (
            float(p),
            _core.unsigned_integer("seed", seed, _LAST_INTEGER),
            _core.unsigned_integer("stream", stream, _LAST_INTEGER),
            _core.unsigned_integer("offset", offset, _INDICES - size),
        )
        object.__setattr__(self, "_shape", lengths)
        object.__setattr__(self, "_noise_shape", bits)
        object.__setattr__(self, "_numbers", numbers)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Mask cannot be changed; make another one instead of setting {name!r}")

    __delattr__ = __setattr__  # type: ignore[assignment]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays it applies to."""
        return self._shape

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of its bits: `shape`, with 1 along dimensions whose elements share one."""
        return self._noise_shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self._shape)

    @property
    def p(self) -> float:
        """The probability of dropping an element, as it was given."""
        return self._numbers[0]

    @property
    def seed(self) -> int:
        """The seed, below 2**64."""
        return self._numbers[1]

    @property
    def stream(self) -> int:
        """The stream number, below 2**64."""
        return self._numbers[2]

    @property
    def offset(self) -> int:
        """Index of the first element."""
        return self._numbers[3]

    @property
    def threshold(self) -> int:
        """The integer T = round(p * 2**40): an element is dropped when its 40-bit number is below it."""
        return _core.threshold(self.p)

    @property
    def keep_probability(self) -> float:
        """The exact probability of keeping an element, q = 1 - T / 2**40."""
        return ((1 << 40) - self.threshold) / (1 << 40)

    @property
    def scale(self) -> float:
        """What inverted dropout multiplies kept elements with, 1 / q; infinity if nothing is ever kept."""
        q = self.keep_probability
        return 1 / q if q else math.inf

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("len() of a mask without dimensions")
        return self._shape[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MaskNumbers):
            return NotImplemented
        return (self._shape, self._noise_shape, self._numbers) == (other._shape, other._noise_shape, other._numbers)

    def __hash__(self) -> int:
        return hash((self._shape, self._noise_shape, self._numbers))

    def __repr__(self) -> str:
        p, seed, stream, offset = self._numbers
        shared = "" if self._noise_shape == self._shape else f", noise_shape={self._noise_shape}"
        return f"simdrop.Mask({self._shape}, {p!r}, seed={seed}, stream={stream}, offset={offset}{shared})"
