"""Dropout of whole channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, TypeAlias, overload

from simdrop import _core
from simdrop._draw import draw
from simdrop._drawn import AffineDrawn
from simdrop._rng import RNG
from simdrop._shapes import require_rank
from simdrop._types import ArrayLike, No, Options, T, Yes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Unpack

DataFormat: TypeAlias = Literal["channels_first", "channels_last"]


class _Options(Options, total=False):
    data_format: DataFormat


def channel_bits(shape: tuple[int, ...], spatial: int, data_format: DataFormat) -> tuple[int, ...]:
    """Return the shape of the bits when each channel of each sample has one.

    Shapes with ``spatial + 1`` dimensions are single samples, those with one more are batches.
    """
    if data_format not in ("channels_first", "channels_last"):
        raise ValueError(f"data_format: got {data_format!r}; accepted: 'channels_first' or 'channels_last'")
    if not 0 < len(shape) - spatial < 3:
        axes = ", ".join(("L", "HW", "DHW")[spatial - 1])
        order = f"C, {axes}" if data_format == "channels_first" else f"{axes}, C"
        require_rank("x", shape, (spatial + 1, spatial + 2), f"({order}) or (N, {order})")
    bits = [1] * len(shape)
    channel = len(shape) - 1 if data_format == "channels_last" else len(shape) - 1 - spatial
    bits[channel] = shape[channel]
    if len(shape) == spatial + 2:  # a batch
        bits[0] = shape[0]
    return tuple(bits)


@overload
def dropout1d(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_Options]
) -> NDArray[T]: ...
@overload
def dropout1d(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_Options]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def dropout1d(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_Options]
) -> Any: ...
def dropout1d(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    data_format: DataFormat = "channels_first",
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Set whole channels of sequences to zero, each with probability `p`; scale the others by ``1 / q``.

    ``y[n, c, :] = kept[n, c] ? x[n, c, :] / q : +0``. Neighbours within a feature map are strongly correlated, so
    that dropping single elements does not regularise a convolution; dropping the map does [1]_.

    Parameters
    ----------
    x : array
        (N, C, L), or (C, L) for one sample; with ``data_format="channels_last"`` (N, L, C) or (L, C).
    p : float
        Probability of dropping a channel, from 0 to 1. With ``p = 0`` the bits are unchanged, with ``p = 1`` all
        is +0.
    rng, out, training, threads
        As for `dropout`: equal numbers give the same channels, whatever the spatial size. In inference the result
        is `x`, copied, and nothing is drawn.
    data_format : {"channels_first", "channels_last"}, keyword only
        Where the channels are.
    return_drawn : bool, keyword only
        Also return an `AffineDrawn`, whose `backward` gives the gradient.

    Returns
    -------
    array, or (array, AffineDrawn)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError if `x` has another number of dimensions.

    References
    ----------
    .. [1] J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015; PyTorch's
       ``Dropout1d``, Keras' ``SpatialDropout1D``.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.dropout1d(np.ones((2, 2, 3), np.float32), 0.5, rng=42)
    array([[[2., 2., 2.],
            [2., 2., 2.]],
    <BLANKLINE>
           [[0., 0., 0.],
            [0., 0., 0.]]], dtype=float32)
    """
    return _spatial(1, x, p, rng, out, training, data_format, return_drawn, threads)


@overload
def dropout2d(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_Options]
) -> NDArray[T]: ...
@overload
def dropout2d(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_Options]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def dropout2d(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_Options]
) -> Any: ...
def dropout2d(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    data_format: DataFormat = "channels_first",
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Set whole channels of images to zero: `dropout1d` for (N, C, H, W) or (C, H, W).

    With ``data_format="channels_last"`` the shapes are (N, H, W, C) and (H, W, C). PyTorch's function of this name
    takes an array of 3 dimensions for a batch (N, C, L), which is `dropout1d` here. A dropped channel is written and
    never read where its elements lie side by side.

    Parameters
    ----------
    x : array
        (N, C, H, W), or (C, H, W) for one sample; with ``data_format="channels_last"`` (N, H, W, C) or (H, W, C).
    p : float
        Probability of dropping a channel, from 0 to 1.
    rng, out, training, threads
        As for `dropout`: equal numbers give the same channels, whatever the spatial size. In inference the result
        is `x`, copied, and nothing is drawn.
    data_format : {"channels_first", "channels_last"}, keyword only
        Where the channels are.
    return_drawn : bool, keyword only
        Also return an `AffineDrawn`, whose `backward` gives the gradient.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> y, drawn = simdrop.dropout2d(np.ones((4, 3, 8, 8)), 0.5, rng=42, return_drawn=True)
    >>> drawn.mask.noise_shape
    (4, 3, 1, 1)
    >>> bool((drawn.backward(np.ones((4, 3, 8, 8))) == y).all())
    True
    """
    return _spatial(2, x, p, rng, out, training, data_format, return_drawn, threads)


@overload
def dropout3d(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_Options]
) -> NDArray[T]: ...
@overload
def dropout3d(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_Options]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def dropout3d(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_Options]
) -> Any: ...
def dropout3d(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    data_format: DataFormat = "channels_first",
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Set whole channels of volumes to zero: `dropout1d` for (N, C, D, H, W) or (C, D, H, W).

    With ``data_format="channels_last"`` the channels come last.

    Parameters
    ----------
    x : array
        (N, C, D, H, W), or (C, D, H, W) for one sample; with ``data_format="channels_last"`` (N, D, H, W, C) or
        (D, H, W, C).
    p : float
        Probability of dropping a channel, from 0 to 1.
    rng, out, training, threads
        As for `dropout`: equal numbers give the same channels, whatever the spatial size. In inference the result
        is `x`, copied, and nothing is drawn.
    data_format : {"channels_first", "channels_last"}, keyword only
        Where the channels are.
    return_drawn : bool, keyword only
        Also return an `AffineDrawn`, whose `backward` gives the gradient.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.dropout3d(np.ones((1, 4, 2, 2, 2)), 0.5, rng=42)[0, :, 0, 0, 0]
    array([2., 2., 0., 0.])
    """
    return _spatial(3, x, p, rng, out, training, data_format, return_drawn, threads)


@overload
def feature_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[Options]
) -> NDArray[T]: ...
@overload
def feature_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[Options]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def feature_dropout(
    x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[Options]
) -> Any: ...
def feature_dropout(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Set whole channels to zero in an array (N, C, ...) of any number of spatial dimensions, as PyTorch's.

    ``y[n, c, ...] = kept[n, c] ? x[n, c, ...] / q : +0``; otherwise as `dropout1d`. An array (N, C) has channels of
    one element.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.feature_dropout(np.ones((2, 2, 2)), 0.5, rng=42)[:, :, 0]
    array([[2., 2.],
           [0., 0.]])
    """
    bits = feature_bits(_core.shape_of(x))
    return draw(x, p, rng, bits, out=out, training=training, return_drawn=return_drawn, threads=threads)


def feature_bits(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the bits of an array (N, C, ...)."""
    if len(shape) < 2:
        raise ValueError(f"x: got shape {shape}; accepted: at least 2 dimensions, (N, C, ...)")
    return shape[:2] + (1,) * (len(shape) - 2)


def _spatial(
    spatial: int,
    x: ArrayLike,
    p: SupportsFloat,
    rng: RNG,
    out: ArrayLike | None,
    training: bool,
    data_format: DataFormat,
    return_drawn: bool,
    threads: int | None,
) -> Any:
    bits = channel_bits(_core.shape_of(x), spatial, data_format)
    return draw(x, p, rng, bits, out=out, training=training, return_drawn=return_drawn, threads=threads)
