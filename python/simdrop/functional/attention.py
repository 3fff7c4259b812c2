"""Dropout on attention weights, and attention that uses it."""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any, SupportsFloat, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._arrays import as_floats, as_ndarray, require_shape
from simdrop._draw import draw
from simdrop._drawn import AffineDrawn, Drawn, drawn_value
from simdrop._mask import Mask
from simdrop._rng import RNG
from simdrop._shapes import Dims, NoiseShape, as_noise_shape
from simdrop._types import ArrayLike, No, Options, T, Yes

if TYPE_CHECKING:
    from typing_extensions import Unpack

Array = NDArray[Any]


class _WeightOptions(Options, total=False):
    noise_shape: NoiseShape
    broadcast_dims: Dims


class _Options(TypedDict, total=False):
    attn_mask: ArrayLike | None
    is_causal: bool
    scale: float | None
    rng: RNG
    training: bool
    threads: int | None


@overload
def attention_dropout(
    weights: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_WeightOptions]
) -> NDArray[T]: ...
@overload
def attention_dropout(
    weights: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_WeightOptions]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def attention_dropout(
    weights: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_WeightOptions]
) -> Any: ...
def attention_dropout(
    weights: ArrayLike,
    p: SupportsFloat = 0.1,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    noise_shape: NoiseShape = None,
    broadcast_dims: Dims = (),
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Drop attention weights after the softmax: ``w' = kept ? w / q : +0``, rows are not normalised again.

    Parameters
    ----------
    weights : array
        (..., queries, keys), at least two dimensions.
    p, rng, out, training, threads
        As for `dropout`; equal numbers give the mask that `dropout` has.
    noise_shape, broadcast_dims : keyword only
        As for `dropout`: dimensions that share their fate, such as ``(0, 1)`` for all samples and heads (Flax'
        ``broadcast_dropout``).
    return_drawn : bool, keyword only
        Also return an `AffineDrawn`, whose `backward` gives the gradient.

    Returns
    -------
    array, or (array, AffineDrawn)

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
    shape = _core.shape_of(weights, "weights")
    if len(shape) < 2:
        raise ValueError(f"weights: got shape {shape}; accepted: 2 dimensions or more, (..., queries, keys)")
    bits = as_noise_shape(shape, noise_shape, broadcast_dims)
    return draw(
        weights, p, rng, bits, out=out, training=training, return_drawn=return_drawn, threads=threads, name="weights"
    )


@drawn_value
class AttentionDrawn(Drawn):
    """What `scaled_dot_product_attention` did, besides its inputs. It holds no array: `backward` computes again.

    Parameters
    ----------
    mask : Mask
        The dropped attention weights, (..., queries, keys); in inference a mask with ``p = 0``.
    scale : float, keyword only
        What the scores were multiplied with.
    is_causal : bool, keyword only
        Whether query i attended to keys 0 to i only.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x = np.ones((1, 2, 4))
    >>> simdrop.scaled_dot_product_attention(x, x, x, 0.5, rng=42, return_drawn=True)[1]
    simdrop.AttentionDrawn(simdrop.Mask((1, 2, 2), 0.5, seed=42, stream=0, offset=0), scale=0.5)
    """

    mask: Mask
    scale: float = field(kw_only=True)
    is_causal: bool = field(default=False, kw_only=True)

    def backward(  # type: ignore[override]
        self,
        grad: ArrayLike,
        q: ArrayLike,
        k: ArrayLike,
        v: ArrayLike,
        *,
        attn_mask: ArrayLike | None = None,
        threads: int | None = None,
    ) -> tuple[Array, Array, Array]:
        """Return the gradients of `q`, `k` and `v`.

        Parameters
        ----------
        grad : array
            Gradient of the result.
        q, k, v, attn_mask
            As in the forward pass.
        threads : int, keyword only
            As for `dropout`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> x = np.ones((1, 2, 4))
        >>> y, drawn = simdrop.scaled_dot_product_attention(x, x, x, 0.5, rng=42, return_drawn=True)
        >>> dq, dk, dv = drawn.backward(np.ones_like(y), x, x, x)
        >>> dv
        array([[[1., 1., 1., 1.],
                [1., 1., 1., 1.]]])
        """
        q, k, v = _inputs(q, k, v)
        grad = as_floats("grad", grad, q, "q")
        require_shape("grad", grad.shape, (*q.shape[:-1], v.shape[-1]), "the result")
        weights = _softmax(_scores(q, k, self.scale, attn_mask, self.is_causal))
        dropped = self.mask.apply(weights, threads=threads)
        grad_v = np.swapaxes(dropped, -1, -2) @ grad
        del dropped  # arrays of (queries, keys) are what the memory goes to
        grad_weights = np.ascontiguousarray(grad @ np.swapaxes(v, -1, -2))
        self.mask.apply_(grad_weights, threads=threads)
        grad_scores = grad_weights
        grad_scores -= (weights * grad_weights).sum(axis=-1, keepdims=True)
        grad_scores *= weights
        grad_scores *= grad_scores.dtype.type(self.scale)
        grad_q, grad_k, grad_v = (
            gradient.astype(q.dtype, copy=False)
            for gradient in (grad_scores @ k, np.swapaxes(grad_scores, -1, -2) @ q, grad_v)
        )
        return grad_q, grad_k, grad_v


@overload
def scaled_dot_product_attention(
    q: NDArray[T],
    k: ArrayLike,
    v: ArrayLike,
    p: SupportsFloat = ...,
    *,
    return_drawn: No = ...,
    **options: Unpack[_Options],
) -> NDArray[T]: ...
@overload
def scaled_dot_product_attention(
    q: NDArray[T], k: ArrayLike, v: ArrayLike, p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_Options]
) -> tuple[NDArray[T], AttentionDrawn]: ...
@overload
def scaled_dot_product_attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    p: SupportsFloat = ...,
    *,
    return_drawn: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
