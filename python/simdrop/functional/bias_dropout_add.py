"""Bias, dropout and residual in one pass over memory."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, SupportsFloat, overload

import numpy as np

from simdrop import _core
from simdrop._arrays import summed
from simdrop._draw import copied, kept_factor
from simdrop._drawn import Drawn, drawn_value, scaled
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream
from simdrop._types import ArrayLike, No, Options, T, Yes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Unpack


@drawn_value
class BiasDropoutAddDrawn(Drawn):
    """What `bias_dropout_add` did: ``residual + (kept ? (x + bias) * scale : +0)``.

    Parameters
    ----------
    mask : Mask
        The numbers that were drawn; in inference a mask with ``p = 0``.
    scale : float, keyword only
        See above.
    has_bias : bool, keyword only
        Whether there was a bias.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x = np.ones((1, 2))
    >>> simdrop.bias_dropout_add(x, None, x, 0.5, rng=42, return_drawn=True)[1]
    simdrop.BiasDropoutAddDrawn(simdrop.Mask((1, 2), 0.5, seed=42, stream=0, offset=0), scale=2.0, has_bias=False)
    """

    mask: Mask
    scale: float = field(default=1.0, kw_only=True)
    has_bias: bool = field(default=True, kw_only=True)

    def backward(  # type: ignore[override]
        self, grad: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None
    ) -> tuple[Any, Any, Any]:
        """Return the gradients of `x`, which goes to `out` if that is given, of `bias` (None without one), `residual`.

        That of the residual is a copy of `grad`, that of `x` is ``kept ? grad * scale : +0``, that of the bias the
        sum of the latter over all dimensions but the last.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> drawn = simdrop.BiasDropoutAddDrawn(simdrop.Mask((2, 2), 0.5, seed=42), scale=2.0)
        >>> dx, dbias, dresidual = drawn.backward(np.ones((2, 2)))
        >>> dx, dbias
        (array([[2., 2.],
               [0., 0.]]), array([2., 2.]))
        """
        grad_residual = copied(grad, None, threads, "grad")
        grad_x = scaled(self.mask, grad, self.scale, out, threads)
        if not self.has_bias:
            return grad_x, None, grad_residual
        last = self.mask.shape[-1] if self.mask.shape else 1
        rows = np.asarray(grad_x).reshape(self.mask.size // last if last else 0, last)
        return grad_x, summed(rows), grad_residual


@overload
def bias_dropout_add(
    x: NDArray[T],
    bias: ArrayLike | None,
    residual: ArrayLike,
    p: SupportsFloat = ...,
    *,
    return_drawn: No = ...,
    **options: Unpack[Options],
) -> NDArray[T]: ...
@overload
def bias_dropout_add(
    x: NDArray[T],
    bias: ArrayLike | None,
    residual: ArrayLike,
    p: SupportsFloat = ...,
    *,
    return_drawn: Yes,
    **options: Unpack[Options],
) -> tuple[NDArray[T], BiasDropoutAddDrawn]: ...
@overload
def bias_dropout_add(
    x: ArrayLike,
    bias: ArrayLike | None,
    residual: ArrayLike,
    p: SupportsFloat = ...,
    *,
    return_drawn: bool = ...,
    **options: Unpack[Options],
) -> Any: ...
def bias_dropout_add(
    x: ArrayLike,
    bias: ArrayLike | None,
    residual: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Return ``residual + dropout(x + bias)``, the end of every transformer sublayer, in one pass.

    Each element is ``residual + (kept ? (x + bias) / q : +0)``: three roundings in the compute type (float32, or
    float64 for float64), in this order, and one to the storage type.

    Parameters
    ----------
    x : array
        Of any shape; bias and residual have its dtype.
    bias : array or None
        Of shape ``(x.shape[-1],)``. With None nothing is added.
    residual : array
        Of the shape of `x`.
    p : float
        Probability of dropping an element, from 0 to 1. With ``p = 1`` the result is the residual plus +0.
    rng, threads
        As for `dropout`; equal numbers give the mask that `dropout` has.
    out : array, keyword only
        Where the result goes; `x` and `residual` are possible.
    training : bool, keyword only
        False for inference: ``residual + (x + bias)``, nothing is drawn.
    return_drawn : bool, keyword only
        Also return a `BiasDropoutAddDrawn`, whose `backward` gives the gradients of `x`, `bias` and `residual`.

    Returns
    -------
    array, or (array, BiasDropoutAddDrawn)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError if `bias` or `residual` has another shape or dtype.

    References
    ----------
    The name and the formula are those of Megatron-LM's ``bias_dropout_add_fused_train``.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x, bias, residual = np.ones((2, 2)), np.array([1.0, 2.0]), np.full((2, 2), 10.0)
    >>> simdrop.bias_dropout_add(x, bias, residual, 0.5, rng=42)
    array([[14., 16.],
           [10., 10.]])
    """
    scale = kept_factor(p)
    source = as_stream(rng) if training else (0, 0, 0)
    if not training:
        p, scale = 0.0, 1.0
    result, number = _core.bias_dropout_add(x, bias, residual, out, p, source, scale, threads)
    if not return_drawn:
        return result
    seed = 0 if isinstance(source, tuple) else source.seed
    mask = Mask(_core.shape_of(x), p, seed=seed, stream=number)
    return result, BiasDropoutAddDrawn(mask, scale=scale, has_bias=bias is not None)
