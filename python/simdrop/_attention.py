"""Dropout on attention weights, and attention that uses it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from simdrop._functional import dropout
from simdrop._mask import Mask
from simdrop._rng import RNG

Array = NDArray[Any]


def attention_dropout(
    weights: Any,
    p: SupportsFloat = 0.1,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    broadcast_dims: Sequence[SupportsIndex] = (),
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Drop attention weights after the softmax: ``w' = kept ? w / q : +0``, rows are not normalised again.

    Parameters
    ----------
    weights : array
        (..., queries, keys), at least two dimensions.
    p, rng, out, training, threads
        As for `dropout`; equal numbers give the mask that `dropout` has.
    broadcast_dims : sequence of int, keyword only
        Dimensions that share their fate, such as ``(0, 1)`` for all samples and heads (Flax'
        ``broadcast_dropout``).
    return_mask : bool, keyword only
        Also return the `Mask`; ``mask.apply(gradient)`` is the backward pass.

    Returns
    -------
    array, or (array, Mask)

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NIPS 2017, and every implementation of it since.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.attention_dropout(np.full((1, 2, 2), 0.5), 0.5, rng=42)
    array([[[1., 1.],
            [0., 0.]]])
    """
    if np.ndim(weights) < 2:
        raise ValueError(
            f"weights: got shape {np.shape(weights)}; accepted: 2 dimensions or more, (..., queries, keys)"
        )
    return dropout(
        weights,
        p,
        rng=rng,
        out=out,
        training=training,
        broadcast_dims=broadcast_dims,
        return_mask=return_mask,
        threads=threads,
    )


class AttentionState(NamedTuple):
    """What `scaled_dot_product_attention_backward` needs besides the inputs: numbers only.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x = np.ones((1, 2, 4))
    >>> simdrop.scaled_dot_product_attention(x, x, x, return_state=True)[1].scale
    0.5
    """

    mask: Mask
    scale: float
    is_causal: bool


def scaled_dot_product_attention(
    q: Array,
    k: Array,
    v: Array,
    p: SupportsFloat = 0.0,
    *,
    attn_mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    rng: RNG = None,
    training: bool = True,
    return_state: bool = False,
    threads: int | None = None,
) -> Any:
    """Return ``dropout(softmax(q k^T scale + attn_mask)) v``.

    Parameters
    ----------
    q, k, v : ndarray
        (..., queries, width), (..., keys, width) and (..., keys, values), with equal leading dimensions.
    p : float
        Probability of dropping an attention weight, from 0 to 1.
    attn_mask : ndarray or None, keyword only
        Booleans, True where attention is allowed, or numbers to be added; broadcast to (..., queries, keys). A query
        that may attend to nothing gets zeros.
    is_causal : bool, keyword only
        Query i may attend to keys 0 to i only.
    scale : float, keyword only
        By default ``1 / sqrt(width)``.
    rng, training, threads
        As for `dropout`: the mask is that of the array (..., queries, keys).
    return_state : bool, keyword only
        Also return the `AttentionState` for the backward pass. It holds the `Mask` and no array: the backward pass
        computes the weights again.

    Returns
    -------
    ndarray (..., queries, values), or (ndarray, AttentionState)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError if the shapes do not fit.

    References
    ----------
    PyTorch's function of this name; A. Vaswani et al., "Attention is all you need", NIPS 2017.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> q = np.zeros((1, 2, 4))
    >>> v = np.array([[[1.0], [3.0]]])
    >>> simdrop.scaled_dot_product_attention(q, q, v)
    array([[[2.],
            [2.]]])
    """
    _require_fit(q, k, v)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    weights = _softmax(_scores(q, k, factor, attn_mask, is_causal))
    dropped, mask = attention_dropout(weights, p, rng=rng, training=training, return_mask=True, threads=threads)
    y = dropped @ v
    return (y, AttentionState(mask, factor, is_causal)) if return_state else y


def scaled_dot_product_attention_backward(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    state: AttentionState,
    *,
    attn_mask: Array | None = None,
    threads: int | None = None,
) -> tuple[Array, Array, Array]:
    """Return the gradients of `scaled_dot_product_attention` for `q`, `k` and `v`.

    Parameters
    ----------
    grad : ndarray
        Gradient of the result.
    q, k, v, attn_mask
        As in the forward pass.
    state : AttentionState
        What the forward pass returned.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x = np.ones((1, 2, 4))
    >>> y, state = simdrop.scaled_dot_product_attention(x, x, x, 0.5, rng=42, return_state=True)
    >>> dq, dk, dv = simdrop.scaled_dot_product_attention_backward(np.ones_like(y), x, x, x, state)
    >>> dv
    array([[[1., 1., 1., 1.],
            [1., 1., 1., 1.]]])
    """
    _require_fit(q, k, v)
    weights = _softmax(_scores(q, k, state.scale, attn_mask, state.is_causal))
    dropped = state.mask.apply(weights, threads=threads)
    grad_v = np.swapaxes(dropped, -1, -2) @ grad
    grad_weights = np.ascontiguousarray(grad @ np.swapaxes(v, -1, -2))
    state.mask.apply_(grad_weights, threads=threads)
    grad_scores = weights * (grad_weights - (weights * grad_weights).sum(axis=-1, keepdims=True))
    grad_scores *= grad_scores.dtype.type(state.scale)
    return grad_scores @ k, np.swapaxes(grad_scores, -1, -2) @ q, grad_v


def _scores(q: Array, k: Array, scale: float, attn_mask: Array | None, is_causal: bool) -> Array:
    scores = (q @ np.swapaxes(k, -1, -2)) * q.dtype.type(scale)
    lowest = scores.dtype.type(-np.inf)
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, lowest)
    if attn_mask is None:
        return np.asarray(scores)
    if attn_mask.dtype == np.bool_:
        return np.asarray(np.where(attn_mask, scores, lowest))
    return np.asarray(scores + attn_mask.astype(scores.dtype))


def _softmax(scores: Array) -> Array:
    if scores.shape[-1] == 0:
        return scores
    highest = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isinf(highest), 0, highest).astype(scores.dtype))
    total = powers.sum(axis=-1, keepdims=True)
    return np.asarray(powers / np.where(total == 0, 1, total).astype(scores.dtype))


def _require_fit(q: Array, k: Array, v: Array) -> None:
    for name, x, what in (("q", q, "queries, width"), ("k", k, "keys, width"), ("v", v, "keys, values")):
        if np.ndim(x) < 2:
            raise ValueError(f"{name}: got shape {np.shape(x)}; accepted: at least 2 dimensions, (..., {what})")
    if k.shape[:-2] != q.shape[:-2] or k.shape[-1] != q.shape[-1]:
        raise ValueError(f"k: got shape {k.shape}; accepted: the leading dimensions and the width of q, {q.shape}")
    if v.shape[:-1] != k.shape[:-1]:
        raise ValueError(f"v: got shape {v.shape}; accepted: the dimensions of k but the last, {k.shape}")
