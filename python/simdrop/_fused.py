"""Bias, dropout and residual in one pass over memory."""

from __future__ import annotations

from typing import Any, SupportsFloat

import numpy as np

from simdrop import _core
from simdrop._draw import kept_factor
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream


def bias_dropout_add(
    x: Any,
    bias: Any,
    residual: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    return_mask: bool = False,
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
    return_mask : bool, keyword only
        Also return the `Mask`, for `bias_dropout_add_backward`.

    Returns
    -------
    array, or (array, Mask)

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
    stream = as_stream(rng) if training else None
    source = stream if stream is not None else (0, 0, 0)
    drop = p if training else 0.0
    scale = kept_factor(p) if training else 1.0
    result, number = _core.bias_dropout_add(x, bias, residual, out, drop, source, scale, threads)
    if not return_mask:
        return result
    seed = stream.seed if stream is not None else 0
    return result, Mask(_core.shape_of(x), drop, seed=seed, stream=number)


def bias_dropout_add_backward(grad: Any, mask: Mask, *, threads: int | None = None) -> tuple[Any, Any, Any]:
    """Return the gradients of `bias_dropout_add` for `x`, `bias` and `residual`.

    That of the residual is `grad` itself, that of `x` is ``mask.apply(grad)``, that of the bias the sum of the latter
    over all dimensions but the last.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> mask = simdrop.Mask((2, 2), 0.5, seed=42)
    >>> dx, dbias, dresidual = simdrop.bias_dropout_add_backward(np.ones((2, 2)), mask)
    >>> dx, dbias
    (array([[2., 2.],
           [0., 0.]]), array([2., 2.]))
    """
    grad_x = mask.apply(grad, threads=threads)
    grad_bias = np.asarray(grad_x).reshape(-1, mask.shape[-1] if mask.shape else 1).sum(axis=0)
    return grad_x, grad_bias, grad
