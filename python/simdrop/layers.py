"""Layers: the functions of the package as callables with a state and a backward pass.

Each is a declaration: the function, and the parameters of the constructor. What they have in common is `Layer`.

>>> import numpy as np
>>> from simdrop import layers
>>> layer = layers.Dropout(0.5, rng=42)
>>> layer(np.ones(4))
array([2., 2., 0., 0.])
>>> layer.backward(np.ones(4))
array([2., 2., 0., 0.])
>>> layer.eval()(np.ones(4))
array([1., 1., 1., 1.])
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

from simdrop._layer import Layer, Rate
from simdrop._mask import Scaling
from simdrop._rng import RNG
from simdrop._shapes import Dims, NoiseShape
from simdrop.functional.alpha import alpha_dropout, feature_alpha_dropout
from simdrop.functional.attention import attention_dropout
from simdrop.functional.bias_dropout_add import bias_dropout_add
from simdrop.functional.channels import DataFormat, dropout1d, dropout2d, dropout3d, feature_dropout
from simdrop.functional.concrete import concrete_dropout
from simdrop.functional.drop_block import drop_block2d, drop_block3d
from simdrop.functional.drop_connect import Inference, drop_connect
from simdrop.functional.drop_path import PathMode, drop_path
from simdrop.functional.dropout import dropout
from simdrop.functional.embedding import embedding_dropout
from simdrop.functional.gaussian import gaussian_dropout, gaussian_noise
from simdrop.functional.patch import patch_dropout
from simdrop.functional.recurrent import locked_dropout, zoneout
from simdrop.functional.weight_drop import weight_drop

__all__ = [
    "AlphaDropout",
    "AttentionDropout",
    "BiasDropoutAdd",
    "ConcreteDropout",
    "DropBlock2d",
    "DropBlock3d",
    "DropConnect",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "EmbeddingDropout",
    "FeatureAlphaDropout",
    "FeatureDropout",
    "GaussianDropout",
    "GaussianNoise",
    "Layer",
    "LockedDropout",
    "PatchDropout",
    "WeightDrop",
    "Zoneout",
]


class Dropout(Layer, function=dropout):
    """`simdrop.dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.Dropout(0.5, rng=42)(np.ones(4))
    array([2., 2., 0., 0.])
    """

    p: Rate = 0.5
    _: KW_ONLY
    scaling: Scaling = "inverted"
    noise_shape: NoiseShape = None
    broadcast_dims: Dims = ()
    rng: RNG = None


class Dropout1d(Layer, function=dropout1d):
    """`simdrop.dropout1d` as a layer: whole channels of sequences.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.Dropout1d(0.5, rng=42)(np.ones((1, 4, 2)))[0, :, 0]
    array([2., 2., 0., 0.])
    """

    p: Rate = 0.5
    _: KW_ONLY
    data_format: DataFormat = "channels_first"
    rng: RNG = None


class Dropout2d(Layer, function=dropout2d):
    """`simdrop.dropout2d` as a layer: whole channels of images.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.Dropout2d(0.5, rng=42)(np.ones((1, 4, 2, 2)))[0, :, 0, 0]
    array([2., 2., 0., 0.])
    """

    p: Rate = 0.5
    _: KW_ONLY
    data_format: DataFormat = "channels_first"
    rng: RNG = None


class Dropout3d(Layer, function=dropout3d):
    """`simdrop.dropout3d` as a layer: whole channels of volumes.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.Dropout3d(0.5, rng=42)(np.ones((1, 4, 2, 2, 2)))[0, :, 0, 0, 0]
    array([2., 2., 0., 0.])
    """

    p: Rate = 0.5
    _: KW_ONLY
    data_format: DataFormat = "channels_first"
    rng: RNG = None


class FeatureDropout(Layer, function=feature_dropout):
    """`simdrop.feature_dropout` as a layer: whole channels, of arrays with any number of dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.FeatureDropout(0.5, rng=42)(np.ones((1, 4, 2)))[0, :, 0]
    array([2., 2., 0., 0.])
    """

    p: Rate = 0.5
    _: KW_ONLY
    rng: RNG = None


class DropPath(Layer, function=drop_path):
    """`simdrop.drop_path` as a layer: stochastic depth.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.DropPath(0.5, rng=42)(np.ones((4, 2)))[:, 0]
    array([2., 2., 0., 0.])
    """

    p: Rate = 0.5
    _: KW_ONLY
    mode: PathMode = "row"
    scale_by_keep: bool = True
    scaling: Scaling = "inverted"
    rng: RNG = None


class AlphaDropout(Layer, function=alpha_dropout):
    """`simdrop.alpha_dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.AlphaDropout(0.5, rng=42)(np.zeros(4)).round(4)
    array([ 0.7792,  0.7792, -0.7792, -0.7792])
    """

    p: Rate = 0.5
    _: KW_ONLY
    noise_shape: NoiseShape = None
    broadcast_dims: Dims = ()
    rng: RNG = None


class FeatureAlphaDropout(Layer, function=feature_alpha_dropout):
    """`simdrop.feature_alpha_dropout` as a layer: alpha dropout of whole channels.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.FeatureAlphaDropout(0.5, rng=42)(np.zeros((1, 4, 2)))[0, :, 0].round(4)
    array([ 0.7792,  0.7792, -0.7792, -0.7792])
    """

    p: Rate = 0.5
    _: KW_ONLY
    rng: RNG = None


class GaussianDropout(Layer, function=gaussian_dropout):
    """`simdrop.gaussian_dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.GaussianDropout(0.5, rng=42)(np.ones(3)).round(4)
    array([2.1004, 1.2923, 0.5497])
    """

    p: Rate = 0.5
    _: KW_ONLY
    rng: RNG = None


class GaussianNoise(Layer, function=gaussian_noise):
    """`simdrop.gaussian_noise` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.GaussianNoise(0.1, rng=42)(np.zeros(3)).round(4)
    array([ 0.11  ,  0.0292, -0.045 ])
    """

    sd: Rate = 1.0
    _: KW_ONLY
    rng: RNG = None


class DropBlock2d(Layer, function=drop_block2d):
    """`simdrop.drop_block2d` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> int((layers.DropBlock2d(0.3, 2, rng=6)(np.ones((1, 1, 4, 4))) == 0).sum())
    4
    """

    p: Rate = 0.1
    block_size: int = 7
    _: KW_ONLY
    gamma_scale: float = 1.0
    shared_channels: bool = False
    rng: RNG = None


class DropBlock3d(Layer, function=drop_block3d):
    """`simdrop.drop_block3d` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> int((layers.DropBlock3d(0.3, 2, rng=6)(np.ones((1, 1, 4, 4, 4))) == 0).sum() % 8)
    0
    """

    p: Rate = 0.1
    block_size: int = 3
    _: KW_ONLY
    gamma_scale: float = 1.0
    shared_channels: bool = False
    rng: RNG = None


class LockedDropout(Layer, function=locked_dropout):
    """`simdrop.locked_dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.LockedDropout(0.5, rng=42)(np.ones((2, 1, 4)))[1]
    array([[2., 2., 0., 0.]])
    """

    p: Rate = 0.5
    _: KW_ONLY
    batch_first: bool = False
    rng: RNG = None


class WeightDrop(Layer, function=weight_drop):
    """`simdrop.weight_drop` as a layer; the weights are its input.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.WeightDrop(0.5, rng=42)(np.ones((1, 4)))
    array([[2., 2., 0., 0.]])
    """

    p: Rate = 0.5
    _: KW_ONLY
    variational: bool = False
    rng: RNG = None


class PatchDropout(Layer, function=patch_dropout):
    """`simdrop.patch_dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.PatchDropout(0.5, rng=1)(np.arange(6.0).reshape(1, 6, 1))[0, :, 0]
    array([0., 3., 4.])
    """

    p: Rate = 0.5
    _: KW_ONLY
    num_prefix_tokens: int = 1
    ordered: bool = True
    rng: RNG = None


class ConcreteDropout(Layer, function=concrete_dropout, needs=("x",), gradients=("x", "p")):
    """`simdrop.concrete_dropout` as a layer; `backward` leaves the gradient for p in ``grad_p``.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layer = layers.ConcreteDropout(0.5, rng=42)
    >>> y = layer(np.ones(3))
    >>> layer.backward(np.ones(3)).round(4), round(layer.grad_p, 4)
    (array([1.9997, 2.    , 0.    ]), 7.9891)
    """

    p: Rate = 0.1
    _: KW_ONLY
    temperature: float = 0.1
    rng: RNG = None


class AttentionDropout(Layer, function=attention_dropout):
    """`simdrop.attention_dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.AttentionDropout(0.5, rng=42)(np.full((1, 2, 2), 0.5))[0]
    array([[1., 1.],
           [0., 0.]])
    """

    p: Rate = 0.1
    _: KW_ONLY
    noise_shape: NoiseShape = None
    broadcast_dims: Dims = ()
    rng: RNG = None


class DropConnect(Layer, function=drop_connect, needs=("x", "weight"), gradients=("x", "weight", "bias")):
    """`simdrop.drop_connect` as a layer around a weight matrix and a bias, which it shares with the caller.

    `backward` leaves the gradients of the weights in ``grad_weight`` and ``grad_bias``.

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

    weight: Any
    bias: Any = None
    p: Rate = 0.5
    _: KW_ONLY
    per_sample: bool = False
    inference: Inference = "mean"
    scaling: Scaling = "inverted"
    rng: RNG = None


