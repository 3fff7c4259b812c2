"""Gaussian noise: multiplied, as a smooth form of dropout, or added."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simdrop import _core
from simdrop._draw import infer
from simdrop._rng import RNG, as_stream
from simdrop._shapes import Shape, as_shape

_REPLACE, _ADD, _MULTIPLY = range(3)


class Noise:
    """Normal noise as a value: a handful of numbers, from which every deviate can be computed again.

    It is to `gaussian_dropout` and `gaussian_noise` what `Mask` is to `dropout`. Element ``i`` (C order) uses normal
    deviate ``z(offset + i)`` of ``(seed, stream)``, which docs/normal-deviates.md defines to the last bit.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the arrays it applies to.
    sd : float
        Standard deviation, finite and at least 0.
    multiplicative : bool, keyword only
        True for ``x * (1 + sd * z)``, False for ``x + sd * z``.
    seed, stream, offset : int, keyword only
        As for `Mask`; ``offset + size`` is at most 2**57.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> noise = simdrop.Noise(3, 0.5, seed=42)
    >>> noise.apply(np.ones(3)).round(4)
    array([1.5502, 1.1461, 0.7749])
    """

    __slots__ = ("_numbers",)

    _numbers: tuple[tuple[int, ...], float, bool, int, int, int]

    def __init__(
        self,
        shape: Shape,
        sd: SupportsFloat,
        *,
        multiplicative: bool = True,
        seed: SupportsIndex,
        stream: SupportsIndex = 0,
        offset: SupportsIndex = 0,
    ) -> None:
        lengths = as_shape("shape", shape)
        last = 2**64 - 1
        self._numbers = (
            lengths,
            as_sd(sd),
            bool(multiplicative),
            _core.unsigned_integer("seed", seed, last),
            _core.unsigned_integer("stream", stream, last),
            _core.unsigned_integer("offset", offset, 2**_core.NORMAL_INDEX_BITS - math.prod(lengths)),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays it applies to."""
        return self._numbers[0]

    @property
    def sd(self) -> float:
        """Standard deviation."""
        return self._numbers[1]

    @property
    def multiplicative(self) -> bool:
        """Whether it is multiplied or added."""
        return self._numbers[2]

    def apply(self, x: Any, *, out: Any = None, threads: int | None = None) -> Any:
        """Return `x` with the noise.

        The factor ``1 + sd * z`` or the term ``sd * z`` is computed in double precision and rounded to the compute
        type; the product or sum is rounded to the type of `x`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.Noise(2, 0.5, multiplicative=False, seed=42).apply(np.zeros(2)).round(4)
        array([0.5502, 0.1461])
        """
        shape = _core.shape_of(x)
        if shape != self.shape:
            raise ValueError(f"x: got shape {shape}; accepted: that of the noise, {self.shape}")
        kind = _MULTIPLY if self.multiplicative else _ADD
        return _core.noise(x, out, kind, self.sd, self._numbers[3:], threads)[0]

    def backward(self, grad: Any, *, out: Any = None, threads: int | None = None) -> Any:
        """Return the gradient for `x`: the same factors times `grad`, or `grad` itself where noise was added.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.Noise(2, 0.5, seed=42).backward(np.ones(2)).round(4)
        array([1.5502, 1.1461])
        """
        return self.apply(grad, out=out, threads=threads) if self.multiplicative else infer(grad, out, threads)

    def __eq__(self, other: object) -> bool:
        return self._numbers == other._numbers if isinstance(other, Noise) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __repr__(self) -> str:
        shape, sd, multiplicative, seed, stream, offset = self._numbers
        kind = "" if multiplicative else ", multiplicative=False"
        return f"simdrop.Noise({shape}, {sd!r}{kind}, seed={seed}, stream={stream}, offset={offset})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_numbers, self._numbers


def _from_numbers(
    shape: tuple[int, ...], sd: float, multiplicative: bool, seed: int, stream: int, offset: int
) -> Noise:
    """Make noise from what its pickle holds; the name and the arguments are part of the format."""
    return Noise(shape, sd, multiplicative=multiplicative, seed=seed, stream=stream, offset=offset)


