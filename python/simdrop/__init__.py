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
from simdrop._functional import bernoulli, dropout, dropout_, random_bits
from simdrop._mask import Mask

__version__ = "0.1.0"

__all__ = [
    "MASK_FORMAT",
    "Mask",
    "Stream",
    "__version__",
    "active_isa",
    "available_isas",
    "bernoulli",
    "dropout",
    "dropout_",
    "get_num_threads",
    "random_bits",
    "set_num_threads",
    "use_isa",
]

_forced = _os.environ.get("SIMDROP_ISA")
if _forced:
    try:
        use_isa(_forced)
    except ValueError as error:
        raise ImportError(f"environment variable SIMDROP_ISA: {error}") from None
