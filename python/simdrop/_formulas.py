"""Formulas of the family that NumPy's and PyTorch's part have in common. They know numbers only.

They round: where the last bit reaches a result, they are called through ``_core.in_usual_mode``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# Minus lambda alpha of SELU: what it gives for large negative inputs (Klambauer et al. 2017, equation 14).
SELU_LIMIT = -1.7580993408473766


def selu_values(p: float) -> tuple[float, float, float]:
    """Return what keeps mean 0 and variance 1: a factor, the shift of kept elements, the value of dropped ones.

    For ``p = 1`` the formula has no value; PyTorch gives zeros, and so do these.
    """
    if p in (0.0, 1.0):
        return 1.0, 0.0, 0.0
    a = 1 / math.sqrt((1 - p) * (1 + p * SELU_LIMIT**2))
    b = -a * SELU_LIMIT * p
    return a, b, a * SELU_LIMIT + b


def dropout_sd(p: float) -> float:
    """Return the standard deviation of inverted dropout's factor, for `p` below 1."""
    return math.sqrt(p / (1 - p))


def block_gamma(p: float, size: int, sides: Sequence[int], gamma_scale: float = 1.0) -> float:
    """Return the probability with which a block of DropBlock starts at each place where it fits.

    Such that a share `p` of the elements is covered, but for overlaps (Ghiasi et al. 2018, equation 1). At most 1;
    0 where no block fits. `size` is at most the shortest of the `sides`.
    """
    places, area, block = 1, 1, 1
    for n in sides:  # a loop, because PyTorch's compiler follows it where the lengths are symbols
        places *= n - size + 1
        area *= n
        block *= size
    if not places or not p:
        return 0.0
    return min(1.0, p * gamma_scale * area / (block * places))
