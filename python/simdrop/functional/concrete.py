"""Concrete dropout: a relaxed mask that has a gradient for p."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, SupportsFloat, overload

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._arrays import as_floats, require_shape
from simdrop._draw import copied
from simdrop._drawn import Drawn, checked, drawn_value
from simdrop._rng import RNG, as_stream
from simdrop._shapes import as_shape
from simdrop._types import ArrayLike, No, Options, T, Yes

if TYPE_CHECKING:
    from typing_extensions import Unpack

Array = NDArray[Any]

# Elements computed at a time: what is needed for them stays within level 2 of the caches.
_PART = 8192


class _Options(Options, total=False):
    temperature: float


@drawn_value
class ConcreteMask(Drawn):
    """A relaxed mask as a value: a few numbers, from which the weights can be computed again.

    Element ``i`` uses ``u = (w + 1/2) / 2^32`` with ``w`` word i of `random_bits`.

    Parameters
    ----------
    shape : tuple of int
        Shape of the arrays it applies to.
    p : float
        The drop probability.
    temperature : float
        Above 0; the lower, the closer to dropout.
    seed, stream : int, keyword only
        As for `Mask`.

    Examples
    --------
    >>> import simdrop
    >>> simdrop.ConcreteMask((3,), 0.5, 0.1, seed=42).shape
    (3,)
    """

    shape: tuple[int, ...]
    p: float
    temperature: float
    seed: int = field(kw_only=True)
    stream: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        _core.threshold(self.p)
        temperature = float(self.temperature)
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ValueError(f"temperature: got {self.temperature!r}; accepted: a finite number above 0")
        checked(
            self,
            shape=as_shape("shape", self.shape),
            p=float(self.p),
            temperature=temperature,
            seed=_core.unsigned_integer("seed", self.seed, 2**64 - 1),
            stream=_core.unsigned_integer("stream", self.stream, 2**64 - 1),
        )

    def relaxed(self, *, threads: int | None = None) -> NDArray[np.float64]:
        """Return z, how much of each element is dropped, between 0 and 1.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.ConcreteMask((3,), 0.5, 0.1, seed=42).relaxed().round(4)
        array([1.e-04, 0.e+00, 1.e+00])
        """
        z = np.empty(math.prod(self.shape))
        if self.p in (0.0, 1.0):
            z.fill(self.p)
        else:
            for part, inverse in self._inverses(-1.0, threads):
                np.reciprocal(inverse, out=z[part])
        return z.reshape(self.shape)

    def apply(self, x: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None) -> Any:
        """Return ``x (1 - z) / (1 - p)`` in the type of `x`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.ConcreteMask((3,), 0.5, 0.1, seed=42).apply(np.ones(3)).round(4)
        array([1.9997, 2.    , 0.    ])
        """
        return self._applied("x", x, out, threads)

    def backward(  # type: ignore[override]
        self, grad: ArrayLike, x: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None
    ) -> tuple[Any, float]:
        """Return the gradients for `x`, which goes to `out` if that is given, and for p.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.ConcreteMask((2,), 0.0, 0.1, seed=42).backward(np.ones(2), np.ones(2))
        (array([1., 1.]), 2.0)
        """
        p, t = self.p, self.temperature
        grad, x = as_floats("grad", grad), as_floats("x", x)
        require_shape("x", x.shape, self.shape, "the mask")
        require_shape("grad", grad.shape, self.shape, "the mask")
        sums = [0.0]
        if p == 0:
            sums.append(float(np.sum(grad.astype(np.float64) * x)))  # 16-bit products leave their range
        elif p < 1:
            for part, inverse in self._inverses(1.0, threads):
                kept = 1 / inverse
                slope = (kept - kept * kept) / (t * p * (1 - p))  # of z for p
                product = grad.flat[part].astype(np.float64) * x.flat[part]
                sums.append(float(np.sum(product * (kept / (1 - p) - slope))) / (1 - p))
        return self._applied("grad", grad, out, threads), math.fsum(sums)

    def _applied(self, name: str, x: ArrayLike, out: ArrayLike | None, threads: int | None) -> Any:
        require_shape(name, as_floats(name, x).shape, self.shape, "the mask")
        if out is not None and not isinstance(out, np.ndarray):
            return copied(self._applied(name, x, None, threads), out, threads)
        result = copied(x, out, threads, name)
        if self.p == 0:
            return result
        y: Array = np.asarray(result)
        if self.p == 1:
            y.fill(0)
            return result
        flat: Any = y.reshape(-1) if y.flags.c_contiguous else y.flat
        for part, inverse in self._inverses(1.0, threads):
            np.multiply(inverse, 1 - self.p, out=inverse)
            flat[part] = np.divide(flat[part], inverse, out=inverse)
        return result

    def _inverses(self, sign: float, threads: int | None) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield 1 / how much of each element is kept, or for ``sign = -1`` dropped, and which part of all that is."""
        odds = math.log(self.p) - math.log1p(-self.p)
        size = math.prod(self.shape)
        for first in range(0, size, _PART):
            part = slice(first, min(size, first + _PART))
            n = part.stop - first
            u: NDArray[np.float64] = _core.plane_words(
                n, _core.RANDOM_BITS_PLANE, self.seed, self.stream, threads, first
            ) + np.float64(0.5)
            u /= 2.0**32 - u
            np.log(u, out=u)
            u += odds
            u *= sign / self.temperature
            with np.errstate(over="ignore"):
                np.exp(u, out=u)
            u += 1
            yield part, u


@overload
def concrete_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_Options]
) -> NDArray[T]: ...
@overload
def concrete_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_Options]
) -> tuple[NDArray[T], ConcreteMask]: ...
@overload
def concrete_dropout(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_Options]
) -> Any: ...
def concrete_dropout(
    x: ArrayLike,
    p: SupportsFloat = 0.1,
    *,
    temperature: float = 0.1,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Multiply each element by a relaxed mask, which can be differentiated by `p`.

    With ``u`` uniform, ``z = sigmoid((log p - log(1 - p) + log u - log(1 - u)) / temperature)`` and
    ``y = x (1 - z) / (1 - p)`` [1]_. For temperature 0 this would be dropout.

    Parameters
    ----------
    x : array
        Of any shape. The weights are computed in double precision by NumPy, whose
        logarithm may differ in the last bit between machines.
    p : float
        Drop probability, from 0 to 1. With ``p = 0`` the bits are unchanged, with ``p = 1`` all is +0 and has no
        gradient.
    temperature : float, keyword only
        Above 0.
    rng, out, threads
        As for `dropout`.
    training : bool, keyword only
        False for inference: `x` unchanged, nothing is drawn.
    return_drawn : bool, keyword only
        Also return the `ConcreteMask`; ``drawn.backward(gradient, x)`` gives the gradients for `x` and `p`.

    Returns
    -------
    ndarray, or (ndarray, ConcreteMask)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    References
    ----------
    .. [1] Y. Gal, J. Hron, A. Kendall, "Concrete dropout", NIPS 2017.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.concrete_dropout(np.ones(3), 0.5, rng=42).round(4)
    array([1.9997, 2.    , 0.    ])
    """
    shape = _core.shape_of(x)
    _core.check_operands(x, out, threads)
    mask = ConcreteMask(shape, p, temperature, seed=0)  # type: ignore[arg-type]  # checks what is given
    if training:
        stream = as_stream(rng)
        mask = replace(mask, seed=stream.seed, stream=stream.next())
    else:
        mask = replace(mask, p=0.0)
    result = mask.apply(x, out=out, threads=threads)
    return (result, mask) if return_drawn else result
