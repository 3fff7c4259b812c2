"""Dropout on weights."""

from __future__ import annotations

import math
from typing import Any, Literal, SupportsFloat, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._draw import infer, next_mask, nothing_dropped
from simdrop._gaussian import normal
from simdrop._mask import Mask, Scaling
from simdrop._rng import RNG, as_stream
from simdrop._shapes import require_rank

Array = NDArray[Any]
Inference: TypeAlias = Literal["mean", "gaussian"]


def drop_connect(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    training: bool = True,
    per_sample: bool = False,
    inference: Inference = "mean",
    scaling: Scaling = "inverted",
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Apply a dense layer whose weights are dropped: ``y = x (M * W)^T + b``.

    Parameters
    ----------
    x : ndarray
        (N, inputs).
    weight : ndarray
        (outputs, inputs), of the dtype of `x`.
    bias : ndarray or None
        (outputs,).
    p : float
        Probability of dropping a weight, from 0 to 1.
    rng, threads
        As for `dropout`: the mask is ``Mask((outputs, inputs), p, ...)``, or of shape (N, outputs, inputs).
    training : bool, keyword only
        False for inference; see `inference`.
    per_sample : bool, keyword only
        One mask for each sample, as in the paper, instead of one for the batch. The weights are masked again for
        each sample, so this costs N times the memory traffic.
    inference : {"mean", "gaussian"}, keyword only
        What inference computes: the layer with its mean weights; or, as in the paper, one draw from the normal
        distribution whose mean and variance are those of `drop_connect_moments`.
    scaling : {"inverted", "classic"}, keyword only
        Kept weights are divided by ``q``, or left as they are (the paper); the mean weights are ``W`` or ``q W``.
    return_mask : bool, keyword only
        Also return the `Mask`, for `drop_connect_backward`.

    Returns
    -------
    ndarray (N, outputs), or (ndarray, Mask)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError if the shapes do not fit.

    References
    ----------
    L. Wan et al., "Regularization of neural networks using DropConnect", ICML 2013.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.drop_connect(np.ones((1, 2)), np.array([[1.0, 2.0], [3.0, 4.0]]), rng=42)
    array([[6., 0.]])
    """
    _require_layer(x, weight)
    if inference not in ("mean", "gaussian"):
        raise ValueError(f"inference: got {inference!r}; accepted: 'mean' or 'gaussian'")
    if not training:
        y = _infer(x, weight, p, rng, inference, scaling)
        mask = nothing_dropped(weight)
    elif per_sample:
        stream = as_stream(rng)
        mask = Mask((len(x), *weight.shape), p, seed=stream.seed, stream=stream.next())
        y = np.empty((len(x), len(weight)), np.result_type(x, weight))
        for n, row in enumerate(x):
            y[n] = mask[n].apply(weight, scaling=scaling, threads=threads) @ row
    else:
        dropped, mask = next_mask(weight, p, rng, scaling=scaling, return_mask=True, threads=threads)
        y = x @ dropped.T
    if bias is not None:
        y = y + bias
    return (y, mask) if return_mask else y


def drop_connect_moments(
    x: Array, weight: Array, bias: Array | None = None, p: SupportsFloat = 0.5, *, scaling: Scaling = "inverted"
) -> tuple[Array, Array]:
    """Return mean and variance of a `drop_connect` layer's output over all masks.

    With classic scaling (Wan et al. 2013) ``u ~ N(q x W^T, q (1 - q) (x * x) (W * W)^T)``; with inverted scaling the
    mean is that divided by ``q`` and the variance by ``q^2``. A bias adds to the mean.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.drop_connect_moments(np.ones((1, 2)), np.array([[1.0, 2.0]]), scaling="classic")
    (array([[1.5]]), array([[1.25]]))
    """
    _require_layer(x, weight)
    one = Mask((), p, seed=0)
    q = one.keep_probability
    factor = one.factor(scaling)
    mean = (x @ weight.T) * (q * factor)
    variance = ((x * x) @ (weight * weight).T) * (q * (1 - q) * factor**2)
    return (mean if bias is None else mean + bias), variance


def drop_connect_backward(
    grad: Array, x: Array, weight: Array, mask: Mask, *, scaling: Scaling = "inverted", threads: int | None = None
) -> tuple[Array, Array, Array]:
    """Return the gradients of `drop_connect` for `x`, `weight` and `bias`.

    Parameters
    ----------
    grad : ndarray
        Gradient of the result, (N, outputs).
    x, weight : ndarray
        As in the forward pass.
    mask : Mask
        What the forward pass returned; three dimensions mean one mask for each sample.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x, weight = np.ones((1, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> y, mask = simdrop.drop_connect(x, weight, rng=42, return_mask=True)
    >>> simdrop.drop_connect_backward(np.ones((1, 2)), x, weight, mask)
    (array([[2., 4.]]), array([[2., 2.],
           [0., 0.]]), array([1., 1.]))
    """
    _require_layer(x, weight)
    grad_bias = grad.sum(axis=0)
    if mask.ndim == 2:
        dropped = mask.apply(weight, scaling=scaling, threads=threads)
        grad_weight = mask.apply(np.ascontiguousarray(grad.T @ x), scaling=scaling, threads=threads)
        return grad @ dropped, grad_weight, grad_bias
    grad_x = np.empty_like(x)
    grad_weight = np.zeros_like(weight)
    for n, row in enumerate(x):
        grad_x[n] = grad[n] @ mask[n].apply(weight, scaling=scaling, threads=threads)
        grad_weight += mask[n].apply(np.outer(grad[n], row), scaling=scaling, threads=threads)
    return grad_x, grad_weight, grad_bias


def weight_drop(
    weight: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    training: bool = True,
    variational: bool = False,
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Return a recurrent weight matrix with elements dropped, to be used for a whole sequence.

    ``W' = M * W / q``: the mask is drawn once before the first time step, so that all steps share it [1]_.

    Parameters
    ----------
    weight : array
        (outputs, inputs).
    p, rng, training, threads
        As for `dropout`.
    variational : bool, keyword only
        Drop whole rows (outputs) instead of elements.
    return_mask : bool, keyword only
        Also return the `Mask`; ``mask.apply(gradient of W')`` is the gradient of `weight`.

    Returns
    -------
    array, or (array, Mask)

    References
    ----------
    .. [1] S. Merity et al., "Regularizing and optimizing LSTM language models" (AWD-LSTM), ICLR 2018.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.weight_drop(np.ones((2, 4)), 0.5, rng=42)
    array([[2., 2., 0., 0.],
           [2., 0., 2., 0.]])
    """
    shape = _core.shape_of(weight)
    require_rank("weight", shape, (2,), "(outputs, inputs)")
    if not training:
        _core.threshold(p)
        result = infer(weight, None, threads)
        return (result, nothing_dropped(result)) if return_mask else result
    bits = (shape[0], 1) if variational else shape
    return next_mask(weight, p, rng, bits, threads=threads, return_mask=return_mask)


def _infer(x: Array, weight: Array, p: SupportsFloat, rng: RNG, inference: Inference, scaling: Scaling) -> Array:
    mean, variance = drop_connect_moments(x, weight, None, p, scaling=scaling)
    if inference == "mean" or math.prod(mean.shape) == 0:
        return mean
    z = normal(mean.shape, rng=rng, dtype=mean.dtype)
    return np.asarray(mean + np.sqrt(variance) * z)


def _require_layer(x: Array, weight: Array) -> None:
    require_rank("x", np.shape(x), (2,), "(N, inputs)")
    require_rank("weight", np.shape(weight), (2,), "(outputs, inputs)")
    if np.shape(x)[1] != np.shape(weight)[1]:
        raise ValueError(
            f"weight: got shape {np.shape(weight)}; accepted: (outputs, inputs) with {np.shape(x)[1]} inputs, as x has"
        )
