"""Alpha dropout: the dropout that keeps mean and variance of SELU networks."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat

from simdrop import _core
from simdrop._channels import feature_bits
from simdrop._draw import infer, next_mask, nothing_dropped
from simdrop._mask import Mask
from simdrop._rng import RNG

# Minus lambda alpha of SELU: what it gives for large negative inputs (Klambauer et al. 2017, equation 14).
ALPHA = -1.7580993408473766


def alpha_dropout(
    x: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Set elements to SELU's lower limit with probability `p`, and restore mean 0 and variance 1.

    With ``alpha' = -1.7580993408473766``, ``p`` the exact drop probability of the mask and

        a = ((1 - p) (1 + p alpha'^2))^-1/2,    b = -a alpha' p

    each element becomes ``kept ? a x + b : a alpha' + b`` [1]_. Input of mean 0 and variance 1 keeps both.

    Parameters
    ----------
    x : array
        Of any shape.
    p : float
        Probability of dropping an element, from 0 to 1. With ``p = 0`` the bits are unchanged; with ``p = 1``, where
        the formula has no value, all is +0, as in PyTorch.
    rng, out, training, threads
        As for `dropout`; equal numbers give the mask that `dropout` has. In inference `x` is returned unchanged.
    return_mask : bool, keyword only
        Also return the `Mask`, for `alpha_dropout_backward`.

    Returns
    -------
    array, or (array, Mask)

    Raises
    ------
    TypeError, ValueError
        As `dropout`.

    References
    ----------
    .. [1] G. Klambauer et al., "Self-normalizing neural networks", NIPS 2017; PyTorch's ``alpha_dropout``.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.alpha_dropout(np.zeros(4, np.float32), 0.5, rng=42)
    array([ 0.77919394,  0.77919394, -0.77919394, -0.77919394], dtype=float32)
    """
    return _alpha(x, p, rng, _core.shape_of(x), out, training, return_mask, threads)


def feature_alpha_dropout(
    x: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Apply `alpha_dropout` to whole channels of an array (N, C, ...), as PyTorch's ``feature_alpha_dropout``.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> y = simdrop.feature_alpha_dropout(np.zeros((2, 2, 3)), 0.5, rng=42)
    >>> y[:, :, 0].round(4)
    array([[ 0.7792,  0.7792],
           [-0.7792, -0.7792]])
    """
    return _alpha(x, p, rng, feature_bits(_core.shape_of(x)), out, training, return_mask, threads)


def alpha_dropout_backward(grad: Any, mask: Mask, *, out: Any = None, threads: int | None = None) -> Any:
    """Return the gradient of `alpha_dropout` and `feature_alpha_dropout`: ``kept ? a grad : +0``.

    Parameters
    ----------
    grad : array
        Gradient of the result, of the mask's shape.
    mask : Mask
        What the forward pass returned.
    out, threads
        As for `dropout`.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> _, mask = simdrop.alpha_dropout(np.zeros(4), 0.5, rng=42, return_mask=True)
    >>> simdrop.alpha_dropout_backward(np.ones(4), mask).round(4)
    array([0.8864, 0.8864, 0.    , 0.    ])
    """
    return mask.select(grad, scale=alpha_values(mask.p)[0], out=out, threads=threads)


def alpha_values(p: SupportsFloat) -> tuple[float, float, float]:
    """Return a, b and the value of dropped elements."""
    drop = _core.threshold(p) / 2**40
    if drop in (0.0, 1.0):
        return 1.0, 0.0, 0.0
    a = 1 / math.sqrt((1 - drop) * (1 + drop * ALPHA**2))
    b = -a * ALPHA * drop
    return a, b, a * ALPHA + b


def _alpha(
    x: Any,
    p: SupportsFloat,
    rng: RNG,
    bits: tuple[int, ...],
    out: Any,
    training: bool,
    return_mask: bool,
    threads: int | None,
) -> Any:
    values = alpha_values(p)
    if not training:
        result = infer(x, out, threads)
        return (result, nothing_dropped(result)) if return_mask else result
    return next_mask(x, p, rng, bits, out=out, values=values, threads=threads, return_mask=return_mask)
