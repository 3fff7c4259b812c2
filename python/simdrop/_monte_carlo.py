"""Monte Carlo dropout: the spread of many masked passes as a measure of uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._draw import kept_factor
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream

Array = NDArray[Any]


class Moments(NamedTuple):
    """Mean and variance over samples (divided by their number, not by one less).

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.moments(np.array([1.0, 3.0])).variance
    np.float64(1.0)
    """

    mean: Array
    variance: Array


def monte_carlo_dropout(
    x: Array,
    p: SupportsFloat = 0.5,
    samples: SupportsIndex = 10,
    *,
    rng: RNG = None,
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Return `samples` independently masked copies of one input, in one call.

    ``y[t] = kept[t] ? x / q : +0``: the input is read in place, not repeated [1]_. Feed the result to the rest of the
    network as one batch; mean and variance over the first axis are the prediction and its uncertainty.

    Parameters
    ----------
    x : ndarray
        Of any shape.
    p : float
        Probability of dropping an element, from 0 to 1.
    samples : int
        How many, T.
    rng, threads
        As for `dropout`: one mask of shape ``(T, *x.shape)``, so sample t is ``mask[t]``.
    return_mask : bool, keyword only
        Also return the `Mask`; the gradient of `x` is ``mask.apply(gradient).sum(axis=0)``.

    Returns
    -------
    ndarray ``(T, *x.shape)``, or (ndarray, Mask)

    References
    ----------
    .. [1] Y. Gal, Z. Ghahramani, "Dropout as a Bayesian approximation: representing model uncertainty in deep
       learning", ICML 2016.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> y = simdrop.monte_carlo_dropout(np.ones(4), 0.5, 2, rng=42)
    >>> y
    array([[2., 2., 0., 0.],
           [2., 0., 2., 0.]])
    >>> simdrop.moments(y).mean
    array([2., 1., 1., 0.])
    """
    n = _core.unsigned_integer("samples", samples, 2**32)
    shape = (n, *_core.shape_of(x))
    _core.threshold(p)
    values = np.asarray(x)
    stream = as_stream(rng)
    repeated = np.broadcast_to(values, shape)
    out = np.empty(shape, values.dtype)
    factor = kept_factor(p)
    result, number = _core.select(repeated, out, p, stream, factor, 0.0, 0.0, threads, shape, shape)
    mask = Mask(shape, p, seed=stream.seed, stream=number)
    return (result, mask) if return_mask else result


def moments(samples: Array) -> Moments:
    """Return mean and variance over the first axis.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.moments(np.array([[1.0], [3.0]]))
    Moments(mean=array([2.]), variance=array([1.]))
    """
    return Moments(samples.mean(axis=0), samples.var(axis=0))


def monte_carlo_predict(model: Callable[[Array], Array], x: Array, samples: SupportsIndex = 20) -> Moments:
    """Run a model several times with its dropout on, and return mean and variance of what it predicts.

    Only a running sum is kept (Welford's algorithm), so any number of samples needs the memory of two.

    Parameters
    ----------
    model : callable
        From an input to a prediction. Objects with an attribute ``training`` are switched to training and back.
    x : ndarray
        The input of every pass.
    samples : int
        Number of passes, at least 1.

    Returns
    -------
    Moments

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> from simdrop import layers
    >>> simdrop.monte_carlo_predict(layers.Dropout(0.5, rng=42), np.ones(4), 2)
    Moments(mean=array([2., 1., 0., 1.]), variance=array([0., 1., 0., 1.]))
    """
    n = _core.unsigned_integer("samples", samples, 2**32)
    if n == 0:
        raise ValueError("samples: got 0; accepted: 1 and above")
    before = getattr(model, "training", None)
    try:
        if before is not None:
            model.training = True  # type: ignore[attr-defined]
        mean = np.asarray(model(x)).copy()
        squares = np.zeros_like(mean)
        for t in range(2, n + 1):
            y = np.asarray(model(x))
            change = y - mean
            mean = mean + change / t
            squares = squares + change * (y - mean)
    finally:
        if before is not None:
            model.training = before  # type: ignore[attr-defined]
    return Moments(mean, squares / n)
