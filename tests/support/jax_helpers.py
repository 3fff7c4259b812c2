"""What the tests of simdrop.jax share. Imported before JAX is used: four devices have to be asked for by then."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import simdrop
from helpers import assert_same_bits, dtype_of

jax.config.update("jax_num_cpu_devices", 4)

SEED = 2**40 + 42  # both words of it count


def values(shape: tuple[int, ...], dtype: str = "float32") -> Any:
    """Return normal deviates with a NaN, an infinity and a negative zero among them, where they fit."""
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype_of(dtype))
    x.reshape(-1)[: 3 * (x.size > 8) : 1] = [np.nan, -np.inf, -0.0][: 3 * (x.size > 8)]
    return x


def masked(x: Any, p: float, seed: int = SEED, **numbers: Any) -> Any:
    """Return what the NumPy side makes of `x`."""
    return simdrop.Mask(x.shape, p, seed=seed, **numbers).apply(x)


def same(actual: Any, expected: Any, message: object = "") -> None:
    """Both have the same bits."""
    assert_same_bits(np.asarray(actual), expected, message)


def key(seed: int = SEED) -> Any:
    """Return the threefry key of a seed, whose words JAX without 64-bit mode would cut."""
    return jax.random.wrap_key_data(np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32))
