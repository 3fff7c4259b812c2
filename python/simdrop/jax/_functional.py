"""`dropout` and `apply`: arguments made into the operands of the primitive."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from simdrop import _core
from simdrop._mask import Mask
from simdrop._shapes import Dims, NoiseShape, as_noise_shape
from simdrop._windows import steps_of
from simdrop.jax import _keys, _primitive

_INDICES = 1 << _core.INDEX_BITS


def dropout(
    x: Any,
    p: Any = 0.5,
    key: Any = None,
    *,
    training: bool = True,
    noise_shape: NoiseShape = None,
    broadcast_dims: Dims = (),
    offset: Any = 0,
    spec: PartitionSpec | None = None,
    in_place: bool = False,
) -> Any:
    """Return `x` with elements dropped with probability `p` and the others scaled by 1 / (1 - p) [1]_.

    The mask is that of ``simdrop.Mask(x.shape, p, seed=seed, stream=stream)`` bit for bit, whatever transforms the
    call: ``jit``, ``grad``, ``vmap``, ``checkpoint``, sharded inputs. The backward pass draws it again from the key.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Any shape.
    p : float or traced scalar
        Probability of dropping an element, from 0 to 1. A traced one has the precision of its type, and no gradient.
    key : key, array of uint32 or (seed, stream)
        A key of ``jax.random.key``, the data of one, or two integers below 2**64; all may be traced. ``key(s)`` of the
        default generator (threefry) is seed ``s``, stream 0. The halves of an rbg key are the seed and the stream.
    training : bool, keyword only
        If False, `x` is returned. Not traced.
    noise_shape : sequence of int or None, keyword only
        1 for dimensions along which elements share a bit, None or the length for the others.
    broadcast_dims : int or sequence of int, keyword only
        The dimensions that share, another way to say `noise_shape`.
    offset : int or traced integer, keyword only
        Index of the first element of the mask.
    spec : PartitionSpec, keyword only
        Inside ``jax.shard_map``: how `x` is divided, so that each device draws its part of one mask. Without it, each
        draws a mask for its part alone. Nothing has to be said under ``jax.jit``.
    in_place : bool, keyword only
        Let the result take the memory of `x`: right where `x` is donated or not needed any more. If it is, XLA copies
        it first, which costs time and changes nothing else.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        If an argument is of a wrong type or out of range, when it is traced. A traced `p` that is no probability fails
        when it is run. On other platforms than the CPU, NotImplementedError when it is compiled.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.

    Examples
    --------
    >>> import jax, simdrop.jax
    >>> step = jax.jit(lambda x, key: simdrop.jax.dropout(x, 0.5, key))
    >>> step(jax.numpy.ones(8), jax.random.key(42))
    Array([2., 2., 0., 0., 2., 0., 2., 0.], dtype=float32)
    """
    x = _array(x)
    if not isinstance(training, bool | np.bool_):
        kind = "a traced value" if _keys.is_traced(training) else type(training).__name__
        raise TypeError(f"training: got {kind}; accepted: True or False, as a static argument of jax.jit")
    threshold = _keys.of_probability(p)
    if not training:
        return x
    whole, names = _whole(x.shape, spec)
    bits = as_noise_shape(whole, noise_shape, broadcast_dims)
    numbers = (_keys.of_key(key), _offset(offset, bits), threshold)
    return _run(x, numbers, steps_of(whole, bits), names, in_place)


def apply(
    mask: Any,
    x: Any,
    *,
    noise_shape: NoiseShape = None,
    broadcast_dims: Dims = (),
    spec: PartitionSpec | None = None,
    in_place: bool = False,
) -> Any:
    """Return `x` with what `mask` drops set to +0 and what it keeps scaled; linear in `x`.

    Parameters
    ----------
    mask : simdrop.Mask or array of uint32, shape (8,)
        A mask of `x`'s shape, or the numbers of one from `mask_numbers`, which may be traced.
    x : array of float16, bfloat16, float32 or float64
        Any shape.
    noise_shape, broadcast_dims, spec, in_place
        As for `dropout`; a `simdrop.Mask` has a noise shape of its own.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also if `mask` is neither, or not of `x`'s shape.

    Examples
    --------
    >>> import jax, simdrop.jax
    >>> simdrop.jax.apply(simdrop.Mask(4, 0.5, seed=42), jax.numpy.ones(4))
    Array([2., 2., 0., 0.], dtype=float32)
    """
    x = _array(x)
    whole, names = _whole(x.shape, spec)
    if isinstance(mask, Mask):
        if mask.shape != whole:
            raise ValueError(f"x: got shape {whole}; accepted: that of the mask, {mask.shape}")
        if noise_shape is not None or broadcast_dims != ():
            raise ValueError("noise_shape, broadcast_dims: got one beside a Mask; accepted: that of the Mask itself")
        if back := tuple(d for d, step in enumerate(mask.steps) if step < 0):
            if spec is not None:
                raise ValueError(f"mask: got {mask}, which runs backwards; accepted beside spec: steps of 0 and above")
            ahead = mask[tuple(slice(None, None, -1 if d in back else 1) for d in range(mask.ndim))]
            return jnp.flip(apply(ahead, jnp.flip(x, back), in_place=in_place), back)
        numbers = [_keys.words(n) for n in (mask.seed, mask.stream, mask.offset, mask.threshold)]
        return _run(x, tuple(numbers), mask.steps, names, in_place)
    if not isinstance(mask, jax.Array | np.ndarray):
        raise TypeError(f"mask: got {type(mask).__name__}; accepted: a simdrop.Mask, or what mask_numbers returns")
    if mask.dtype != np.uint32 or mask.shape != (_primitive.WORDS,):
        raise TypeError(f"mask: got {mask.dtype} of shape {mask.shape}; accepted: uint32 of shape (8,)")
    bits = as_noise_shape(whole, noise_shape, broadcast_dims)
    return _run(x, (mask,), steps_of(whole, bits), names, in_place)


def mask_numbers(p: Any, key: Any, *, offset: Any = 0) -> Any:
    """Return the numbers of a mask as an array that can be traced, batched and kept.

    Parameters
    ----------
    p, key, offset
        As for `dropout`.

    Returns
    -------
    array of uint32, shape (8,)
        Seed, stream, offset and threshold (see ``docs/mask-format.md``), the low word of each first.

    Raises
    ------
    TypeError, ValueError
        As `dropout`.

    Examples
    --------
    >>> import jax, simdrop.jax
    >>> numbers = simdrop.jax.mask_numbers(0.5, jax.random.key(42))
    >>> simdrop.jax.apply(numbers, jax.numpy.ones(4))
    Array([2., 2., 0., 0.], dtype=float32)
    """
    return jnp.concatenate([_keys.of_key(key), _offset(offset, ()), _keys.of_probability(p)])


def _array(x: Any) -> jax.Array:
    """Return `x` as an array of JAX; refuse what has no dropout, before JAX converts it."""
    if not isinstance(x, jax.Array | np.ndarray | np.floating | float):
        raise TypeError(f"x: got {type(x).__name__}; accepted: an array of {', '.join(_core.DTYPES)}")
    dtype = str(getattr(x, "dtype", "float32"))
    if dtype not in _core.DTYPES:
        raise TypeError(f"x: got {dtype}; accepted: {', '.join(_core.DTYPES)}")
    return jnp.asarray(x)


def _offset(offset: Any, bits: tuple[int, ...]) -> Any:
    return _keys.of_integer("offset", offset, _INDICES - math.prod(bits))


def _whole(shape: tuple[int, ...], spec: PartitionSpec | None) -> tuple[tuple[int, ...], tuple[tuple[Any, ...], ...]]:
    """Return the shape of the array of which each device has a part, and the axes of the mesh that divide it."""
    if spec is None:
        return shape, ()
    if not isinstance(spec, PartitionSpec) or len(spec) > len(shape):
        raise ValueError(f"spec: got {spec}; accepted: a PartitionSpec of at most {len(shape)} entries")
    names = [() if s is None else s if isinstance(s, tuple) else (s,) for s in spec]
    names += [()] * (len(shape) - len(names))
    try:
        parts = [math.prod(jax.lax.axis_size(name) for name in axes) for axes in names]
    except NameError:
        raise ValueError(f"spec: got {spec}; accepted: names of axes that jax.shard_map is over, inside it") from None
    return tuple(n * s for n, s in zip(shape, parts, strict=True)), tuple(names)


def _run(
    x: Any,
    numbers: tuple[Any, ...],
    steps: tuple[int, ...],
    names: tuple[tuple[Any, ...], ...],
    in_place: bool,
) -> Any:
    # Outside of all transformations one compiled call is faster than a few operations one by one.
    traced = any(names) or any(_keys.is_traced(value) for value in (x, *numbers))
    return (_operate if traced else _compiled)(x, numbers, steps, names, in_place)


def _operate(
    x: Any,
    numbers: tuple[Any, ...],
    steps: tuple[int, ...],
    names: tuple[tuple[Any, ...], ...],
    in_place: bool,
) -> Any:
    """Apply the mask with these steps of its index to an array, or to the part of it on each device."""
    starts = None
    if any(names):
        places = [jax.lax.axis_index(axes) if axes else 0 for axes in names]
        starts = jnp.stack([jnp.uint32(at) * jnp.uint32(n) for at, n in zip(places, x.shape, strict=True)])
    joined = jnp.concatenate(numbers).reshape((1,) * x.ndim + (_primitive.WORDS,))
    return _primitive.apply(x, joined, starts, steps, in_place)


_compiled = functools.partial(jax.jit, static_argnums=(2, 3, 4))(_operate)
