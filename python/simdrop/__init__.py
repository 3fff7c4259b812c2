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

import importlib as _importlib
import os as _os
from typing import TYPE_CHECKING as _TYPE_CHECKING

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
from simdrop._drawn import AffineDrawn, Drawn
from simdrop._mask import Mask
from simdrop.functional.dropout import bernoulli, dropout, dropout_, random_bits

if _TYPE_CHECKING:
    from simdrop import layers, schedules
    from simdrop._monte_carlo import Moments, SamplesDrawn, monte_carlo_dropout, monte_carlo_predict
    from simdrop.functional.alpha import alpha_dropout, feature_alpha_dropout
    from simdrop.functional.attention import AttentionDrawn, attention_dropout, scaled_dot_product_attention
    from simdrop.functional.bias_dropout_add import BiasDropoutAddDrawn, bias_dropout_add
    from simdrop.functional.block_mask import BlockMask
    from simdrop.functional.channels import dropout1d, dropout2d, dropout3d, feature_dropout
    from simdrop.functional.concrete import ConcreteMask, concrete_dropout
    from simdrop.functional.drop_block import drop_block2d, drop_block3d
    from simdrop.functional.drop_connect import DropConnectDrawn, drop_connect, drop_connect_moments
    from simdrop.functional.drop_path import drop_path, linear_decay
    from simdrop.functional.embedding import EmbeddingDrawn, embedding_dropout
    from simdrop.functional.gaussian import Noise, gaussian_dropout, gaussian_noise, normal
    from simdrop.functional.patch import TokenMask, patch_dropout
    from simdrop.functional.recurrent import ZoneoutDrawn, locked_dropout, zoneout
    from simdrop.functional.weight_drop import weight_drop

# Where the other names are; a module is loaded when one of its names is first used, because making the classes of all
# members takes longer than the rest of the package. The imports above say the same to type checkers.
_LATER = {
    name: module
    for module, names in (
        ("_monte_carlo", ("Moments", "SamplesDrawn", "monte_carlo_dropout", "monte_carlo_predict")),
        ("functional.alpha", ("alpha_dropout", "feature_alpha_dropout")),
        ("functional.attention", ("AttentionDrawn", "attention_dropout", "scaled_dot_product_attention")),
        ("functional.bias_dropout_add", ("BiasDropoutAddDrawn", "bias_dropout_add")),
        ("functional.block_mask", ("BlockMask",)),
        ("functional.channels", ("dropout1d", "dropout2d", "dropout3d", "feature_dropout")),
        ("functional.concrete", ("ConcreteMask", "concrete_dropout")),
        ("functional.drop_block", ("drop_block2d", "drop_block3d")),
        ("functional.drop_connect", ("DropConnectDrawn", "drop_connect", "drop_connect_moments")),
        ("functional.drop_path", ("drop_path", "linear_decay")),
        ("functional.embedding", ("EmbeddingDrawn", "embedding_dropout")),
        ("functional.gaussian", ("Noise", "gaussian_dropout", "gaussian_noise", "normal")),
        ("functional.patch", ("TokenMask", "patch_dropout")),
        ("functional.recurrent", ("ZoneoutDrawn", "locked_dropout", "zoneout")),
        ("functional.weight_drop", ("weight_drop",)),
    )
    for name in names
}

__version__ = "0.1.0"

__all__ = [
    "MASK_FORMAT",
    "AffineDrawn",
    "AttentionDrawn",
    "BiasDropoutAddDrawn",
    "BlockMask",
    "ConcreteMask",
    "Drawn",
    "DropConnectDrawn",
    "EmbeddingDrawn",
    "Mask",
    "Moments",
    "Noise",
    "SamplesDrawn",
    "Stream",
    "TokenMask",
    "ZoneoutDrawn",
    "__version__",
    "active_isa",
    "alpha_dropout",
    "attention_dropout",
    "available_isas",
    "bernoulli",
    "bias_dropout_add",
    "concrete_dropout",
    "drop_block2d",
    "drop_block3d",
    "drop_connect",
    "drop_connect_moments",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "dropout_",
    "embedding_dropout",
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
    "schedules",
    "set_num_threads",
    "use_isa",
    "weight_drop",
    "zoneout",
]

_forced = _os.environ.get("SIMDROP_ISA")
if _forced:
    try:
        use_isa(_forced)
    except ValueError as error:
        raise ImportError(f"environment variable SIMDROP_ISA: {error}") from None


def __getattr__(name: str) -> object:
    """Load the module of a name on its first use."""
    if name in ("layers", "schedules"):
        return _importlib.import_module(f"simdrop.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_importlib.import_module(f"simdrop.{_LATER[name]}"), name)
    globals()[name] = value  # the next time it is found like any other
    return value


def __dir__() -> list[str]:
    """List what has not been loaded yet too."""
    return sorted({*globals(), *__all__})
