"""Everything dropout is timed against, and simdrop itself: how each is named, bound to an array, called.

The recipes are those that users find: the naive line of tutorials, its float32 form, the cheapest random source that
NumPy has, a compiled hash of the index, and the two frameworks. A package that is not installed is listed as absent.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import simdrop
from machine import limited_to, optional
from numpy.typing import NDArray
from timing import nothing

Array = NDArray[Any]
FLOATS = ("float32", "float64")
ALL_DTYPES = ("float16", "bfloat16", "float32", "float64")
LIMIT = "in-place scaling"
SEED = 20240501
# 64 Ki elements of float32 are 256 KiB: a block, its random bytes and its factors stay in a level 2 cache of 1 MiB.
BLOCK = 1 << 16
# The finalisers are data, so that each constant stands once and has the width that keeps the loop free of conversions.
WEYL64, MIX64 = np.uint64(0x9E3779B97F4A7C15), (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
WEYL32, MIX32 = np.uint32(0x9E3779B9), (np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35))


@dataclass(frozen=True)
class Prepared:
    """A contestant bound to one array. `call` returns the answer; None means that the array itself holds it."""

    call: Callable[[], object]
    before: Callable[[], object] = nothing


@dataclass(frozen=True)
class Contestant:
    """One way to compute dropout.

    `steps` is the resolution of its drop probability (p is rounded to a multiple of 1/steps; 0 means it is not rounded
    by more than a float), `exact` says that kept values must match the definition to the last bit, `one_thread` that
    it cannot use more.
    """

    name: str
    how: str
    prepare: Callable[[Array, float, int], Prepared]
    dtypes: tuple[str, ...] = ALL_DTYPES
    max_elements: int = 1 << 62
    steps: int = 0
    exact: bool = False
    one_thread: bool = True
    drops: bool = True

    def probability(self, p: float) -> float:
        """Return the drop probability that it really uses when asked for `p`."""
        if not self.drops:
            return 0.0
        return round(p * self.steps) / self.steps if self.steps else p

    def takes(self, dtype: str, elements: int) -> bool:
        """Return whether it can, and in reasonable time, work on so many elements of this type."""
        return dtype in self.dtypes and elements <= self.max_elements


def dtype_of(name: str) -> np.dtype[Any] | None:
    """Return the NumPy type of that name, or None for bfloat16 where ml_dtypes is not installed."""
    ml_dtypes = optional("ml_dtypes") if name == "bfloat16" else np
    return None if ml_dtypes is None else np.dtype(getattr(ml_dtypes, name))


def _limit(x: Array, p: float, threads: int) -> Prepared:
    """Read and write every byte once with as little arithmetic as NumPy can do.

    The factor is one and the addend zero, so that the values neither overflow nor decay however often this runs;
    NumPy has no shortcut for either. NumPy multiplies 16-bit floats in software, hence the integer addition for these.
    """
    if x.itemsize == 2:
        words, zero = x.view(np.uint16), np.uint16(0)
        return Prepared(lambda: np.add(words, zero, out=words))
    one = x.dtype.type(1)
    return Prepared(lambda: np.multiply(x, one, out=x))


def _python_loop(x: Array, p: float, threads: int) -> Prepared:
    values, scale, draw = x.astype(np.float64).tolist(), 1 / (1 - p), random.Random(SEED).random

    def call() -> object:
        for i, value in enumerate(values):
            values[i] = value * scale if draw() >= p else 0.0
        return values

    return Prepared(call)


def _numpy_naive(x: Array, p: float, threads: int) -> Prepared:
    rng = np.random.default_rng(SEED)
    return Prepared(lambda: x * (rng.random(x.shape) >= p) / (1 - p))


def _numpy_float32(x: Array, p: float, threads: int) -> Prepared:
    rng = np.random.default_rng(SEED)
    limit, scale = np.float32(p), x.dtype.type(1 / (1 - p))

    def call() -> object:
        keep = rng.random(x.shape, dtype=np.float32) >= limit
        return np.multiply(x, keep * scale, out=x)

    return Prepared(call)


def _numpy_bytes(x: Array, p: float, threads: int, *, block: int = 1 << 62) -> Prepared:
    """Compare raw SFC64 bytes with an 8-bit threshold: the cheapest random numbers that NumPy offers.

    `random_raw` is about twice as fast as `Generator.bytes`, and multiplying by 0 or the scale faster than every kind
    of masked assignment. The price: p is rounded to 1/256, and a dropped NaN or infinity stays a NaN.
    """
    raw = np.random.SFC64(SEED).random_raw
    dropped = round(p * 256)
    limit, scale = np.uint8(dropped), x.dtype.type(256 / (256 - dropped))
    flat = x.reshape(-1)

    def call() -> object:
        for start in range(0, flat.size, block):
            part = flat[start : start + block]
            keep = raw(-(-part.size // 8)).view(np.uint8)[: part.size] >= limit
            np.multiply(part, keep * scale, out=part)
        return None

    return Prepared(call)


def _simdrop(isa: str) -> Contestant:
    def prepare(x: Array, p: float, threads: int) -> Prepared:
        stream, dropout_ = simdrop.Stream(SEED), simdrop.dropout_
        return Prepared(lambda: dropout_(x, p, rng=stream, threads=threads), before=lambda: simdrop.use_isa(isa))

    how = "dropout_(x, p, rng=stream)"
    return Contestant(f"simdrop {isa}", how, prepare, steps=1 << 40, exact=True, one_thread=False)


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


def numba_contestants(numba: Any, threads: int) -> list[Contestant]:
    """Return both fused hashes: the 64-bit one that a library could ship, and the fastest one that is still random."""
    return [
        _fused_hash("Numba splitmix64", _splitmix64, 64, numba),
        _fused_hash("Numba murmur32", _murmur32, 32, numba),
    ]


def pytorch(torch: Any, threads: int) -> list[Contestant]:
    def prepare(x: Array, p: float, threads: int) -> Prepared:
        # PyTorch does not know the bfloat16 of ml_dtypes: the same bytes go over as integers.
        bfloat16, dropout = x.dtype.name == "bfloat16", torch.nn.functional.dropout
        shared = torch.from_numpy(x.view(np.int16) if bfloat16 else x)
        shared = shared.view(torch.bfloat16) if bfloat16 else shared

        def call() -> object:
            with torch.no_grad():
                dropout(shared, p, training=True, inplace=True)
            return None

        torch.manual_seed(SEED)
        return Prepared(call, before=lambda: torch.set_num_threads(threads))

    return [Contestant("PyTorch", "F.dropout(inplace=True)", prepare, one_thread=False)]


def jax_contestant(jax: Any, threads: int) -> list[Contestant]:
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

    return [Contestant("JAX", "jitted where(bernoulli)", prepare, one_thread=False)]


def gather(threads: int) -> tuple[list[Contestant], dict[str, str]]:
    """Return every contestant that this machine can run, the limit first and simdrop last, and what is absent, why."""
    numpy_bytes = "SFC64 bytes against an 8-bit threshold, in place"
    found = [
        Contestant(LIMIT, "np.multiply(x, s, out=x); np.add on the bits of 16-bit floats", _limit, drops=False),
        Contestant("Python loop", "for loop over a list", _python_loop, FLOATS, max_elements=1 << 20),
        Contestant("NumPy naive", "x * (rng.random(n) >= p) / (1 - p)", _numpy_naive),
        Contestant("NumPy float32", "float32 uniforms, in place", _numpy_float32),
        Contestant("NumPy bytes", numpy_bytes, _numpy_bytes, steps=256),
        Contestant("NumPy bytes, blocked", numpy_bytes + ", by 64 Ki", partial(_numpy_bytes, block=BLOCK), steps=256),
    ]
    absent: dict[str, str] = {}
    for package, make in {"numba": numba_contestants, "torch": pytorch, "jax": jax_contestant}.items():
        if module := optional(package):
            found += make(module, threads)
        else:
            absent[package] = f"{package} is not installed"
    return found + [_simdrop(isa) for isa in reversed(simdrop.available_isas())], absent
