"""Dropout in recurrent networks: masks that last for a sequence, states that stay."""

from __future__ import annotations

from typing import Any, SupportsFloat

import numpy as np

from simdrop import _core
from simdrop._draw import infer, next_mask, nothing_dropped
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream
from simdrop._shapes import require_rank


def locked_dropout(
    x: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    batch_first: bool = False,
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Drop elements with one mask for all time steps: ``y[t, n, c] = kept[n, c] ? x[t, n, c] / q : +0``.

    Also called variational dropout [1]_; this is the ``LockedDropout`` of AWD-LSTM [2]_.

    Parameters
    ----------
    x : array
        (T, N, C), or (N, T, C) with `batch_first`.
    p, rng, out, training, threads
        As for `dropout`; the bits are numbered in C order of (1, N, C) or (N, 1, C), whatever the length T.
    batch_first : bool, keyword only
        Where the time is.
    return_mask : bool, keyword only
        Also return the `Mask`; ``mask.apply(gradient)`` is the backward pass.

    Returns
    -------
    array, or (array, Mask)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError if `x` does not have 3 dimensions.

    References
    ----------
    .. [1] Y. Gal, Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks",
       NIPS 2016.
    .. [2] S. Merity et al., "Regularizing and optimizing LSTM language models", ICLR 2018.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.locked_dropout(np.ones((2, 1, 4)), 0.5, rng=42)
    array([[[2., 2., 0., 0.]],
    <BLANKLINE>
           [[2., 2., 0., 0.]]])
    """
    shape = _core.shape_of(x)
    require_rank("x", shape, (3,), "(N, T, C)" if batch_first else "(T, N, C)")
    if not training:
        _core.threshold(p)
        result = infer(x, out, threads)
        return (result, nothing_dropped(result)) if return_mask else result
    bits = (shape[0], 1, shape[2]) if batch_first else (1, *shape[1:])
    return next_mask(x, p, rng, bits, out=out, threads=threads, return_mask=return_mask)


def zoneout(
    state: Any,
    previous: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Keep the previous value of each element of a recurrent state with probability `p`.

    While training ``h = zoned ? previous : state``, where an element is zoned when the mask drops it; in inference
    the expectation ``p previous + (1 - p) state`` [1]_.

    Parameters
    ----------
    state : array
        The state that the cell has just computed, of any shape.
    previous : array
        The state before, of the same shape and dtype.
    p : float
        Probability of keeping the previous value, from 0 (always the new one) to 1 (the state never changes).
    rng, out, threads
        As for `dropout`; equal numbers give the mask that `dropout` has. `out` may be `state` or `previous`.
    training : bool, keyword only
        False for inference.
    return_mask : bool, keyword only
        Also return the `Mask`, for `zoneout_backward`.

    Returns
    -------
    array, or (array, Mask)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError if `previous` has another shape or dtype.

    References
    ----------
    .. [1] D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations", ICLR 2017.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.zoneout(np.full(4, 2.0), np.full(4, 1.0), 0.5, rng=42)
    array([2., 2., 1., 1.])
    >>> simdrop.zoneout(np.full(4, 2.0), np.full(4, 1.0), 0.25, training=False)
    array([1.75, 1.75, 1.75, 1.75])
    """
    if training:
        stream = as_stream(rng)
        result, number = _core.blend(state, previous, out, p, stream, threads)
        return (result, Mask(_core.shape_of(state), p, seed=stream.seed, stream=number)) if return_mask else result
    drop = _core.threshold(p) / 2**40
    everything = nothing_dropped(state)
    if drop in (0.0, 1.0):  # one of the two, bits unchanged
        result = infer(previous if drop else state, out, threads)
    else:  # the residual form with nothing dropped
        zoned = nothing_dropped(previous).select(previous, scale=drop, threads=threads)
        result = _core.bias_dropout_add(state, None, zoned, out, 0.0, (0, 0, 0), 1 - drop, threads)[0]
    return (result, everything) if return_mask else result


def zoneout_backward(grad: Any, mask: Mask, *, threads: int | None = None) -> tuple[Any, Any]:
    """Return the gradients of `zoneout` for `state` and `previous`: `grad` where the mask keeps, and where it drops.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.zoneout_backward(np.ones(4), simdrop.Mask(4, 0.5, seed=42))
    (array([1., 1., 0., 0.]), array([0., 0., 1., 1.]))
    """
    grad_state = mask.apply(grad, scaling="classic", threads=threads)
    source = (mask.seed, mask.stream, mask.offset)
    zeros = np.zeros_like(grad_state)
    return grad_state, _core.blend(zeros, grad, zeros, mask.p, source, threads)[0]
