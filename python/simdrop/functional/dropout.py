"""Dropout and its random numbers, as functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, SupportsFloat, TypedDict, overload

from simdrop import _core
from simdrop._core import Stream
from simdrop._draw import draw, inferred
from simdrop._drawn import AffineDrawn, affine_drawn
from simdrop._mask import Scaling, drawn_mask
from simdrop._rng import RNG, as_source, as_stream
from simdrop._shapes import NO_DIMS, Dims, NoiseShape, Shape, as_noise_shape, as_shape, shares_bits
from simdrop._types import ArrayLike, ArrayT, No, Options, T, Yes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack


class _Options(Options, total=False):
    scaling: Scaling
    noise_shape: NoiseShape
    broadcast_dims: Dims


class _InPlace(TypedDict, total=False):
    rng: RNG
    training: bool
    scaling: Scaling
    noise_shape: NoiseShape
    broadcast_dims: Dims
    threads: int | None


@overload
def dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_Options]
) -> NDArray[T]: ...
@overload
def dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_Options]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def dropout(x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_Options]) -> Any: ...
def dropout(
    x: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    scaling: Scaling = "inverted",
    return_drawn: bool = False,
    noise_shape: NoiseShape = None,
    broadcast_dims: Dims = NO_DIMS,
    threads: int | None = None,
) -> Any:
    """Set each element to zero with probability `p` and scale the others so that the expectation stays.

    With ``q`` the exact keep probability (``1 - p`` to within 2**-41) each element of the result is

    =================== ===================== =====================
    ``scaling``         ``training=True``     ``training=False``
    =================== ===================== =====================
    ``"inverted"``      kept ? x / q : +0     x
    ``"classic"``       kept ? x : +0         x * q
    =================== ===================== =====================

    The classic form is that of the original papers [1]_ [2]_; the inverted one is what today's frameworks compute.
    A dropped element is +0 whatever was there, NaN and infinity included. The product is computed in float32
    (float64 for float64) and rounded once.

    Parameters
    ----------
    x : array
        float16, bfloat16 (``ml_dtypes``), float32 or float64, of any shape and strides. A NumPy array, or any object
        whose memory can be taken without a copy: the buffer protocol (``array.array``, ``memoryview``), DLPack on the
        CPU (a PyTorch tensor), ``__array_interface__``.
    p : float
        Probability of dropping an element, from 0 to 1.
    rng : None, int, SeedSequence, Generator, BitGenerator or Stream, keyword only
        Where the mask comes from. A `Stream` gives each call its next stream number; any other kind gives a seed,
        and stream number 0. None takes fresh entropy from the operating system.
    out : array, keyword only
        Where the result goes: memory of `x`'s shape and dtype, either `x` itself or apart from it.
    training : bool, keyword only
        False for inference; then nothing is drawn and `rng` is left alone.
    scaling : {"inverted", "classic"}, keyword only
        Scale in training, by 1 / q, or in inference, by q; see above.
    return_drawn : bool, keyword only
        Also return what was drawn and done, an `AffineDrawn`: ``drawn.backward(gradient)`` is the backward pass, and
        ``drawn.mask`` the `Mask`. In inference that is one with ``p = 0``.
    noise_shape : sequence of int or None, keyword only
        Lets elements share their fate, as in Keras: one entry for each dimension of `x`, 1 where all elements along
        it are kept or dropped together, None where each is drawn for itself.
    broadcast_dims : sequence of int, keyword only
        The dimensions along which they share, as in Flax; another way to say `noise_shape`.
    threads : int, keyword only
        Number of threads; by default as many as `get_num_threads` says, fewer for small arrays. The result does
        not depend on it.

    Returns
    -------
    array, or (array, AffineDrawn)
        `out`, or a new NumPy array.

    Raises
    ------
    TypeError
        If an argument has the wrong type: for `x`, integer, complex, object or byte-swapped data, or an object
        whose memory cannot be taken without a copy.
    ValueError
        If `p` is outside [0, 1] or NaN, or `out` is read-only, of another shape or dtype, or overlaps `x` in part.
        On any error nothing has been written.

    References
    ----------
    .. [1] G. E. Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors",
       arXiv:1207.0580, 2012.
    .. [2] N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x = np.arange(1, 9, dtype=np.float32)
    >>> simdrop.dropout(x, 0.5, rng=42)
    array([ 2.,  4.,  0.,  0., 10.,  0., 14.,  0.], dtype=float32)
    >>> y, drawn = simdrop.dropout(x, 0.5, rng=simdrop.Stream(42), return_drawn=True)
    >>> drawn
    simdrop.AffineDrawn(simdrop.Mask((8,), 0.5, seed=42, stream=0, offset=0), scale=2.0)
    >>> drawn.backward(np.ones(8, np.float32))
    array([2., 2., 0., 0., 2., 0., 2., 0.], dtype=float32)
    """
    if not training:
        result = _core.infer(x, out, p, scaling, threads)
        return (result, inferred(_core.shape_of(x), p, scaling)) if return_drawn else result
    if (noise_shape is not None or broadcast_dims is not NO_DIMS) and shares_bits(noise_shape, broadcast_dims):
        bits = as_noise_shape(_core.shape_of(x), noise_shape, broadcast_dims)
        return draw(x, p, rng, bits, out=out, scaling=scaling, threads=threads, return_drawn=return_drawn)
    if return_drawn:
        result, shape, numbers, scale = _core.draw(x, out, p, as_source(rng), scaling, threads, True)
        return result, affine_drawn(drawn_mask(shape, numbers), scale)
    return _core.draw(x, out, p, rng if type(rng) is Stream else as_source(rng), scaling, threads, False)


@overload
def dropout_(x: ArrayT, p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_InPlace]) -> ArrayT: ...
@overload
def dropout_(
    x: ArrayT, p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_InPlace]
) -> tuple[ArrayT, AffineDrawn]: ...
@overload
def dropout_(x: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool, **options: Unpack[_InPlace]) -> Any: ...
def dropout_(
    x: Any,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    training: bool = True,
    scaling: Scaling = "inverted",
    return_drawn: bool = False,
    noise_shape: NoiseShape = None,
    broadcast_dims: Dims = NO_DIMS,
    threads: int | None = None,
) -> Any:
    """Apply dropout to `x` in place, without a copy, and return `x`.

    Otherwise as `dropout`. The memory of `x` must be writable, and no two of its elements may share a place.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x = np.ones(8, np.float32)
    >>> simdrop.dropout_(x, 0.5, rng=42) is x
    True
    >>> x
    array([2., 2., 0., 0., 2., 0., 2., 0.], dtype=float32)
    """
    if training and not return_drawn and noise_shape is None and broadcast_dims is NO_DIMS:  # as usual: no detour
        return _core.draw(x, x, p, rng if type(rng) is Stream else as_source(rng), scaling, threads, False)
    return dropout(
        x,
        p,
        rng=rng,
        out=x,
        training=training,
        scaling=scaling,
        return_drawn=return_drawn,
        noise_shape=noise_shape,
        broadcast_dims=broadcast_dims,
        threads=threads,
    )


def bernoulli(
    p: SupportsFloat, size: Shape, *, rng: RNG = None, packed: bool = False, threads: int | None = None
) -> NDArray[np.bool_] | NDArray[np.uint8]:
    """Draw booleans that are True with probability `p`.

    They are the complement of ``Mask(size, p, ...).keep()``: True where dropout would drop.

    Parameters
    ----------
    p : float
        Probability of True, from 0 to 1; rounded to a multiple of 2**-40.
    size : int or sequence of int
        Shape of the result.
    rng : None, int, SeedSequence, Generator, BitGenerator or Stream, keyword only
        As for `dropout`.
    packed : bool, keyword only
        Return bits instead, as `Mask.packed` lays them out.
    threads : int, keyword only
        As for `dropout`.

    Returns
    -------
    ndarray of bool, shape `size`; or of uint8, shape (ceil(n / 8),)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> import simdrop
    >>> simdrop.bernoulli(0.5, 8, rng=42)
    array([False, False,  True,  True, False,  True, False,  True])
    """
    shape = as_shape("size", size)
    _core.unsigned_integer("size", math.prod(shape), 1 << _core.INDEX_BITS)
    _core.threshold(p)  # what is wrong is refused before the stream moves
    _core.check_threads(threads)
    stream = as_stream(rng)
    numbers = (p, stream.seed, stream.next(), 0, None)
    if packed:
        return _core.keep_bits(shape, *numbers, True, threads)
    return _core.keep_bytes(shape, *numbers, True, threads)


def random_bits(size: Shape, *, rng: RNG = None, threads: int | None = None) -> NDArray[np.uint32]:
    """Draw uniform 32-bit words.

    Word ``i`` is word ``i % 4`` of Philox block ``i // 4`` in plane 16 of the mask format.

    Parameters
    ----------
    size : int or sequence of int
        Shape of the result.
    rng : None, int, SeedSequence, Generator, BitGenerator or Stream, keyword only
        As for `dropout`.
    threads : int, keyword only
        As for `dropout`.

    Returns
    -------
    ndarray of uint32, shape `size`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> import simdrop
    >>> simdrop.random_bits(3, rng=42)
    array([1246133883,  701985512, 4044722160], dtype=uint32)
    """
    shape = as_shape("size", size)
    _core.check_threads(threads)
    stream = as_stream(rng)
    words = _core.plane_words(math.prod(shape), _core.RANDOM_BITS_PLANE, stream.seed, stream.next(), threads)
    return words.reshape(shape)
