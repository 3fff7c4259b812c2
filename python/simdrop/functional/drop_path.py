"""Dropout of whole samples on their way through a residual branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, overload

from simdrop import _core
from simdrop._draw import draw
from simdrop._drawn import AffineDrawn
from simdrop._mask import Scaling
from simdrop._rng import RNG
from simdrop._types import ArrayLike, No, Options, T, Yes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Unpack

PathMode: TypeAlias = Literal["row", "batch"]


class _Options(Options, total=False):
    mode: PathMode
    scale_by_keep: bool
    scaling: Scaling


@overload
def drop_path(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_Options]
) -> NDArray[T]: ...
@overload
def drop_path(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_Options]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def drop_path(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_Options]
) -> Any: ...
def drop_path(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    mode: PathMode = "row",
    scale_by_keep: bool = True,
    scaling: Scaling = "inverted",
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Set whole samples to zero, each with probability `p`: stochastic depth, applied to a residual branch.

    ``y[n] = kept[n] ? x[n] / q : +0``, to be added to the shortcut. Dropped samples are filled with zeros and never
    read, so with ``p = 0.5`` this is faster than scaling the array.

    Parameters
    ----------
    x : array
        (N, ...), at least one dimension.
    p : float
        Probability of dropping a sample, from 0 to 1. The survival probability of the paper is ``1 - p``.
    rng, out, threads
        As for `dropout`: equal numbers drop the same samples, whatever their size.
    training : bool, keyword only
        False for inference; then nothing is drawn, and the result is `x`, copied, or times ``q`` with
        ``scaling="classic"``.
    mode : {"row", "batch"}, keyword only
        One draw a sample, or one for the whole batch (as torchvision has it).
    scale_by_keep : bool, keyword only
        False leaves kept samples unscaled (as timm has it).
    scaling : {"inverted", "classic"}, keyword only
        "classic" is the original paper [1]_: no scaling while training, times ``q`` at inference.
    return_drawn : bool, keyword only
        Also return an `AffineDrawn`, whose `backward` gives the gradient.

    Returns
    -------
    array, or (array, AffineDrawn)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError for an unknown `mode` or an array without dimensions.

    References
    ----------
    .. [1] G. Huang et al., "Deep networks with stochastic depth", ECCV 2016; G. Larsson et al., "FractalNet",
       ICLR 2017; timm's ``drop_path``, torchvision's ``stochastic_depth``.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.drop_path(np.ones((4, 3), np.float32), 0.5, rng=42)
    array([[2., 2., 2.],
           [2., 2., 2.],
           [0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    if mode not in ("row", "batch"):
        raise ValueError(f"mode: got {mode!r}; accepted: 'row' or 'batch'")
    shape = _core.shape_of(x)
    if not shape:
        raise ValueError("x: got shape (); accepted: at least one dimension, that of the samples")
    bits = (shape[0] if mode == "row" else 1,) + (1,) * (len(shape) - 1)
    return draw(
        x,
        p,
        rng,
        bits,
        out=out,
        training=training,
        scaling=scaling,
        scale_kept=scale_by_keep,
        return_drawn=return_drawn,
        threads=threads,
    )


def linear_decay(p_last: SupportsFloat, layers: SupportsIndex) -> list[float]:
    """Return the drop probabilities of the residual branches of a network: ``p_l = p_last * l / layers``.

    The rule of the stochastic depth paper (Huang et al., ECCV 2016) for layers ``l = 1 ... layers``: early layers,
    on which all others build, are dropped least.

    Examples
    --------
    >>> import simdrop
    >>> simdrop.linear_decay(0.5, 4)
    [0.125, 0.25, 0.375, 0.5]
    """
    _core.threshold(p_last, "p_last")
    n = _core.unsigned_integer("layers", layers, 2**32)
    return [float(p_last) * layer / n for layer in range(1, n + 1)]
