"""DropConnect: a dense layer whose weights are dropped."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, TypeAlias, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._arrays import as_floats, require_shape, sum_dtype, summed
from simdrop._draw import draw, kept_factor
from simdrop._drawn import Drawn, drawn_value
from simdrop._mask import Mask, Scaling
from simdrop._rng import RNG, as_stream
from simdrop._shapes import require_rank
from simdrop._types import ArrayLike, No, T, Yes
from simdrop.functional.gaussian import Noise

if TYPE_CHECKING:
    from typing_extensions import Unpack

Array = NDArray[Any]
_Gradients: TypeAlias = "tuple[Array, Array, Array | None]"
Inference: TypeAlias = Literal["mean", "gaussian"]


class _Options(TypedDict, total=False):
    rng: RNG
    training: bool
    per_sample: bool
    inference: Inference
    scaling: Scaling
    threads: int | None


@drawn_value
class DropConnectDrawn(Drawn):
    """What `drop_connect` did: ``y = x (kept ? W * scale : 0)^T + b``, and the noise of Gaussian inference.

    Parameters
    ----------
    mask : Mask
        The dropped weights; three dimensions mean one mask for each sample. In inference a mask with ``p = 0``.
    scale : float, keyword only
        See above; in inference what the mean weights are multiplied with.
    variance : float, keyword only
        In Gaussian inference ``sqrt(variance (x * x) (W * W)^T) z`` has been added, with `noise` as z.
    noise : Noise or None, keyword only
        The normal deviates of Gaussian inference.
    has_bias : bool, keyword only
        Whether there was a bias.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x = np.ones((1, 2))
    >>> simdrop.drop_connect(x, x, np.ones(1), 0.5, rng=42, return_drawn=True)[1]
    simdrop.DropConnectDrawn(simdrop.Mask((1, 2), 0.5, seed=42, stream=0, offset=0), scale=2.0)
    """

    mask: Mask
    scale: float = field(default=1.0, kw_only=True)
    variance: float = field(default=0.0, kw_only=True)
    noise: Noise | None = field(default=None, kw_only=True)
    has_bias: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        Drawn.__post_init__(self)
        if not isinstance(self.noise, Noise | None):
            raise TypeError(f"noise: got {_core.shown(self.noise)}; accepted: a simdrop.Noise or None")

    def backward(  # type: ignore[override]
        self, grad: ArrayLike, x: ArrayLike, weight: ArrayLike, *, threads: int | None = None
    ) -> _Gradients:
        """Return the gradients of `x`, `weight` and `bias`, None without one.

        Parameters
        ----------
        grad : array
            Gradient of the result, (N, outputs).
        x, weight : array
            As in the forward pass.
        threads : int, keyword only
            As for `dropout`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> x, weight = np.ones((1, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])
        >>> y, drawn = simdrop.drop_connect(x, weight, np.zeros(2), rng=42, return_drawn=True)
        >>> drawn.backward(np.ones((1, 2)), x, weight)
        (array([[2., 4.]]), array([[2., 2.],
               [0., 0.]]), array([1., 1.]))
        """
        x, weight = _layer(x, weight)
        require_shape("weight", weight.shape, self.mask.shape[-2:], "the mask")
        grad = as_floats("grad", grad, x)
        require_shape("grad", grad.shape, (len(x), len(weight)), "the result")
        grad_bias = summed(grad) if self.has_bias else None
        if self.mask.ndim == 3:
            require_shape("x", x.shape, (self.mask.shape[0], self.mask.shape[2]), "the samples of the mask")
            grad_x = np.empty_like(x)
            grad_weight = np.zeros(weight.shape, sum_dtype(weight.dtype))
            for n, row in enumerate(x):
                grad_x[n] = grad[n] @ self._weights(weight, threads, n)
                grad_weight += self._weights(np.outer(grad[n], row), threads, n)
            return _narrow(x.dtype, grad_x, grad_weight, grad_bias)
        grad_x = grad @ self._weights(weight, threads)
        grad_weight = self._weights(np.ascontiguousarray(grad.T @ x), threads)
        if self.noise is not None:
            squares = self.variance * ((x * x) @ (weight * weight).T)
            z = self.noise.apply(np.zeros_like(squares), threads=threads)
            slope = np.divide(grad * z, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
            slope *= slope.dtype.type(self.variance)
            grad_x += x * (slope @ (weight * weight))
            grad_weight += weight * (slope.T @ (x * x))
        return _narrow(x.dtype, grad_x, grad_weight, grad_bias)

    def _weights(self, weight: Array, threads: int | None, sample: int | None = None) -> Array:
        mask = self.mask if sample is None else self.mask[sample]
        result: Array = mask.select(weight, scale=self.scale, threads=threads)
        return result


@overload
def drop_connect(
    x: NDArray[T],
    weight: ArrayLike,
    bias: ArrayLike | None = ...,
    p: SupportsFloat = ...,
    *,
    return_drawn: No = ...,
    **options: Unpack[_Options],
) -> NDArray[T]: ...
@overload
def drop_connect(
    x: NDArray[T],
    weight: ArrayLike,
    bias: ArrayLike | None = ...,
    p: SupportsFloat = ...,
    *,
    return_drawn: Yes,
    **options: Unpack[_Options],
) -> tuple[NDArray[T], DropConnectDrawn]: ...
@overload
def drop_connect(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = ...,
    p: SupportsFloat = ...,
    *,
    return_drawn: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
def drop_connect(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    training: bool = True,
    per_sample: bool = False,
    inference: Inference = "mean",
    scaling: Scaling = "inverted",
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Apply a dense layer whose weights are dropped: ``y = x (M * W)^T + b``.

    Parameters
    ----------
    x : array
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
    return_drawn : bool, keyword only
        Also return a `DropConnectDrawn`; ``drawn.backward(gradient, x, weight)`` gives the gradients.

    Returns
    -------
    ndarray (N, outputs), or (ndarray, DropConnectDrawn)

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
    x, weight = _layer(x, weight)
    if bias is not None:
        bias = as_floats("bias", bias, x)
        require_shape("bias", bias.shape, (len(weight),), "the outputs of weight")
    if inference not in ("mean", "gaussian"):
        raise ValueError(f"inference: got {inference!r}; accepted: 'mean' or 'gaussian'")
    scale = kept_factor(p, scaling)
    if not training:
        y, drawn = _infer(x, weight, p, rng, inference, scaling)
    elif per_sample:
        stream = as_stream(rng)
        _core.check_threads(threads)
        mask = Mask((len(x), *weight.shape), p, seed=stream.seed, stream=stream.next())
        drawn = DropConnectDrawn(mask, scale=scale)
        y = np.empty((len(x), len(weight)), x.dtype)
        for n, row in enumerate(x):
            y[n] = mask[n].apply(weight, scaling=scaling, threads=threads) @ row
    else:
        bits = weight.shape
        dropped, affine = draw(weight, p, rng, bits, scaling=scaling, return_drawn=True, threads=threads, name="weight")
        drawn = DropConnectDrawn(affine.mask, scale=scale)
        y = x @ dropped.T
    y = (y if bias is None else y + bias).astype(x.dtype, copy=False)  # products of bfloat16 are float32
    return (y, replace(drawn, has_bias=bias is not None)) if return_drawn else y


def drop_connect_moments(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    p: SupportsFloat = 0.5,
    *,
    scaling: Scaling = "inverted",
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
    x, weight = _layer(x, weight)
    scale, variance = _moments(p, scaling)
    mean = (x @ weight.T) * scale
    if bias is not None:
        mean = mean + as_floats("bias", bias, x)
    return mean, ((x * x) @ (weight * weight).T) * variance


def _narrow(dtype: np.dtype[Any], grad_x: Array, grad_weight: Array, grad_bias: Array | None) -> _Gradients:
    """Return the gradients in the type of the inputs: NumPy's products of bfloat16 are float32."""
    bias = None if grad_bias is None else grad_bias.astype(dtype, copy=False)
    return grad_x.astype(dtype, copy=False), grad_weight.astype(dtype, copy=False), bias


