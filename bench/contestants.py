"""Everything dropout is timed against, and simdrop itself.

The recipes are those that users find: the naive line of tutorials, its float32 form, the cheapest random source that
NumPy has, a compiled hash of the index, and the two frameworks. A package that is not installed is listed as absent.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from contest import FLOATS, LIMIT, SEED, Array, Contestant, Field, Prepared
from frameworks import jax_contestant, numba_contestants, pytorch
from machine import optional

# 64 Ki elements of float32 are 256 KiB: a block, its random bytes and its factors stay in a level 2 cache of 1 MiB.
BLOCK = 1 << 16


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


def _byte_recipe(x: Array, p: float, block: int) -> Prepared:
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


def _numpy_bytes(x: Array, p: float, threads: int) -> Prepared:
    return _byte_recipe(x, p, max(1, x.size))


def _numpy_bytes_blocked(x: Array, p: float, threads: int) -> Prepared:
    return _byte_recipe(x, p, BLOCK)


def _simdrop(simdrop: Any, isa: str) -> Contestant:
    def prepare(x: Array, p: float, threads: int) -> Prepared:
        stream, dropout_ = simdrop.Stream(SEED), simdrop.dropout_

        def call() -> object:
            dropout_(x, p, rng=stream, threads=threads)
            return None

        return Prepared(call, before=lambda: simdrop.use_isa(isa))

    how = "dropout_(x, p, rng=stream)"
    return Contestant(f"simdrop {isa}", how, prepare, steps=1 << 40, exact=True, one_thread=False)


def gather(threads: int) -> Field:
    """Return every contestant that this machine can run, the limit first and simdrop last."""
    numpy_bytes = "SFC64 bytes against an 8-bit threshold, in place"
    found = [
        Contestant(LIMIT, "np.multiply(x, s, out=x); np.add on the bits of 16-bit floats", _limit, drops=False),
        Contestant("Python loop", "for loop over a list", _python_loop, FLOATS, max_elements=1 << 20),
        Contestant("NumPy naive", "x * (rng.random(n) >= p) / (1 - p)", _numpy_naive),
        Contestant("NumPy float32", "float32 uniforms, in place", _numpy_float32),
        Contestant("NumPy bytes", numpy_bytes, _numpy_bytes, steps=256),
        Contestant("NumPy bytes, blocked", numpy_bytes + ", by 64 Ki", _numpy_bytes_blocked, steps=256),
    ]
    absent: dict[str, str] = {}
    if numba := optional("numba"):
        found += numba_contestants(numba)
    else:
        absent["Numba"] = "numba is not installed"
    if torch := optional("torch"):
        found.append(pytorch(torch))
    else:
        absent["PyTorch"] = "torch is not installed"
    if jax := optional("jax"):
        found.append(jax_contestant(jax, threads))
    else:
        absent["JAX"] = "jax is not installed"
    if simdrop := optional("simdrop"):
        found += [_simdrop(simdrop, isa) for isa in reversed(simdrop.available_isas())]
    else:
        absent["simdrop"] = "simdrop is not installed"
    return Field(found, absent)
