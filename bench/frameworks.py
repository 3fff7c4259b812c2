"""The contestants that compile or that bring their own arrays: Numba, PyTorch, JAX."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from contest import FLOATS, SEED, Array, Contestant, Prepared
from machine import limited_to

# The finalisers are data, so that each constant stands once and has the width that keeps the loop free of conversions.
WEYL64, MIX64 = np.uint64(0x9E3779B97F4A7C15), (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
WEYL32, MIX32 = np.uint32(0x9E3779B9), (np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35))


def _splitmix64(x: Array, key: Any, threshold: Any, scale: Any, zero: Any) -> None:
    """Hash the 64-bit index with the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014; Stafford's mix 13)."""
    for i in range(x.size):
        h = key + np.uint64(i) * WEYL64
        h = (h ^ (h >> np.uint64(30))) * MIX64[0]
        h = (h ^ (h >> np.uint64(27))) * MIX64[1]
        h = h ^ (h >> np.uint64(31))
        x[i] = x[i] * scale if h >= threshold else zero


def _murmur32(x: Array, key: Any, threshold: Any, scale: Any, zero: Any) -> None:
    """Hash the 32-bit index with the finaliser of MurmurHash3 (Appleby): fastest, repeats after 2^32 elements.

    Each step is brought back to 32 bits: Numba would widen it to 64, which halves the speed.
    """
    for i in range(x.size):
        h = np.uint32(key + np.uint32(np.uint32(i) * WEYL32))
        h = np.uint32(np.uint32(h ^ (h >> np.uint32(16))) * MIX32[0])
        h = np.uint32(np.uint32(h ^ (h >> np.uint32(13))) * MIX32[1])
        h = np.uint32(h ^ (h >> np.uint32(16)))
        x[i] = x[i] * scale if h >= threshold else zero


def _fused_hash(name: str, kernel: Callable[..., None], bits: int, numba: Any) -> Contestant:
    """Return the contestant that runs `kernel` over hashes of `bits` bits, compiled without fast-math."""
    compiled = numba.njit(nogil=True)(kernel)
    word = np.uint64 if bits == 64 else np.uint32

    def prepare(x: Array, p: float, threads: int) -> Prepared:
        # The threshold p * 2^64 of a p next to one would not fit; a double holds 53 bits of it, which is enough here.
        threshold = word(min(round(p * 2.0**bits), 2**bits - 1))
        scale, zero, flat = x.dtype.type(1 / (1 - p)), x.dtype.type(0), x.reshape(-1)
        keys = itertools.count(SEED, 0x632BE59BD9B4E019 if bits == 64 else 0x6C078965)
        return Prepared(lambda: compiled(flat, word(next(keys) % 2**bits), threshold, scale, zero))

    return Contestant(name, f"fused {bits}-bit hash of the index, one thread", prepare, FLOATS)


def numba_contestants(numba: Any) -> list[Contestant]:
    """Return both fused hashes: the 64-bit one that a library could ship, and the fastest one that is still random."""
    return [
        _fused_hash("Numba splitmix64", _splitmix64, 64, numba),
        _fused_hash("Numba murmur32", _murmur32, 32, numba),
    ]


def pytorch(torch: Any) -> Contestant:
    def prepare(x: Array, p: float, threads: int) -> Prepared:
        # PyTorch does not know the bfloat16 of ml_dtypes: the same bytes go over as integers.
        shared = (
            torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
            if x.dtype.name == "bfloat16"
            else torch.from_numpy(x)
        )
        dropout = torch.nn.functional.dropout

        def call() -> object:
            with torch.no_grad():
                dropout(shared, p, training=True, inplace=True)
            return None

        torch.manual_seed(SEED)
        return Prepared(call, before=lambda: torch.set_num_threads(threads))

    return Contestant("PyTorch", "F.dropout(inplace=True)", prepare, one_thread=False)


def jax_contestant(jax: Any, threads: int) -> Contestant:
    with limited_to(threads):  # XLA sizes its thread pool when the first device is asked for
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
        jax.devices()

    def prepare(x: Array, p: float, threads: int) -> Prepared:
        def step(key: Any, number: Any, values: Any) -> Any:
            # A float32 probability: with 64-bit types on, a Python float would draw uniforms of twice the width.
            keep = jax.random.bernoulli(jax.random.fold_in(key, number), np.float32(1 - p), values.shape)
            return jax.numpy.where(keep, values / (1 - p), 0).astype(values.dtype)

        compiled, key, values = jax.jit(step), jax.random.key(SEED), jax.numpy.asarray(x)
        numbers = itertools.count()
        return Prepared(lambda: compiled(key, np.uint32(next(numbers)), values).block_until_ready())

    return Contestant("JAX", "jitted where(bernoulli)", prepare, one_thread=False)
