"""A dropout mask as a value: a handful of numbers."""

from __future__ import annotations

import copyreg
import math
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, SupportsFloat, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simdrop import _core, _windows
from simdrop._shapes import NO_DIMS, Dims, NoiseShape, Shape, as_noise_shape, as_shape, shares_bits
from simdrop._types import ArrayLike, ArrayT, T

_LAST_INTEGER = 2**64 - 1
_INDICES = 1 << _core.INDEX_BITS

Scaling: TypeAlias = Literal["inverted", "classic"]


class Mask:
    """Which elements of an array of some shape are dropped.

    A mask is a value: a few numbers from which every bit can be computed when it is needed. It can be applied
    to any array of its shape, applied again, sliced, compared, pickled. It is no array: ``numpy.asarray(mask)`` makes
    the booleans of `keep`, and ``x * mask`` is refused, because `apply` scales too.

    An element of index ``i`` (C order in `shape`, plus `offset`) is dropped if and only if ``u(i) < threshold``, where
    ``u(i)`` is a 40-bit uniform integer computed from ``(seed, stream, i)`` with Philox4x32-10 [1]_. See
    ``docs/mask-format.md``.

    A part of a mask is a mask: ``mask[2:5, ..., ::2]`` and ``mask.T`` apply to ``x[2:5, ..., ::2]`` and ``x.T`` and
    do there what the whole does, wherever that part of the array lies. They differ in `offset` and `steps` only.

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
    noise_shape : sequence of int or None, keyword only
        Lets elements share a bit: one entry for each dimension, 1 where all elements along it share, None (or the
        length) where each has its own. Bits are then numbered in C order of `noise_shape`. This is Keras' argument
        of that name.
    broadcast_dims : int or sequence of int, keyword only
        The dimensions that share, as Flax has it; another way to say `noise_shape`.
    steps : sequence of int or None, keyword only
        How far the index moves with one step along each dimension, where that isn't C order: element ``(i, j, ...)``
        has the index ``offset + i * steps[0] + j * steps[1] + ...``. Slicing and transposing make such masks; the
        steps of shared bits are 0. All indices are from 0 to 2**58 - 1.

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
    >>> mask[:, ::2].keep()
    array([[ True, False],
           [ True,  True]])
    >>> simdrop.Mask((2, 4), 0.5, seed=42, noise_shape=(None, 1)).keep()
    array([[ True,  True,  True,  True],
           [ True,  True,  True,  True]])
    """

    __slots__ = ("_numbers", "_shape", "_steps")
    __module__ = "simdrop"  # where it is public; pickles name it so

    _shape: tuple[int, ...]
    _steps: tuple[int, ...] | None  # of the index along the dimensions; None for C order
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
        broadcast_dims: Dims = NO_DIMS,
        steps: Sequence[SupportsIndex] | None = None,
    ) -> None:
        if steps is None and noise_shape is None and broadcast_dims is NO_DIMS:
            lengths, numbers = _core.mask_numbers(shape, p, seed, stream, offset)
            _set_shape(self, lengths)
            _set_steps(self, None)
            _set_numbers(self, numbers)
            return
        lengths = as_shape("shape", shape)
        apart = None
        if shares_bits(noise_shape, broadcast_dims):
            if steps is not None:
                raise ValueError("steps: accepted: nothing beside noise_shape or broadcast_dims, which are steps of 0")
            apart = _windows.of_noise(lengths, as_noise_shape(lengths, noise_shape, broadcast_dims))
        elif steps is not None:
            apart = _windows.as_steps(steps, lengths)
        size = math.prod(lengths)
        if size > _INDICES:
            raise ValueError(f"shape: got {lengths}, {size} elements; accepted: at most 2**58")
        _core.threshold(p)  # refuses what is not a probability
        numbers = (
            float(p),
            _core.unsigned_integer("seed", seed, _LAST_INTEGER),
            _core.unsigned_integer("stream", stream, _LAST_INTEGER),
            _core.unsigned_integer("offset", offset, _INDICES - (size if apart is None else bool(size))),
        )
        if apart is not None:
            apart = _windows.checked(lengths, apart, numbers[3])
        _set_shape(self, lengths)
        _set_steps(self, apart)
        _set_numbers(self, numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays it applies to."""
        return self._shape

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of its bits: `shape`, with 1 along dimensions whose elements share one."""
        if self._steps is None:
            return self._shape
        return tuple(1 if step == 0 else n for n, step in zip(self._shape, self._steps, strict=True))

    @property
    def steps(self) -> tuple[int, ...]:
        """How far the index moves with one step along each dimension; 0 where elements share a bit."""
        return _windows.c_order(self._shape) if self._steps is None else self._steps

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
        return self.factor() if self.keep_probability else math.inf

    @overload
    def apply(
        self, x: NDArray[T], *, out: ArrayLike | None = ..., scaling: Scaling = ..., threads: int | None = ...
    ) -> NDArray[T]: ...
    @overload
    def apply(
        self, x: ArrayLike, *, out: ArrayLike | None = ..., scaling: Scaling = ..., threads: int | None = ...
    ) -> Any: ...
    def apply(
        self, x: ArrayLike, *, out: ArrayLike | None = None, scaling: Scaling = "inverted", threads: int | None = None
    ) -> Any:
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
        if self._steps is None:
            return _core.apply(x, out, *self._numbers, scaling, threads, self._shape)
        return self.select(x, scale=self.factor(scaling), out=out, threads=threads)

    def factor(self, scaling: Scaling = "inverted") -> float:
        """Return what `apply` multiplies kept elements with: `scale`, and 1 for classic scaling or if none is kept.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.Mask(4, 0.75, seed=42).factor()
        4.0
        """
        return _core.kept_scale(self.p, scaling)

    def select(
        self,
        x: ArrayLike,
        *,
        scale: float = 1.0,
        shift: float = 0.0,
        dropped: float = 0.0,
        out: ArrayLike | None = None,
        threads: int | None = None,
    ) -> Any:
        """Return ``kept ? x * scale + shift : dropped`` for each element.

        The general form of `apply`: the numbers are rounded to the compute type (float32, float64 for float64),
        multiplied, then added, and the result is rounded to `x`'s type. A shift of 0 adds nothing, so that a kept -0
        stays -0; a dropped element is `dropped` to the bit, -0 and infinity included. A NaN among the elements is
        passed on, made quiet; whatever else has no value (infinity times 0, a NaN among the numbers) is the positive
        quiet NaN without a payload, on all processors.

        Parameters
        ----------
        x, out, threads
            As for `apply`.
        scale, shift, dropped : float
            See above.

        Returns
        -------
        array
            `out`, or a new array.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.Mask(4, 0.5, seed=42).select(np.arange(4.0), scale=2, shift=1, dropped=-1)
        array([ 1.,  3., -1., -1.])
        """
        source = self._numbers[1:]
        values = (float(scale), float(shift), float(dropped))
        return _core.select(x, out, self.p, source, *values, threads, self._shape, self._steps)[0]

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
        return _core.keep_bytes(self._shape, *self._numbers, self._steps, False, threads)

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
        return _core.keep_bits(self._shape, *self._numbers, self._steps, False, threads)

    def count_kept(self, *, threads: int | None = None) -> int:
        """Return the number of elements that are kept, without making the mask.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.Mask(1_000_000, 0.1, seed=42).count_kept()
        899769
        """
        return _core.count_kept(self._shape, *self._numbers, self._steps, threads)

    def ravel(self) -> Mask:
        """Return the same mask for flattened arrays; slicing it gives a mask of any range of elements.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.Mask((2, 4), 0.5, seed=42).ravel()[3:6]
        simdrop.Mask((3,), 0.5, seed=42, stream=0, offset=3)
        """
        return self._window((self.size,), _windows.raveled(self._shape, self._steps), 0)

    def transpose(self, *axes: SupportsIndex | Sequence[SupportsIndex] | None) -> Mask:
        """Return the mask of ``x.transpose(*axes)``; without axes their order is reversed.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> mask, x = simdrop.Mask((2, 3), 0.5, seed=42), np.ones((2, 3))
        >>> (mask.transpose(1, 0).apply(x.T) == mask.apply(x).T).all()
        np.True_
        """
        order = _windows.axes_order(axes, self.ndim)
        steps = self.steps
        return self._window(tuple(self._shape[d] for d in order), tuple(steps[d] for d in order), 0)

    @property
    def T(self) -> Mask:
        """The mask of ``x.T``."""
        return self.transpose()

    def _window(self, shape: tuple[int, ...], steps: tuple[int, ...] | None, start: int) -> Mask:
        p, seed, stream, offset = self._numbers
        return Mask(shape, p, seed=seed, stream=stream, offset=offset + start, steps=steps)

    def __getitem__(self, index: _windows.Index) -> Mask:
        """Return the mask of ``x[index]`` for integers, slices and an Ellipsis.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.Mask((2, 8), 0.5, seed=42)[1, ::-2]
        simdrop.Mask((4,), 0.5, seed=42, stream=0, offset=15, steps=(-2,))
        """
        if not self._shape and not isinstance(index, tuple) and index is not Ellipsis:
            raise IndexError("index: a mask without dimensions has no items")
        return self._window(*_windows.window(self._shape, self.steps, index))

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("len() of a mask without dimensions")
        return self._shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return `keep`, as NumPy asks for it."""
        if copy is False:
            raise ValueError("copy: got False; accepted: None or True, because a mask has no bits in memory to share")
        return self.keep().astype(np.bool_ if dtype is None else dtype, copy=False)

    def _refuse(self, *others: object, **options: object) -> NoReturn:
        raise TypeError(
            "a Mask is no array and takes part in no arithmetic; write mask.apply(x) for dropout, "
            "or mask.keep() for the booleans"
        )

    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__ = __radd__ = __sub__ = __rsub__ = _refuse
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __matmul__ = __rmatmul__ = __invert__ = _refuse
    __array_ufunc__ = _refuse  # where NumPy brings ``x * mask``

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Mask cannot be changed; make another one instead of setting {name!r}")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return (self._shape, self._steps, self._numbers) == (other._shape, other._steps, other._numbers)

    def __hash__(self) -> int:
        return hash((self._shape, self._steps, self._numbers))

    def __repr__(self) -> str:
        p, seed, stream, offset = self._numbers
        apart = "".join(f", {name}={value}" for name, value in self._apart().items())
        return f"simdrop.Mask({self._shape}, {p!r}, seed={seed}, stream={stream}, offset={offset}{apart})"

    def _apart(self) -> dict[str, tuple[int, ...]]:
        """Return the argument that says how its index differs from C order: none, `noise_shape`, or `steps`."""
        if self._steps is None:
            return {}
        bits = self.noise_shape
        shared = _windows.of_noise(self._shape, bits)
        if shared is not None and _windows.canonical(self._shape, shared) == self._steps:
            return {"noise_shape": bits}
        return {"steps": self._steps}

    def __reduce__(self) -> tuple[Any, ...]:
        # The format of pickles: the public name, and the arguments by theirs.
        p, seed, stream, offset = self._numbers
        state = {"shape": self._shape, "p": p, "seed": seed, "stream": stream, "offset": offset, **self._apart()}
        return copyreg.__newobj__, (Mask,), state  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        Mask.__init__(self, **state)


# The attributes of a mask cannot be set; these are the ways around that.
_set_shape, _set_steps, _set_numbers = (vars(Mask)[name].__set__ for name in ("_shape", "_steps", "_numbers"))


def drawn_mask(
    shape: tuple[int, ...], numbers: tuple[float, int, int, int], steps: tuple[int, ...] | None = None
) -> Mask:
    """Return a mask of numbers that the extension has just drawn, which nobody has to check again."""
    mask = object.__new__(Mask)
    _set_shape(mask, shape)
    _set_steps(mask, steps)
    _set_numbers(mask, numbers)
    return mask


def _from_numbers(shape: tuple[int, ...], p: float, seed: int, stream: int, offset: int) -> Mask:
    """Load the pickles of early versions, which name this function."""
    return Mask(shape, p, seed=seed, stream=stream, offset=offset)
