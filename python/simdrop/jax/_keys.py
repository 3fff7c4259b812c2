"""The numbers of a mask as JAX can carry them: eight 32-bit words, the low word of each number first.

    seed, stream, offset, threshold

Without 64-bit mode JAX has no integers that hold them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simdrop import _core

ACCEPTED = (
    "a key of jax.random.key (threefry2x32, rbg or unsafe_rbg), the data of one (uint32, 2 or 4 words), "
    "or a pair (seed, stream) of integers"
)
_LAST = 2**64 - 1


def is_traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)


def of_key(key: Any) -> Any:
    """Return seed and stream as four words.

    A threefry key is a seed, its second word the low one, so that ``jax.random.key(s)`` is seed ``s``; the stream is 0.
    The first half of an rbg key is the seed and the second half the stream.
    """
    if isinstance(key, tuple | list):
        if len(key) != 2:
            raise TypeError(f"key: got {len(key)} values; accepted: {ACCEPTED}")
        return jnp.concatenate([of_integer("key", key[0]), of_integer("key", key[1])])
    if not isinstance(key, jax.Array | np.ndarray):
        raise TypeError(f"key: got {_core.shown(key)} ({type(key).__name__}); accepted: {ACCEPTED}")
    if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape != ():
            raise TypeError(f"key: got an array of keys, shape {key.shape}; accepted: one key (jax.vmap takes many)")
        key = jax.random.key_data(key)
    elif key.dtype != np.uint32:
        raise TypeError(f"key: got {key.dtype}; accepted: {ACCEPTED}")
    if key.shape == (2,):
        return jnp.stack([key[1], key[0], jnp.uint32(0), jnp.uint32(0)])
    if key.shape == (4,):
        return jnp.stack([key[1], key[0], key[3], key[2]])
    raise TypeError(f"key: got words of shape {key.shape}; accepted: {ACCEPTED}")


def words(number: int) -> Any:
    return np.array([number & 0xFFFFFFFF, number >> 32], np.uint32)


def of_integer(name: str, value: Any, last: int = _LAST) -> Any:
    """Return an integer as two words; a traced one counts modulo 2**32, in 64-bit types modulo 2**64."""
    if isinstance(value, jax.Array):
        if value.shape != () or not jnp.issubdtype(value.dtype, jnp.integer):
            raise TypeError(f"{name}: got {value.dtype} of shape {value.shape}; accepted: integers")
        if is_traced(value):
            high = jnp.uint32(0) if value.dtype.itemsize < 8 else (value >> 32).astype(jnp.uint32)
            return jnp.stack([value.astype(jnp.uint32), high])
        value = int(value)
    return words(_core.unsigned_integer(name, value, last))


def of_probability(p: Any) -> Any:
    """Return the threshold, p * 2**40 rounded to the nearest integer with ties to even, as two words.

    A traced `p` that is no probability becomes a threshold that the kernel refuses.
    """
    if not is_traced(p):
        return words(_core.threshold(float(p) if isinstance(p, jax.Array) and p.shape == () else p))
    if p.shape != () or not jnp.issubdtype(p.dtype, jnp.floating):
        raise TypeError(f"p: got a traced {p.dtype} of shape {p.shape}; accepted: one float")
    p = jnp.asarray(jax.lax.stop_gradient(p))
    p = p.astype(jnp.promote_types(p.dtype, jnp.float32))
    scaled = p * 256  # exact, as is everything up to the rounding
    high = jnp.floor(scaled)
    low = jnp.round((scaled - high) * 2.0**32)  # ties to even
    carry = low >= 2.0**32
    valid = (p >= 0) & (p <= 1)
    low_word = jnp.where(carry, 0, low).astype(jnp.uint32)
    high_word = (high + carry).astype(jnp.uint32)
    return jnp.where(valid, jnp.stack([low_word, high_word]), jnp.uint32(0xFFFFFFFF))