def gaussian_dropout(
    x: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    return_noise: bool = False,
    threads: int | None = None,
) -> Any:
    """Multiply each element by a normal deviate of mean 1 and variance ``p / (1 - p)``.

    ``y = x * N(1, p / (1 - p))``: mean and variance of the factor are those of inverted dropout [1]_.

    Parameters
    ----------
    x : array
        Of any shape.
    p : float
        Drop probability whose variance is meant, from 0 up to, but not including, 1. With ``p = 0`` the bits are
        unchanged.
    rng, out, training, threads
        As for `dropout`. In inference `x` is returned unchanged and nothing is drawn.
    return_noise : bool, keyword only
        Also return the `Noise`; ``noise.backward(gradient)`` is the backward pass.

    Returns
    -------
    array, or (array, Noise)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError for ``p = 1``, where the variance is infinite.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014,
       section 10; Keras' ``GaussianDropout``.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.gaussian_dropout(np.ones(3), 0.5, rng=42).round(4)
    array([2.1004, 1.2923, 0.5497])
    """
    drop = _core.threshold(p) / 2**40
    if drop == 1:
        raise ValueError(f"p: got {p!r}; accepted: a real number from 0 up to, but not including, 1")
    return _noisy(x, math.sqrt(drop / (1 - drop)), True, rng, out, training, return_noise, threads)


def gaussian_noise(
    x: Any,
    sd: SupportsFloat = 1.0,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    return_noise: bool = False,
    threads: int | None = None,
) -> Any:
    """Add a normal deviate of mean 0 and standard deviation `sd` to each element: ``y = x + N(0, sd)``.

    Keras' ``GaussianNoise``. The arguments are those of `gaussian_dropout`; with ``sd = 0`` the bits are unchanged.
    The gradient for `x` is that of the result, unchanged.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.gaussian_noise(np.zeros(3, np.float32), 0.1, rng=42).round(4)
    array([ 0.11  ,  0.0292, -0.045 ], dtype=float32)
    """
    return _noisy(x, as_sd(sd), False, rng, out, training, return_noise, threads)


def normal(size: Shape, *, rng: RNG = None, dtype: DTypeLike = np.float64, threads: int | None = None) -> NDArray[Any]:
    """Draw standard normal deviates with the same bits on every machine.

    The method is that of Box and Muller in double precision, with every operation fixed; see docs/normal-deviates.md.

    Parameters
    ----------
    size : int or sequence of int
        Shape of the result.
    rng, threads
        As for `dropout`.
    dtype : dtype, keyword only
        float16, float32, float64 or bfloat16; each deviate is rounded to it.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import simdrop
    >>> simdrop.normal(3, rng=42).round(4)
    array([ 1.1004,  0.2923, -0.4503])
    """
    out = np.empty(as_shape("size", size), dtype)
    _core.noise(out, out, _REPLACE, 1.0, as_stream(rng), threads)
    return out


def as_sd(sd: SupportsFloat) -> float:
    """Return a standard deviation, finite and at least 0."""
    try:
        value = float(sd)
    except (TypeError, ValueError):
        raise TypeError(f"sd: got {sd!r}; accepted: a real number of 0 and above") from None
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"sd: got {sd!r}; accepted: a finite number of 0 and above")
    return value


def _noisy(
    x: Any,
    sd: float,
    multiplicative: bool,
    rng: RNG,
    out: Any,
    training: bool,
    return_noise: bool,
    threads: int | None,
) -> Any:
    if not training:
        result = infer(x, out, threads)
        seed, number, sd = 0, 0, 0.0
    else:
        stream = as_stream(rng)
        seed = stream.seed
        if sd == 0:
            result = infer(x, out, threads)
            number = stream.next()
        else:
            result, number = _core.noise(x, out, _MULTIPLY if multiplicative else _ADD, sd, stream, threads)
    if not return_noise:
        return result
    shape = _core.shape_of(result)
    return result, Noise(shape, sd, multiplicative=multiplicative, seed=seed, stream=number)
