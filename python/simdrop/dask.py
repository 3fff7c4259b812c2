"""Dropout of Dask arrays: chunk for chunk the window of one mask.

The mask belongs to the whole array. What it drops does not depend on the chunks, the scheduler, the number of workers
or on a task being run again, and the result is that of `simdrop` on the computed whole, byte for byte.

Needs ``pip install simdrop[dask]``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, cast, overload

import dask.array as da
import numpy as np
from dask.base import normalize_token
from dask.layers import ArraySliceDep

import simdrop
from simdrop import _core
from simdrop._draw import inferred, kept_factor
from simdrop._drawn import AffineDrawn
from simdrop._mask import Mask, Scaling
from simdrop._rng import RNG, as_stream
from simdrop._shapes import as_noise_shape

if TYPE_CHECKING:
    from dask.array import Array
    from numpy.typing import NDArray

    from simdrop._shapes import Dims, NoiseShape

__all__ = ["apply", "backward", "drop_path", "dropout"]


@overload
def dropout(
    x: Array,
    p: SupportsFloat = ...,
    *,
    rng: RNG = ...,
    training: bool = ...,
    scaling: Scaling = ...,
    noise_shape: NoiseShape = ...,
    broadcast_dims: Dims = ...,
    return_drawn: Literal[False] = ...,
) -> Array: ...
@overload
def dropout(
    x: Array,
    p: SupportsFloat = ...,
    *,
    rng: RNG = ...,
    training: bool = ...,
    scaling: Scaling = ...,
    noise_shape: NoiseShape = ...,
    broadcast_dims: Dims = ...,
    return_drawn: Literal[True],
) -> tuple[Array, AffineDrawn]: ...
def dropout(
    x: Array,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    training: bool = True,
    scaling: Scaling = "inverted",
    noise_shape: NoiseShape = None,
    broadcast_dims: Dims = (),
    return_drawn: bool = False,
) -> Array | tuple[Array, AffineDrawn]:
    """Set each element to zero with probability `p` and scale the others, lazily.

    The numbers of the mask are drawn when this is called, not when the result is computed: computing it twice gives
    the same, and the next call takes the next mask.

    Parameters
    ----------
    x : dask.array.Array
        Of float16, bfloat16, float32 or float64, with chunks of known sizes.
    p, rng, training, scaling, noise_shape, broadcast_dims
        As for `simdrop.dropout`.
    return_drawn : bool
        Return what was done too; see `backward`.

    Returns
    -------
    dask.array.Array
        Of the shape, dtype and chunks of `x`; with `return_drawn` the pair (array, `simdrop.AffineDrawn`).

    Raises
    ------
    TypeError, ValueError
        If `x` is no Dask array of floating point numbers or has chunks of unknown sizes, and as `simdrop.dropout`.

    Examples
    --------
    >>> import dask.array as da, numpy as np, simdrop.dask
    >>> x = da.ones((4, 6), chunks=(3, 2))
    >>> y = simdrop.dask.dropout(x, 0.5, rng=42)
    >>> whole = simdrop.dropout(np.ones((4, 6)), 0.5, rng=42)
    >>> bool((y.compute() == whole).all())
    True
    """
    _require(x, "x")
    return _draw(x, p, as_noise_shape(x.shape, noise_shape, broadcast_dims), rng, training, scaling, True, return_drawn)


def drop_path(
    x: Array,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    training: bool = True,
    scale_by_keep: bool = True,
) -> Array:
    """Set whole samples of a batch to zero with probability `p`: `simdrop.drop_path`, lazily.

    Parameters
    ----------
    x : dask.array.Array
        Of float16, bfloat16, float32 or float64, with chunks of known sizes; its first dimension is the batch, however
        it is cut.
    p : float
        Probability of dropping a sample, from 0 to 1.
    rng, training
        As for `simdrop.dropout`.
    scale_by_keep : bool
        False leaves kept samples unscaled.

    Returns
    -------
    dask.array.Array
        Of the shape, dtype and chunks of `x`.

    Raises
    ------
    TypeError, ValueError
        As `dropout`.

    Examples
    --------
    >>> import dask.array as da, simdrop.dask
    >>> simdrop.dask.drop_path(da.ones((4, 2), chunks=(3, 1)), 0.5, rng=42).compute()
    array([[2., 2.],
           [2., 2.],
           [0., 0.],
           [0., 0.]])
    """
    _require(x, "x")
    if not x.ndim:
        raise ValueError("x: got shape (); accepted: at least one dimension, that of the samples")
    samples = (x.shape[0], *(1 for _ in x.shape[1:]))
    return cast("Array", _draw(x, p, samples, rng, training, "inverted", scale_by_keep, False))


def apply(mask: Mask, x: Array, *, scaling: Scaling = "inverted") -> Array:
    """Return `mask.apply` of a Dask array, lazily: each chunk gets its window of the mask.

    Parameters
    ----------
    mask : simdrop.Mask
        Of the shape of `x`.
    x : dask.array.Array
        Of float16, bfloat16, float32 or float64, with chunks of known sizes.
    scaling : {"inverted", "classic"}
        As for `simdrop.Mask.apply`.

    Returns
    -------
    dask.array.Array
        Of the shape, dtype and chunks of `x`.

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also if `mask` is no mask of that shape.

    Examples
    --------
    >>> import dask.array as da, simdrop.dask
    >>> mask = simdrop.Mask((2, 4), 0.5, seed=42)
    >>> simdrop.dask.apply(mask, da.ones((2, 4), chunks=(1, 3))).compute()
    array([[2., 2., 0., 0.],
           [2., 0., 2., 0.]])
    """
    if not isinstance(mask, Mask):
        raise TypeError(f"mask: got {_core.shown(mask)} ({type(mask).__name__}); accepted: a simdrop.Mask")
    return _select(AffineDrawn(mask, scale=mask.factor(scaling)), x, "x")


def backward(drawn: AffineDrawn, grad: Array) -> Array:
    """Return the gradient of what `dropout` did: `simdrop.AffineDrawn.backward` of a Dask array, lazily.

    Parameters
    ----------
    drawn : simdrop.AffineDrawn
        What `dropout` or `simdrop.dropout` returned with ``return_drawn=True``.
    grad : dask.array.Array
        Gradient of the result, of its shape; its chunks may be others.

    Returns
    -------
    dask.array.Array
        Gradient of the input, of the shape, dtype and chunks of `grad`.

    Raises
    ------
    TypeError, ValueError
        As `dropout`.

    Examples
    --------
    >>> import dask.array as da, simdrop.dask
    >>> y, drawn = simdrop.dask.dropout(da.ones(8, chunks=4), 0.5, rng=42, return_drawn=True)
    >>> bool((simdrop.dask.backward(drawn, da.ones(8, chunks=3)) == y).all().compute())
    True
    """
    if not isinstance(drawn, AffineDrawn):
        raise TypeError(f"drawn: got {_core.shown(drawn)} ({type(drawn).__name__}); accepted: a simdrop.AffineDrawn")
    mask = drawn.mask
    if drawn.scale == 0:  # 0 of everything, whatever the gradient is
        mask = Mask(mask.shape, 1.0, seed=0)
    return _select(AffineDrawn(mask, scale=drawn.scale), grad, "grad")


def _draw(
    x: Array,
    p: SupportsFloat,
    noise_shape: tuple[int, ...],
    rng: RNG,
    training: bool,
    scaling: Scaling,
    scale_kept: bool,
    return_drawn: bool,
) -> Array | tuple[Array, AffineDrawn]:
    if training:
        factor = kept_factor(p, scaling)
        Mask(x.shape, p, seed=0, noise_shape=noise_shape)  # what is wrong is refused before the stream moves
        stream = as_stream(rng)
        mask = Mask(x.shape, p, seed=stream.seed, stream=stream.next(), noise_shape=noise_shape)
        drawn = AffineDrawn(mask, scale=factor if scale_kept else 1.0)
    else:
        drawn = inferred(x.shape, p, scaling)
    y = _select(drawn, x, "x")
    return (y, drawn) if return_drawn else y


def _require(x: Any, name: str) -> None:
    """Refuse what is no Dask array that can be served."""
    if not isinstance(x, da.Array):
        raise TypeError(f"{name}: got {_core.shown(x)} ({type(x).__name__}); accepted: a dask.array.Array")
    if x.dtype.name not in _core.DTYPES or not x.dtype.isnative:
        raise TypeError(f"{name}: got dtype {x.dtype}; accepted: {', '.join(_core.DTYPES)}")
    if any(math.isnan(n) for lengths in x.chunks for n in lengths):
        raise ValueError(
            f"{name}: got chunks of unknown sizes, shape {x.shape}; accepted: known sizes, such as those of "
            f"{name}.compute_chunk_sizes()"
        )


def _select(drawn: AffineDrawn, x: Array, name: str) -> Array:
    _require(x, name)
    if x.shape != drawn.mask.shape:
        raise ValueError(f"{name}: got shape {x.shape}; accepted: that of the mask, {drawn.mask.shape}")
    index = tuple(range(x.ndim))
    # Where a chunk lies is worked out when its task is made, from the sums of the chunks' lengths; block_info of
    # map_blocks would keep a dictionary of all of them.
    return cast(
        "Array",
        da.blockwise(
            _chunk,
            index,
            x,
            index,
            ArraySliceDep(x.chunks),
            index,
            align_arrays=False,
            drawn=drawn,
            dtype=x.dtype,
            meta=np.empty((0,) * x.ndim, x.dtype),
            name=f"simdrop-{da.core.tokenize(drawn, x)}",
        ),
    )


def _chunk(x: NDArray[Any], place: tuple[slice, ...], drawn: AffineDrawn) -> NDArray[Any]:
    """Return what is made of one chunk. Its scheduler runs as many of them at once as there are to be threads."""
    window = drawn.mask[place]
    return cast(
        "NDArray[Any]",
        window.select(x, scale=drawn.scale, shift=drawn.shift, dropped=drawn.dropped, threads=1),
    )


def _token(drawn: AffineDrawn) -> tuple[Any, ...]:
    """Return what Dask names equal work by."""
    return ("simdrop.AffineDrawn", simdrop.__version__, repr(drawn))


normalize_token.register(AffineDrawn, _token)
