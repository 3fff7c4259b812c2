"""Dropout of whole channels."""

from __future__ import annotations

from typing import Any, Literal, SupportsFloat, TypeAlias

from simdrop import _core
from simdrop._draw import infer, next_mask, nothing_dropped
from simdrop._rng import RNG
from simdrop._shapes import require_rank

DataFormat: TypeAlias = Literal["channels_first", "channels_last"]


def channel_bits(shape: tuple[int, ...], spatial: int, data_format: DataFormat) -> tuple[int, ...]:
    """Return the shape of the bits when each channel of each sample has one.

    Shapes with ``spatial + 1`` dimensions are single samples, those with one more are batches.
    """
    if data_format not in ("channels_first", "channels_last"):
        raise ValueError(f"data_format: got {data_format!r}; accepted: 'channels_first' or 'channels_last'")
    axes = ", ".join("LHWD"[1 : spatial + 1] if spatial > 1 else "L")
    order = f"C, {axes}" if data_format == "channels_first" else f"{axes}, C"
    require_rank("x", shape, (spatial + 1, spatial + 2), f"({order}) or (N, {order})")
    channel = len(shape) - 1 if data_format == "channels_last" else len(shape) - 1 - spatial
    batch = 0 if len(shape) == spatial + 2 else None
    return tuple(n if d in (batch, channel) else 1 for d, n in enumerate(shape))


def dropout1d(
    x: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    data_format: DataFormat = "channels_first",
    return_mask: bool = False,
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
        As for `dropout`: equal numbers give the same channels, whatever the spatial size. In inference `x` is
        returned unchanged and nothing is drawn.
    data_format : {"channels_first", "channels_last"}, keyword only
        Where the channels are.
    return_mask : bool, keyword only
        Also return the `Mask`; ``mask.apply(gradient)`` is the backward pass.

    Returns
    -------
    array, or (array, Mask)

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
    return _spatial(1, x, p, rng, out, training, data_format, return_mask, threads)


def dropout2d(
    x: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    data_format: DataFormat = "channels_first",
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Set whole channels of images to zero: `dropout1d` for (N, C, H, W) or (C, H, W).

    With ``data_format="channels_last"`` the shapes are (N, H, W, C) and (H, W, C). A dropped channel is written and
    never read where its elements lie side by side.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> y, mask = simdrop.dropout2d(np.ones((4, 3, 8, 8)), 0.5, rng=42, return_mask=True)
    >>> mask.noise_shape
    (4, 3, 1, 1)
    >>> (mask.apply(np.ones((4, 3, 8, 8))) == y).all()
    np.True_
    """
    return _spatial(2, x, p, rng, out, training, data_format, return_mask, threads)


def dropout3d(
    x: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    data_format: DataFormat = "channels_first",
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Set whole channels of volumes to zero: `dropout1d` for (N, C, H, W, D) or (C, H, W, D).

    With ``data_format="channels_last"`` the channels come last.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.dropout3d(np.ones((1, 4, 2, 2, 2)), 0.5, rng=42)[0, :, 0, 0, 0]
    array([2., 2., 0., 0.])
    """
    return _spatial(3, x, p, rng, out, training, data_format, return_mask, threads)


def feature_dropout(
    x: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    return_mask: bool = False,
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
    return _drop(x, p, rng, feature_bits(_core.shape_of(x)), out, training, return_mask, threads)


def feature_bits(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the bits of an array (N, C, ...)."""
    if len(shape) < 2:
        raise ValueError(f"x: got shape {shape}; accepted: at least 2 dimensions, (N, C, ...)")
    return shape[:2] + (1,) * (len(shape) - 2)


def _spatial(
    spatial: int,
    x: Any,
    p: SupportsFloat,
    rng: RNG,
    out: Any,
    training: bool,
    data_format: DataFormat,
    return_mask: bool,
    threads: int | None,
) -> Any:
    bits = channel_bits(_core.shape_of(x), spatial, data_format)
    return _drop(x, p, rng, bits, out, training, return_mask, threads)


def _drop(
    x: Any,
    p: SupportsFloat,
    rng: RNG,
    bits: tuple[int, ...],
    out: Any,
    training: bool,
    return_mask: bool,
    threads: int | None,
) -> Any:
    if not training:
        _core.threshold(p)
        result = infer(x, out, threads)
        return (result, nothing_dropped(result)) if return_mask else result
    return next_mask(x, p, rng, bits, out=out, threads=threads, return_mask=return_mask)
