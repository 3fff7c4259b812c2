"""Dropout in recurrent networks: masks that last for a sequence, states that stay."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, SupportsFloat, overload

from simdrop import _core
from simdrop._draw import draw, keep_probability
from simdrop._drawn import AffineDrawn, Drawn, drawn_value, scaled
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream
from simdrop._shapes import require_rank
from simdrop._types import ArrayLike, No, Options, T, Yes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Unpack


class _LockedOptions(Options, total=False):
    batch_first: bool


@overload
def locked_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_LockedOptions]
) -> NDArray[T]: ...
@overload
def locked_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_LockedOptions]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def locked_dropout(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_LockedOptions]
) -> Any: ...
def locked_dropout(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    batch_first: bool = False,
    return_drawn: bool = False,
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
    return_drawn : bool, keyword only
        Also return an `AffineDrawn`, whose `backward` gives the gradient.

    Returns
    -------
    array, or (array, AffineDrawn)

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
    bits = (shape[0], 1, shape[2]) if batch_first else (1, *shape[1:])
    return draw(x, p, rng, bits, out=out, training=training, return_drawn=return_drawn, threads=threads)


@drawn_value
class ZoneoutDrawn(Drawn):
    """What `zoneout` did: ``h = kept ? (1 - expected) state + expected previous : previous``.

    Parameters
    ----------
    mask : Mask
        Which elements took the new state; all in inference.
    expected : float, keyword only
        The share of the previous state in the kept elements: 0 while training, p in inference.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> h, drawn = simdrop.zoneout(np.ones(4), np.zeros(4), 0.25, training=False, return_drawn=True)
    >>> drawn
    simdrop.ZoneoutDrawn(simdrop.Mask((4,), 0.0, seed=0, stream=0, offset=0), expected=0.25)
    """

    mask: Mask
    expected: float = field(default=0.0, kw_only=True)

    def backward(  # type: ignore[override]
        self, grad: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None
    ) -> tuple[Any, Any]:
        """Return the gradients of `state`, which goes to `out` if that is given, and of `previous`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.ZoneoutDrawn(simdrop.Mask(4, 0.5, seed=42)).backward(np.ones(4))
        (array([1., 1., 0., 0.]), array([0., 0., 1., 1.]))
        """
        if self.expected:
            previous = scaled(self.mask, grad, self.expected, None, threads)
        else:
            previous = scaled(self.mask, grad, 0.0, None, threads)  # zeros, as grad has shape and dtype
            numbers = (self.mask.seed, self.mask.stream, self.mask.offset)
            _core.blend(previous, grad, previous, self.mask.p, numbers, threads)
        return scaled(self.mask, grad, 1 - self.expected, out, threads), previous


@overload
def zoneout(
    state: NDArray[T],
    previous: ArrayLike,
    p: SupportsFloat = ...,
    *,
    return_drawn: No = ...,
    **options: Unpack[Options],
) -> NDArray[T]: ...
@overload
def zoneout(
    state: NDArray[T], previous: ArrayLike, p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[Options]
) -> tuple[NDArray[T], ZoneoutDrawn]: ...
@overload
def zoneout(
    state: ArrayLike,
    previous: ArrayLike,
    p: SupportsFloat = ...,
    *,
    return_drawn: bool = ...,
    **options: Unpack[Options],
) -> Any: ...
def zoneout(
    state: ArrayLike,
    previous: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
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
    return_drawn : bool, keyword only
        Also return a `ZoneoutDrawn`, whose `backward` gives the gradients of `state` and `previous`.

    Returns
    -------
    array, or (array, ZoneoutDrawn)

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
        if not return_drawn:
            return result
        return result, ZoneoutDrawn(Mask(_core.shape_of(result), p, seed=stream.seed, stream=number))
    drop = 1 - keep_probability(p)
    if drop in (0.0, 1.0):  # one of the two, bits unchanged
        result = _core.blend(state, previous, out, drop, (0, 0, 0), threads)[0]
    else:  # the residual form with nothing dropped
        shape = _core.shape_of(previous, "previous")
        zoned = _core.select(previous, None, 0.0, (0, 0, 0), drop, 0.0, 0.0, threads, shape, None)[0]
        names = ("state", "previous")
        result = _core.bias_dropout_add(state, None, zoned, out, 0.0, (0, 0, 0), 1 - drop, threads, *names)[0]
    if not return_drawn:
        return result
    return result, ZoneoutDrawn(Mask(_core.shape_of(result), 0.0, seed=0), expected=drop)
