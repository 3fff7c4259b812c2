"""Monte Carlo dropout: the spread of many masked passes as a measure of uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsFloat, SupportsIndex, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._arrays import as_floats, summed
from simdrop._draw import kept_factor
from simdrop._drawn import Drawn, drawn_value, scaled
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream
from simdrop._types import ArrayLike, No, T, Yes

if TYPE_CHECKING:
    from typing_extensions import Unpack

Array = NDArray[Any]


class Moments(NamedTuple):
    """Mean and variance over samples (divided by their number, not by one less).

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> from simdrop import layers
    >>> simdrop.monte_carlo_predict(layers.Dropout(0.5, rng=42), np.ones(4), 2).variance
    array([0., 1., 0., 1.])
    """

    mean: Array
    variance: Array


class _Options(TypedDict, total=False):
    rng: RNG
    threads: int | None


@drawn_value
class SamplesDrawn(Drawn):
    """What `monte_carlo_dropout` did: ``y[t] = kept[t] ? x * scale : +0`` for each sample t.

    Parameters
    ----------
    mask : Mask
        Of the shape of the result.
    scale : float, keyword only
        See above.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.monte_carlo_dropout(np.ones(4), 0.5, 2, rng=42, return_drawn=True)[1]
    simdrop.SamplesDrawn(simdrop.Mask((2, 4), 0.5, seed=42, stream=0, offset=0), scale=2.0)
    """

    mask: Mask
    scale: float = field(default=1.0, kw_only=True)

    def backward(  # type: ignore[override]
        self, grad: ArrayLike, *, threads: int | None = None
    ) -> Array:
        """Return the gradient of the input, the sum of those of its samples.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.SamplesDrawn(simdrop.Mask((2, 4), 0.5, seed=42), scale=2.0).backward(np.ones((2, 4)))
        array([4., 2., 2., 0.])
        """
        gradients: Array = np.asarray(scaled(self.mask, grad, self.scale, None, threads))
        return summed(gradients)


@overload
def monte_carlo_dropout(
    x: NDArray[T],
    p: SupportsFloat = ...,
    samples: SupportsIndex = ...,
    *,
    return_drawn: No = ...,
    **options: Unpack[_Options],
) -> NDArray[T]: ...
@overload
def monte_carlo_dropout(
    x: NDArray[T],
    p: SupportsFloat = ...,
    samples: SupportsIndex = ...,
    *,
    return_drawn: Yes,
    **options: Unpack[_Options],
) -> tuple[NDArray[T], SamplesDrawn]: ...
@overload
def monte_carlo_dropout(
    x: ArrayLike,
    p: SupportsFloat = ...,
    samples: SupportsIndex = ...,
    *,
    return_drawn: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
def monte_carlo_dropout(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    samples: SupportsIndex = 10,
    *,
    rng: RNG = None,
    return_drawn: bool = False,
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
    return_drawn : bool, keyword only
        Also return a `SamplesDrawn`, whose `backward` gives the gradient of `x`.

    Returns
    -------
    ndarray ``(T, *x.shape)``, or (ndarray, SamplesDrawn)

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
    >>> y.mean(axis=0), y.var(axis=0)
    (array([2., 1., 1., 0.]), array([0., 1., 1., 0.]))
    """
    n = _core.unsigned_integer("samples", samples, 2**32)
    shape = (n, *_core.shape_of(x))
    _core.threshold(p)
    values = as_floats("x", x)
    stream = as_stream(rng)
    repeated = np.broadcast_to(values, shape)
    out = np.empty(shape, values.dtype)
    factor = kept_factor(p)
    result, number = _core.select(repeated, out, p, stream, factor, 0.0, 0.0, threads, shape, None)
    mask = Mask(shape, p, seed=stream.seed, stream=number)
    return (result, SamplesDrawn(mask, scale=factor)) if return_drawn else result


def monte_carlo_predict(model: Callable[[Any], Any], x: Any, samples: SupportsIndex = 20) -> Moments:
    """Run a model several times with its dropout on, and return mean and variance of what it predicts.

    Only a running sum is kept (Welford's algorithm), so any number of samples needs the memory of two.

    Parameters
    ----------
    model : callable
        From an input to a prediction. It is switched to training for the passes, and every part of it back to what it
        was before, also after an error. Switched are the model, by its method ``train`` where it has one (PyTorch's
        do), and all objects with an attribute ``training`` that its attributes, lists, tuples and dictionaries hold.
        Parts that keep running statistics (``running_mean``: batch normalisation) stay as they are. What a plain
        function calls cannot be switched.
    x : array
        The input of every pass.
    samples : int
        Number of passes, at least 1.

    Returns
    -------
    Moments

    Raises
    ------
    RuntimeError
        If no pass drew anything: no layer of this package took a number of its stream, and all predictions (of two
        or more) are the same bits.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> from simdrop import layers
    >>> simdrop.monte_carlo_predict(layers.Dropout(0.5, rng=42), np.ones(4), 2)
    Moments(mean=array([2., 1., 0., 1.]), variance=array([0., 1., 0., 1.]))
    """
    n = _core.unsigned_integer("samples", samples, 2**32, 1)
    with switched_to_training(model) as parts:
        streams = [part.stream for part in parts if isinstance(getattr(part, "stream", None), _core.Stream)]
        before = [stream.state for stream in streams]
        first = _predicted(model, x).copy()  # the model may write the next one into the same memory
        mean = first
        squares = np.zeros_like(mean)
        same = True
        for t in range(2, n + 1):
            y = _predicted(model, x)
            same = same and y.tobytes() == first.tobytes()
            change = y - mean
            mean = mean + change / t
            squares = squares + change * (y - mean)
        if n > 1 and same and before == [stream.state for stream in streams]:
            raise RuntimeError(
                f"model: got the same prediction from all {n} passes, so nothing was dropped in them; accepted: a "
                "model whose layers can be switched to training by its method train() or are found in its attributes"
            )
    return Moments(mean, squares / n)


def _predicted(model: Callable[[Any], Any], x: Any) -> Array:
    """Return one prediction as an array, cut off from PyTorch's graph of gradients if it is a tensor."""
    y = model(x)
    return np.asarray(y.detach() if hasattr(y, "detach") else y)


@contextmanager
def switched_to_training(model: Any) -> Iterator[list[Any]]:
    """Switch a model and its parts to training, yield the parts, and put each back as it was."""
    parts = _parts(model)
    before = [(part, part.training) for part in parts]
    try:
        if parts and callable(getattr(model, "train", None)):
            model.train()
        for part, mode in before:
            part.training = mode if hasattr(part, "running_mean") else True
        yield parts
    finally:
        for part, mode in before:
            part.training = mode


def _parts(model: Any) -> list[Any]:
    """List a model and all that it holds, directly or not, with an attribute ``training`` that is a boolean."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType | np.ndarray | str | bytes | int | float):
            continue
        seen.add(id(thing))
        if isinstance(thing, Mapping):
            waiting += thing.values()
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += thing
        else:
            if isinstance(getattr(thing, "training", None), bool):
                found.append(thing)
            waiting += [getattr(thing, "__self__", None), *getattr(thing, "__dict__", {}).values()]
    return found
