"""Layers: the functions of the package as callables with a state and a backward pass.

>>> import numpy as np
>>> from simdrop import layers
>>> layer = layers.Dropout(0.5, rng=42)
>>> layer(np.ones(4))
array([2., 2., 0., 0.])
>>> layer.eval()(np.ones(4))
array([1., 1., 1., 1.])
"""

from simdrop.layers._base import Layer
from simdrop.layers._composite import (
    AttentionDropout,
    BiasDropoutAdd,
    DropConnect,
    EmbeddingDropout,
    WeightDrop,
    Zoneout,
)
from simdrop.layers._elements import (
    AlphaDropout,
    Dropout,
    DropPath,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout,
)
from simdrop.layers._structured import ConcreteDropout, DropBlock, LockedDropout, PatchDropout

__all__ = [
    "AlphaDropout",
    "AttentionDropout",
    "BiasDropoutAdd",
    "ConcreteDropout",
    "DropBlock",
    "DropConnect",
    "DropPath",
    "Dropout",
    "EmbeddingDropout",
    "GaussianDropout",
    "GaussianNoise",
    "Layer",
    "LockedDropout",
    "PatchDropout",
    "SpatialDropout",
    "WeightDrop",
    "Zoneout",
]
