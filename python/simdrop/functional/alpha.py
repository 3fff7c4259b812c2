"""Alpha dropout: the dropout that keeps mean and variance of SELU networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat, overload

from simdrop import _core
from simdrop._draw import draw, keep_probability
from simdrop._drawn import AffineDrawn
from simdrop._formulas import selu_values
from simdrop._rng import RNG
from simdrop._shapes import Dims, NoiseShape, as_noise_shape
from simdrop._types import ArrayLike, No, Options, T, Yes
from simdrop.functional.channels import feature_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Unpack


class _Options(Options, total=False):
    noise_shape: NoiseShape
    broadcast_dims: Dims


@overload
def alpha_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_Options]
) -> NDArray[T]: ...
@overload
def alpha_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_Options]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def alpha_dropout(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_Options]
) -> Any: ...
def alpha_dropout(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
    noise_shape: NoiseShape = None,
    broadcast_dims: Dims = (),
    threads: int | None = None,
) -> Any:
    """Set elements to SELU's lower limit with probability `p`, and restore mean 0 and variance 1.

    With ``alpha' = -1.7580993408473766``, ``p`` the exact drop probability of the mask and

        a = ((1 - p) (1 + p alpha'^2))^-1/2,    b = -a alpha' p

    each element becomes ``kept ? a x + b : a alpha' + b`` [1]_. Input of mean 0 and variance 1 keeps both.

    Parameters
    ----------
    x : array
        Of any shape.
    p : float
        Probability of dropping an element, from 0 to 1. With ``p = 0`` the bits are unchanged; with ``p = 1``, where
        the formula has no value, all is +0, as in PyTorch.
    rng, out, training, threads
        As for `dropout`; equal numbers give the mask that `dropout` has. In inference the result is `x`, copied.
    return_drawn : bool, keyword only
        Also return an `AffineDrawn`, whose `backward` gives the gradient.
    noise_shape, broadcast_dims
        As for `dropout`.

    Returns
    -------
    array, or (array, AffineDrawn)

    Raises
    ------
    TypeError, ValueError
        As `dropout`.

    References
    ----------
    .. [1] G. Klambauer et al., "Self-normalizing neural networks", NIPS 2017; PyTorch's ``alpha_dropout``.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.alpha_dropout(np.zeros(4, np.float32), 0.5, rng=42)
    array([ 0.77919394,  0.77919394, -0.77919394, -0.77919394], dtype=float32)
    """
    bits = as_noise_shape(_core.shape_of(x), noise_shape, broadcast_dims)
    return _alpha(x, p, rng, bits, out, training, return_drawn, threads)


@overload
def feature_alpha_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[Options]
) -> NDArray[T]: ...
@overload
def feature_alpha_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[Options]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def feature_alpha_dropout(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[Options]
) -> Any: ...
def feature_alpha_dropout(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Apply `alpha_dropout` to whole channels of an array (N, C, ...), as PyTorch's ``feature_alpha_dropout``.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> y = simdrop.feature_alpha_dropout(np.zeros((2, 2, 3)), 0.5, rng=42)
    >>> y[:, :, 0].round(4)
    array([[ 0.7792,  0.7792],
           [-0.7792, -0.7792]])
    """
    return _alpha(x, p, rng, feature_bits(_core.shape_of(x)), out, training, return_drawn, threads)


def _alpha(
    x: ArrayLike,
    p: SupportsFloat,
    rng: RNG,
    bits: tuple[int, ...],
    out: ArrayLike | None,
    training: bool,
    return_drawn: bool,
    threads: int | None,
) -> Any:
    values = _core.in_usual_mode(selu_values, 1 - keep_probability(p))
    return draw(x, p, rng, bits, out=out, training=training, values=values, return_drawn=return_drawn, threads=threads)