def scaled_dot_product_attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    p: SupportsFloat = 0.0,
    *,
    attn_mask: ArrayLike | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    rng: RNG = None,
    training: bool = True,
    return_drawn: bool = False,
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
    return_drawn : bool, keyword only
        Also return an `AttentionDrawn`; ``drawn.backward(gradient, q, k, v)`` gives the gradients.

    Returns
    -------
    ndarray (..., queries, values), or (ndarray, AttentionDrawn)

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
    q, k, v = _inputs(q, k, v)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    weights = _softmax(_scores(q, k, factor, attn_mask, is_causal))
    dropped, drawn = attention_dropout(
        weights, p, rng=rng, out=weights, training=training, return_drawn=True, threads=threads
    )
    y = (dropped @ v).astype(q.dtype, copy=False)
    return (y, AttentionDrawn(drawn.mask, scale=factor, is_causal=bool(is_causal))) if return_drawn else y


def _scores(q: Array, k: Array, scale: float, attn_mask: ArrayLike | None, is_causal: bool) -> Array:
    scores: Array = np.asarray(q @ np.swapaxes(k, -1, -2))
    scores *= q.dtype.type(scale)  # in place as all that follows: this is the one large array
    lowest = scores.dtype.type(-np.inf)
    if is_causal:
        np.copyto(scores, lowest, where=~np.tri(*scores.shape[-2:], dtype=np.bool_))
    if attn_mask is None:
        return scores
    attn_mask = as_ndarray("attn_mask", attn_mask)
    if attn_mask.dtype != np.bool_:
        attn_mask = as_floats("attn_mask", attn_mask)
    _require_broadcast("attn_mask", attn_mask.shape, scores.shape)
    if attn_mask.dtype == np.bool_:
        np.copyto(scores, lowest, where=~attn_mask)
    else:
        scores += attn_mask.astype(scores.dtype)
    return scores


def _softmax(scores: Array) -> Array:
    """Return the softmax along the last dimension, in the memory of `scores`."""
    if scores.shape[-1] == 0:
        return scores
    highest = scores.max(axis=-1, keepdims=True)
    scores -= np.where(np.isinf(highest), 0, highest).astype(scores.dtype)
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    scores /= np.where(total == 0, 1, total).astype(scores.dtype)
    return scores


def _require_broadcast(name: str, shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    tail = target[len(target) - len(shape) :]
    if len(shape) > len(target) or any(n not in (1, m) for n, m in zip(shape, tail, strict=False)):
        raise ValueError(f"{name}: got shape {shape}; accepted: what broadcasts to (..., queries, keys), {target}")


def _inputs(q: ArrayLike, k: ArrayLike, v: ArrayLike) -> tuple[Array, Array, Array]:
    """Return the inputs of attention, checked."""
    q = as_floats("q", q)
    k, v = as_floats("k", k, q, "q"), as_floats("v", v, q, "q")
    for name, x, what in (("q", q, "queries, width"), ("k", k, "keys, width"), ("v", v, "keys, values")):
        if x.ndim < 2:
            raise ValueError(f"{name}: got shape {x.shape}; accepted: at least 2 dimensions, (..., {what})")
    if k.shape[:-2] != q.shape[:-2] or k.shape[-1] != q.shape[-1]:
        raise ValueError(f"k: got shape {k.shape}; accepted: the leading dimensions and the width of q, {q.shape}")
    if v.shape[:-1] != k.shape[:-1]:
        raise ValueError(f"v: got shape {v.shape}; accepted: the dimensions of k but the last, {k.shape}")
    return q, k, v
