"""Dropout for NumPy at memory speed.

Masks are a pure function of a few integers (seed, stream number, offset, p): the same on every CPU,
thread count and day.

>>> import numpy as np
>>> import simdrop
>>> x = np.ones((2, 4), np.float32)
>>> simdrop.dropout_(x, 0.5, rng=simdrop.Stream(42)) is x
True
>>> x
array([[2., 2., 0., 0.],
       [2., 0., 2., 0.]], dtype=float32)
"""

import os as _os

try:
    from simdrop._core import (
        MASK_FORMAT,
        Stream,
        active_isa,
        available_isas,
        get_num_threads,
        set_num_threads,
        use_isa,
    )
except ImportError as error:  # an extension that does not load should say what to do
    raise ImportError(
        f"simdrop's compiled module could not be loaded ({error}). Run Python outside the source tree, "
        "or install the package again: python -m pip install --force-reinstall simdrop"
    ) from error
from simdrop import layers, schedules
from simdrop._alpha import alpha_dropout, alpha_dropout_backward, feature_alpha_dropout
from simdrop._attention import (
    AttentionState,
    attention_dropout,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)
from simdrop._blocks import BlockMask, drop_block2d, drop_block3d
from simdrop._channels import dropout1d, dropout2d, dropout3d, feature_dropout
from simdrop._concrete import ConcreteMask, concrete_dropout
from simdrop._functional import bernoulli, dropout, dropout_, random_bits
from simdrop._fused import bias_dropout_add, bias_dropout_add_backward
from simdrop._gaussian import Noise, gaussian_dropout, gaussian_noise, normal
from simdrop._mask import Mask
from simdrop._monte_carlo import Moments, monte_carlo_dropout, monte_carlo_predict
from simdrop._paths import drop_path, linear_decay, stochastic_depth
from simdrop._recurrent import locked_dropout, zoneout, zoneout_backward
from simdrop._tokens import TokenMask, embedding_dropout, embedding_dropout_backward, patch_dropout
from simdrop._weights import drop_connect, drop_connect_backward, drop_connect_moments, weight_drop

__version__ = "0.1.0"

__all__ = [
    "MASK_FORMAT",
    "AttentionState",
    "BlockMask",
    "ConcreteMask",
    "Mask",
    "Moments",
    "Noise",
    "Stream",
    "TokenMask",
    "__version__",
    "active_isa",
    "alpha_dropout",
    "alpha_dropout_backward",
    "attention_dropout",
    "available_isas",
    "bernoulli",
    "bias_dropout_add",
    "bias_dropout_add_backward",
    "concrete_dropout",
    "drop_block2d",
    "drop_block3d",
    "drop_connect",
    "drop_connect_backward",
    "drop_connect_moments",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "dropout_",
    "embedding_dropout",
    "embedding_dropout_backward",
    "feature_alpha_dropout",
    "feature_dropout",
    "gaussian_dropout",
    "gaussian_noise",
    "get_num_threads",
    "layers",
    "linear_decay",
    "locked_dropout",
    "monte_carlo_dropout",
    "monte_carlo_predict",
    "normal",
    "patch_dropout",
    "random_bits",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
    "schedules",
    "set_num_threads",
    "stochastic_depth",
    "use_isa",
    "weight_drop",
    "zoneout",
    "zoneout_backward",
]

_forced = _os.environ.get("SIMDROP_ISA")
if _forced:
    try:
        use_isa(_forced)
    except ValueError as error:
        raise ImportError(f"environment variable SIMDROP_ISA: {error}") from None