class EmbeddingDropout(Layer, function=embedding_dropout, needs=("indices",), gradients=("weight",)):
    """`simdrop.embedding_dropout` as a layer around an embedding matrix, which it shares with the caller.

    `backward` leaves the gradient of the matrix in ``grad_weight``; the indices have none.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.EmbeddingDropout(np.ones((4, 1)), 0.5, rng=42)(np.array([0, 2]))
    array([[2.],
           [0.]])
    """

    weight: Any
    p: Rate = 0.1
    _: KW_ONLY
    rng: RNG = None


class Zoneout(Layer, function=zoneout, inputs=2):
    """`simdrop.zoneout` as a layer of two inputs, the new state and the previous one.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layer = layers.Zoneout(0.5, rng=42)
    >>> layer(np.full(4, 2.0), np.full(4, 1.0))
    array([2., 2., 1., 1.])
    >>> layer.backward(np.ones(4))
    (array([1., 1., 0., 0.]), array([0., 0., 1., 1.]))
    """

    p: Rate = 0.5
    _: KW_ONLY
    rng: RNG = None


class BiasDropoutAdd(Layer, function=bias_dropout_add, inputs=3):
    """`simdrop.bias_dropout_add` as a layer of three inputs, with a gradient for each.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.BiasDropoutAdd(0.5, rng=42)(np.ones((1, 4)), bias=np.zeros(4), residual=np.ones((1, 4)))
    array([[3., 3., 1., 1.]])
    """

    p: Rate = 0.5
    _: KW_ONLY
    rng: RNG = None
