"""Layers with more than one input, or with weights: attention, DropConnect, recurrent networks."""

from __future__ import annotations

from typing import Any, SupportsFloat

from simdrop._mask import Scaling
from simdrop._rng import RNG
from simdrop.functional.attention import attention_dropout
from simdrop.functional.bias_dropout_add import bias_dropout_add
from simdrop.functional.drop_connect import Inference, drop_connect
from simdrop.functional.embedding import embedding_dropout
from simdrop.functional.recurrent import zoneout
from simdrop.functional.weight_drop import weight_drop
from simdrop.layers._base import Layer
from simdrop.schedules import Schedule


class AttentionDropout(Layer):
    """`simdrop.attention_dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.AttentionDropout(0.5, rng=42)(np.full((1, 2, 2), 0.5))
    array([[[1., 1.],
            [0., 0.]]])
    """

    _options = ("broadcast_dims",)

    def __init__(
        self, p: SupportsFloat | Schedule = 0.1, *, broadcast_dims: tuple[int, ...] = (), rng: RNG = None
    ) -> None:
        super().__init__(p, rng=rng)
        self.broadcast_dims = broadcast_dims

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        result, mask = attention_dropout(
            x,
            p,
            rng=self.stream,
            training=self.training,
            broadcast_dims=self.broadcast_dims,
            return_drawn=True,
        )
        return result, mask


class DropConnect(Layer):
    """`simdrop.drop_connect` as a layer around a weight matrix and a bias, which it shares with the caller.

    `backward` returns the gradient of the input and leaves those of the weights in ``grad_weight`` and ``grad_bias``.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layer = layers.DropConnect(np.array([[1.0, 2.0], [3.0, 4.0]]), p=0.5, rng=42)
    >>> layer(np.ones((1, 2)))
    array([[6., 0.]])
    >>> layer.backward(np.ones((1, 2)))
    array([[2., 4.]])
    """

    _options = ("per_sample", "inference", "scaling")

    def __init__(
        self,
        weight: Any,
        bias: Any = None,
        p: SupportsFloat | Schedule = 0.5,
        *,
        per_sample: bool = False,
        inference: Inference = "mean",
        scaling: Scaling = "inverted",
        rng: RNG = None,
    ) -> None:
        super().__init__(p, rng=rng)
        self.weight, self.bias = weight, bias
        self.per_sample = per_sample
        self.inference: Inference = inference
        self.scaling: Scaling = scaling
        self.grad_weight: Any = None
        self.grad_bias: Any = None
        self._x: Any = None

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        self._x = x
        result, mask = drop_connect(
            x,
            self.weight,
            self.bias,
            p,
            rng=self.stream,
            training=self.training,
            per_sample=self.per_sample,
            inference=self.inference,
            scaling=self.scaling,
            return_drawn=True,
        )
        return result, mask

    def _backward(self, grad: Any) -> Any:
        grad_x, self.grad_weight, self.grad_bias = self.mask.backward(grad, self._x, self.weight)
        return grad_x


class WeightDrop(Layer):
    """`simdrop.weight_drop` as a layer: called with a weight matrix, once for each sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.WeightDrop(0.5, rng=42)(np.ones((1, 4)))
    array([[2., 2., 0., 0.]])
    """

    _options = ("variational",)

    def __init__(self, p: SupportsFloat | Schedule = 0.5, *, variational: bool = False, rng: RNG = None) -> None:
        super().__init__(p, rng=rng)
        self.variational = variational

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        result, mask = weight_drop(
            x, p, rng=self.stream, training=self.training, variational=self.variational, return_drawn=True
        )
        return result, mask


class EmbeddingDropout(Layer):
    """`simdrop.embedding_dropout` as a layer around an embedding matrix; `backward` returns its gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.EmbeddingDropout(np.ones((4, 1)), 0.5, rng=42)(np.array([0, 2]))
    array([[2.],
           [0.]])
    """

    def __init__(self, weight: Any, p: SupportsFloat | Schedule = 0.1, *, rng: RNG = None) -> None:
        super().__init__(p, rng=rng)
        self.weight = weight
        self._indices: Any = None

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        self._indices = x
        result, mask = embedding_dropout(x, self.weight, p, rng=self.stream, training=self.training, return_drawn=True)
        return result, mask

    def _backward(self, grad: Any) -> Any:
        return self.mask.backward(grad, self._indices)


class Zoneout(Layer):
    """`simdrop.zoneout` as a layer: ``layer(state, previous=...)``; `backward` returns both gradients.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layer = layers.Zoneout(0.5, rng=42)
    >>> layer(np.full(4, 2.0), previous=np.full(4, 1.0))
    array([2., 2., 1., 1.])
    >>> layer.backward(np.ones(4))
    (array([1., 1., 0., 0.]), array([0., 0., 1., 1.]))
    """

    def _forward(self, x: Any, p: float, *, previous: Any) -> tuple[Any, Any]:
        result, mask = zoneout(x, previous, p, rng=self.stream, training=self.training, return_drawn=True)
        return result, mask


class BiasDropoutAdd(Layer):
    """`simdrop.bias_dropout_add` as a layer: ``layer(x, bias=..., residual=...)``.

    `backward` returns the gradients of `x`, the bias and the residual.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layer = layers.BiasDropoutAdd(0.5, rng=42)
    >>> layer(np.ones((1, 4)), bias=np.zeros(4), residual=np.ones((1, 4)))
    array([[3., 3., 1., 1.]])
    """

    def _forward(self, x: Any, p: float, *, bias: Any, residual: Any) -> tuple[Any, Any]:
        result, mask = bias_dropout_add(
            x, bias, residual, p, rng=self.stream, training=self.training, return_drawn=True
        )
        return result, mask