def _moments(p: SupportsFloat, scaling: Scaling) -> tuple[float, float]:
    """Return what the mean weights and the sums of squares are multiplied with."""
    mask = Mask((), p, seed=0)
    q, factor = mask.keep_probability, mask.factor(scaling)
    return q * factor, q * (1 - q) * factor**2


def _infer(
    x: Array, weight: Array, p: SupportsFloat, rng: RNG, inference: Inference, scaling: Scaling
) -> tuple[Array, DropConnectDrawn]:
    mean, variance = drop_connect_moments(x, weight, None, p, scaling=scaling)
    scale, factor = _moments(p, scaling)
    everything = Mask(weight.shape, 0.0, seed=0)
    if inference == "mean" or mean.size == 0:
        return mean, DropConnectDrawn(everything, scale=scale)
    stream = as_stream(rng)
    noise = Noise(mean.shape, 1.0, multiplicative=False, seed=stream.seed, stream=stream.next())
    y = mean + np.sqrt(variance) * noise.apply(np.zeros_like(mean))
    return np.asarray(y), DropConnectDrawn(everything, scale=scale, variance=factor, noise=noise)


def _layer(x: ArrayLike, weight: ArrayLike) -> tuple[Array, Array]:
    """Return the input and the weights of a dense layer, checked."""
    x = as_floats("x", x)
    weight = as_floats("weight", weight, x)
    require_rank("x", x.shape, (2,), "(N, inputs)")
    require_rank("weight", weight.shape, (2,), "(outputs, inputs)")
    if x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"weight: got shape {weight.shape}; accepted: (outputs, inputs) with {x.shape[1]} inputs, as x has"
        )
    return x, weight
