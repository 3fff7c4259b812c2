"""What the layers of `simdrop.keras` do on Keras' JAX backend."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import keras

from simdrop import _core
from simdrop.jax._functional import dropout

SERVES_NOISE = False  # there is no kernel for it that XLA could call


def served(x: Any) -> bool:
    """Return whether the kernels take `x`."""
    if not isinstance(x, jax.Array) or str(x.dtype) not in _core.DTYPES or x.size == 0:
        return False
    if isinstance(x, jax.core.Tracer):  # which is compiled for the default device
        return jax.default_backend() == "cpu"
    return all(device.platform == "cpu" for device in x.devices())


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _step(
    x: Any, state: Any, rate: float, shared: tuple[int, ...], affine: tuple[float, float, float] | None
) -> tuple[Any, Any]:
    """Return dropout, and the state of the generator after it; outside of compiled code one call is the faster."""
    key = (state[0], state[1]) if rate < 1 else (0, 0)
    after = state + jnp.array([0, 1], state.dtype)
    if affine is None:
        return dropout(x, rate, key, broadcast_dims=shared), after
    scale, shift, dropped = affine
    ones = jnp.ones([1 if d in shared else n for d, n in enumerate(x.shape)], jnp.float32)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))  # XLA may fuse the product and the sum below
    return jnp.where(dropout(ones, rate, key) != 0, wide * scale + shift, dropped).astype(x.dtype), after


def drop(
    x: Any, rate: float, shared: tuple[int, ...], affine: tuple[float, float, float] | None, generator: Any
) -> Any:
    """Return dropout of an array whose elements share their bits of the mask along some dimensions."""
    own = type(generator) is keras.random.SeedGenerator
    state = generator.state.value if own or rate == 1 else generator.next()
    y, after = _step(x, state, float(rate), shared, affine)
    if own and rate < 1:
        generator.state.assign(after)
    return y


def noisy(x: Any, sd: float, multiplicative: bool, generator: Any) -> Any:
    """Is never called."""
    raise NotImplementedError
