"""A dropout mask as a value: a handful of numbers."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from simdrop import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

Scaling: TypeAlias = Literal["inverted", "classic"]
Shape: TypeAlias = "SupportsIndex | Sequence[SupportsIndex]"
ArrayT = TypeVar("ArrayT")

_LAST_INTEGER = 2**64 - 1
_INDICES = 1 << _core.INDEX_BITS


def as_shape(name: str, shape: Shape) -> tuple[int, ...]:
    """Return a shape as a tuple of lengths, each at least 0."""
    try:
        lengths = (operator.index(shape),)  # type: ignore[arg-type]
    except TypeError:
        try:
            if isinstance(shape, bytes | bytearray):
                raise TypeError
            lengths = tuple(operator.index(n) for n in shape)  # type: ignore[union-attr, assignment]
        except TypeError:
            raise TypeError(f"{name}: got {shape!r}; accepted: an integer or a sequence of integers") from None
    if any(n < 0 for n in lengths):
        raise ValueError(f"{name}: got {shape!r}; accepted: lengths of 0 and above")
    return lengths


class Mask:
    """Which elements of an array of some shape are dropped.

    A mask is a value: a few numbers from which every bit can be computed when it is needed. It can be applied
    to any array of its shape, applied again to the gradient, sliced, compared, pickled. Backward passes keep the
    mask, never its bits.

    Element ``i`` (C order in `shape`, plus `offset`) is dropped if and only if ``u(i) < threshold``, where
    ``u(i)`` is a 40-bit uniform integer computed from ``(seed, stream, i)`` with Philox4x32-10 [1]_. See
    ``docs/mask-format.md``.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the arrays it applies to; ``()`` for a single element.
    p : float
        Probability of dropping an element, from 0 to 1. It is rounded to a multiple of 2**-40.
    seed, stream : int, keyword only
        Integers from 0 to 2**64 - 1. Masks of different (seed, stream) are independent.
    offset : int, keyword only
        Index of the first element; ``offset + size`` is at most 2**58.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    References
    ----------
    .. [1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
       SC 2011.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> mask = simdrop.Mask((2, 4), 0.5, seed=42)
    >>> mask.keep()
    array([[ True,  True, False, False],
           [ True, False,  True, False]])
    >>> mask.apply(np.ones((2, 4)))
    array([[2., 2., 0., 0.],
           [2., 0., 2., 0.]])
    >>> mask[1] == simdrop.Mask((4,), 0.5, seed=42, offset=4)
    True
    """

    __slots__ = ("_numbers", "_shape")

    _shape: tuple[int, ...]
    _numbers: tuple[float, int, int, int]

    def __init__(
        self,
        shape: Shape,
        p: SupportsFloat,
        *,
        seed: SupportsIndex,
        stream: SupportsIndex = 0,
        offset: SupportsIndex = 0,
    ) -> None:
        lengths = as_shape("shape", shape)
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
        object.__setattr__(self, "_numbers", numbers)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Mask cannot be changed; make another one instead of setting {name!r}")

    __delattr__ = __setattr__  # type: ignore[assignment]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays it applies to."""
        return self._shape

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

    def apply(self, x: Any, *, out: Any = None, scaling: Scaling = "inverted", threads: int | None = None) -> Any:
        """Return `x` with the dropped elements set to +0 and the kept ones scaled.

        This is the forward pass of dropout, and with the gradient in place of `x` its backward pass.

        Parameters
        ----------
        x : array
            Of the mask's shape; float16, bfloat16, float32 or float64. See `simdrop.dropout` for what counts as
            an array.
        out : array, optional
            Where the result goes: an array of `x`'s shape and dtype, `x` itself included. A new array by default.
        scaling : {"inverted", "classic"}
            Multiply kept elements by ``scale``, or leave them unchanged.
        threads : int, optional
            Number of threads; by default as many as `simdrop.get_num_threads` says, fewer for small arrays.

        Returns
        -------
        array
            `out`, or the new array.

        Raises
        ------
        TypeError, ValueError
            As `simdrop.dropout`; also ValueError if `x` is not of the mask's shape.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.Mask(4, 0.5, seed=42).apply(np.arange(4.0), scaling="classic")
        array([0., 1., 0., 0.])
        """
        return _core.apply(x, out, *self._numbers, scaling, threads, self._shape)

    def apply_(self, x: ArrayT, *, scaling: Scaling = "inverted", threads: int | None = None) -> ArrayT:
        """Apply the mask to `x` in place and return `x`; otherwise as `apply`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> x = np.ones(4)
        >>> simdrop.Mask(4, 0.5, seed=42).apply_(x) is x
        True
        """
        self.apply(x, out=x, scaling=scaling, threads=threads)
        return x

    def keep(self, *, threads: int | None = None) -> NDArray[np.bool_]:
        """Return the mask as booleans, True where an element is kept.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.Mask(4, 0.5, seed=42).keep()
        array([ True,  True, False, False])
        """
        return _core.keep_bytes(self.size, *self._numbers, False, threads).reshape(self._shape)

    def packed(self, *, threads: int | None = None) -> NDArray[np.uint8]:
        """Return the mask as bits, eight elements to a byte.

        Returns
        -------
        ndarray of uint8, shape (ceil(size / 8),)
            Element ``j`` is bit ``j % 8`` of byte ``j // 8``, least significant first; 1 is kept. The bits that pad
            the last byte are 0. ``numpy.unpackbits(..., bitorder="little", count=size)`` is `keep`.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.Mask(12, 0.5, seed=42).packed()
        array([83,  0], dtype=uint8)
        """
        return _core.keep_bits(self.size, *self._numbers, False, threads)

    def count_kept(self, *, threads: int | None = None) -> int:
        """Return the number of elements that are kept, without making the mask.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.Mask(1_000_000, 0.1, seed=42).count_kept()
        899769
        """
        return _core.count_kept(self.size, *self._numbers, threads)

    def ravel(self) -> Mask:
        """Return the same mask for flattened arrays; slicing it gives a mask of any range of elements.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.Mask((2, 4), 0.5, seed=42).ravel()[3:6]
        simdrop.Mask((3,), 0.5, seed=42, stream=0, offset=3)
        """
        return self._part((self.size,), 0)

    def _part(self, shape: tuple[int, ...], start: int) -> Mask:
        p, seed, stream, offset = self._numbers
        return Mask(shape, p, seed=seed, stream=stream, offset=offset + start)

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("len() of a mask without dimensions")
        return self._shape[0]

    def __getitem__(self, index: SupportsIndex | slice) -> Mask:
        """Return the mask of ``x[index]`` for an index or a slice of step 1 along the first axis."""
        if not self._shape:
            raise IndexError("index: a mask without dimensions has no items")
        length, *rest = self._shape
        row = math.prod(rest)
        if isinstance(index, slice):
            start, stop, step = index.indices(length)
            if step != 1:
                raise ValueError(f"index: got a slice of step {step}; accepted: step 1")
            return self._part((max(0, stop - start), *rest), start * row if stop > start else 0)
        try:
            at = operator.index(index)
        except TypeError:
            raise TypeError(f"index: got {index!r}; accepted: an integer or a slice along the first axis") from None
        if not -length <= at < length:
            raise IndexError(f"index: got {at}; accepted: {-length} to {length - 1}")
        return self._part(tuple(rest), at % length * row)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self._shape == other._shape and self._numbers == other._numbers

    def __hash__(self) -> int:
        return hash((self._shape, self._numbers))

    def __repr__(self) -> str:
        p, seed, stream, offset = self._numbers
        return f"simdrop.Mask({self._shape}, {p!r}, seed={seed}, stream={stream}, offset={offset})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_numbers, (self._shape, *self._numbers)


def _from_numbers(shape: tuple[int, ...], p: float, seed: int, stream: int, offset: int) -> Mask:
    """Make a mask from what its pickle holds; the name and the arguments are part of the format."""
    return Mask(shape, p, seed=seed, stream=stream, offset=offset)
