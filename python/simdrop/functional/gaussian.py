"""Gaussian noise: multiplied, as a smooth form of dropout, or added."""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any, SupportsFloat, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simdrop import _core
from simdrop._arrays import require_shape
from simdrop._draw import copied, keep_probability
from simdrop._drawn import Drawn, as_flag, checked, drawn_value
from simdrop._formulas import dropout_sd
from simdrop._rng import RNG, as_stream
from simdrop._shapes import Shape, as_shape
from simdrop._types import ArrayLike, No, Options, T, Yes

if TYPE_CHECKING:
    from typing_extensions import Unpack

_REPLACE, _ADD, _MULTIPLY = range(3)


@drawn_value
class Noise(Drawn):
    """Normal noise as a value: a handful of numbers, from which every deviate can be computed again.

    It is to `gaussian_dropout` and `gaussian_noise` what `Mask` is to `dropout`. Element ``i`` (C order) uses normal
    deviate ``z(offset + i)`` of ``(seed, stream)``, which docs/normal-deviates.md defines to the last bit.

    Parameters
    ----------
    shape : tuple of int
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
    >>> noise = simdrop.Noise((3,), 0.5, seed=42)
    >>> noise.apply(np.ones(3)).round(4)
    array([1.5502, 1.1461, 0.7749])
    """

    shape: tuple[int, ...]
    sd: float
    multiplicative: bool = field(default=True, kw_only=True)
    seed: int = field(kw_only=True)
    stream: int = field(default=0, kw_only=True)
    offset: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        shape = as_shape("shape", self.shape)
        last = 2**_core.NORMAL_INDEX_BITS - math.prod(shape)
        checked(
            self,
            shape=shape,
            sd=as_sd(self.sd),
            multiplicative=as_flag("multiplicative", self.multiplicative),
            seed=_core.unsigned_integer("seed", self.seed, 2**64 - 1),
            stream=_core.unsigned_integer("stream", self.stream, 2**64 - 1),
            offset=_core.unsigned_integer("offset", self.offset, last),
        )

    def apply(self, x: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None) -> Any:
        """Return `x` with the noise.

        The factor ``1 + sd * z`` or the term ``sd * z`` is computed in double precision and rounded to the compute
        type; the product or sum is rounded to the type of `x`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.Noise((2,), 0.5, multiplicative=False, seed=42).apply(np.zeros(2)).round(4)
        array([0.5502, 0.1461])
        """
        return self._applied("x", x, out, threads)

    def backward(  # type: ignore[override]
        self, grad: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None
    ) -> Any:
        """Return the gradient for `x`: the same factors times `grad`, or `grad` itself where noise was added.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.Noise((2,), 0.5, seed=42).backward(np.ones(2)).round(4)
        array([1.5502, 1.1461])
        """
        if self.multiplicative:
            return self._applied("grad", grad, out, threads)
        require_shape("grad", _core.shape_of(grad, "grad"), self.shape, "the noise")
        return copied(grad, out, threads, "grad")

    def _applied(self, name: str, x: ArrayLike, out: ArrayLike | None, threads: int | None) -> Any:
        require_shape(name, _core.shape_of(x, name), self.shape, "the noise")
        if self.sd == 0:  # inference, too
            return copied(x, out, threads, name)
        kind = _MULTIPLY if self.multiplicative else _ADD
        numbers = (self.seed, self.stream, self.offset)
        return _core.noise(x, out, kind, self.sd, numbers, threads, name)[0]


@overload
def gaussian_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[Options]
) -> NDArray[T]: ...
@overload
def gaussian_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[Options]
) -> tuple[NDArray[T], Noise]: ...
@overload
def gaussian_dropout(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[Options]
) -> Any: ...
def gaussian_dropout(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
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
        As for `dropout`. In inference the result is `x`, copied, and nothing is drawn.
    return_drawn : bool, keyword only
        Also return the `Noise`; ``drawn.backward(gradient)`` is the backward pass.

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
    drop = 1 - keep_probability(p)
    if drop == 1:
        raise ValueError(f"p: got {p!r}; accepted: a real number from 0 up to, but not including, 1")
    sd = _core.in_usual_mode(dropout_sd, drop)
    return _noisy(x, sd, True, rng, out, training, return_drawn, threads)


@overload
def gaussian_noise(
    x: NDArray[T], sd: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[Options]
) -> NDArray[T]: ...
@overload
def gaussian_noise(
    x: NDArray[T], sd: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[Options]
) -> tuple[NDArray[T], Noise]: ...
@overload
def gaussian_noise(
    x: ArrayLike, sd: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[Options]
) -> Any: ...
def gaussian_noise(
    x: ArrayLike,
    sd: SupportsFloat = 1.0,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
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
    return _noisy(x, as_sd(sd), False, rng, out, training, return_drawn, threads)


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
    _core.noise(out, out, _REPLACE, 1.0, as_stream(rng), threads, "dtype")
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
    x: ArrayLike,
    sd: float,
    multiplicative: bool,
    rng: RNG,
    out: Any,
    training: bool,
    return_drawn: bool,
    threads: int | None,
) -> Any:
    if not training:
        seed, number, sd = 0, 0, 0.0
        result = copied(x, out, threads)
    elif sd == 0:
        result = copied(x, out, threads)
        stream = as_stream(rng)
        seed, number = stream.seed, stream.next()
    else:
        stream = as_stream(rng)
        seed = stream.seed
        result, number = _core.noise(x, out, _MULTIPLY if multiplicative else _ADD, sd, stream, threads)
    if not return_drawn:
        return result
    return result, Noise(_core.shape_of(result), sd, multiplicative=multiplicative, seed=seed, stream=number)
