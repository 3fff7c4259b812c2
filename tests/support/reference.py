"""Mask format 1 and the arithmetic of dropout in plain NumPy, written only to be read.

This is the oracle of the tests. It shares no code with ``cpp/`` and takes no short cut: every element gets all of its
forty bits, from nine blocks, even where the first bit would have decided. Every integer is exact up to index 2**58.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

# Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
MULTIPLIER = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEP = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
ROUNDS = 10

LOW = np.uint64(2**32 - 1)
WORD = np.uint64(32)

PLANES = 8  # the high bits of u(i), one plane each
TAIL_PLANE = 8  # the low 32 bits of u(i)
BITS_PLANE = 16  # random_bits
SPAWN_PLANE = 17  # Stream.spawn


def philox(counter: U64, key: tuple[int | U64 | np.uint64, int | U64 | np.uint64]) -> U64:
    """Philox4x32-10 of every row of ``counter``, an array of shape (n, 4) holding 32-bit numbers."""
    c0, c1, c2, c3 = counter.T
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(ROUNDS):
        product0 = MULTIPLIER[0] * c0  # 32 by 32 bits: fits 64 exactly
        product1 = MULTIPLIER[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> WORD) ^ c1 ^ k0,
            product1 & LOW,
            (product0 >> WORD) ^ c3 ^ k1,
            product0 & LOW,
        )
        k0 = (k0 + KEY_STEP[0]) & LOW
        k1 = (k1 + KEY_STEP[1]) & LOW
    return np.stack([c0, c1, c2, c3], axis=1)


def block(b: U64, plane: int, seed: int, stream: int) -> U64:
    """block(b, plane) of the format for every number in ``b``: shape (n, 4), 32-bit words."""
    counter = np.empty((b.size, 4), np.uint64)
    counter[:, 0] = b & LOW
    counter[:, 1] = (b >> WORD) + np.uint64(plane * 2**24)
    counter[:, 2] = stream % 2**32
    counter[:, 3] = stream // 2**32
    return philox(counter, (seed % 2**32, seed // 2**32))


def blocks_of(first: int, count: int, per_block: int) -> U64:
    """The numbers of the blocks that hold elements first .. first + count - 1 (count > 0), per_block to a block."""
    b0, b1 = first // per_block, (first + count - 1) // per_block
    numbers: U64 = np.arange(b1 - b0 + 1, dtype=np.uint64) + np.uint64(b0)
    return numbers


def plane_bits(first: int, count: int, plane: int, seed: int, stream: int) -> NDArray[np.uint8]:
    """Bit i mod 128 of block(i div 128, plane) for i = first .. first + count - 1."""
    words = block(blocks_of(first, count, 128), plane, seed, stream)
    in_order = np.unpackbits(words.astype("<u4").reshape(-1).view(np.uint8), bitorder="little")
    return in_order[first % 128 :][:count]


def plane_words(first: int, count: int, plane: int, seed: int, stream: int) -> U64:
    """Word i mod 4 of block(i div 4, plane) for i = first .. first + count - 1."""
    return block(blocks_of(first, count, 4), plane, seed, stream).reshape(-1)[first % 4 :][:count]


def uniform(first: int, count: int, seed: int, stream: int) -> U64:
    """The 40-bit integers u(i) for i = first .. first + count - 1."""
    if count == 0:
        return np.empty(0, np.uint64)
    u = plane_words(first, count, TAIL_PLANE, seed, stream)
    for k in range(PLANES):
        u |= plane_bits(first, count, k, seed, stream).astype(np.uint64) << np.uint64(39 - k)
    return u


def threshold(p: float) -> int:
    """T. Scaling a double by a power of two is exact, and Python's ``round`` takes ties to even."""
    return round(p * 2.0**40)


def keep(count: int, p: float, seed: int, stream: int = 0, offset: int = 0) -> NDArray[np.bool_]:
    """True where the element is kept: u(i) >= T."""
    kept: NDArray[np.bool_] = uniform(offset, count, seed, stream) >= np.uint64(threshold(p))
    return kept


def pack(flags: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Eight flags to a byte, the first in the least significant bit, the padding zero."""
    return np.packbits(flags, bitorder="little")


def keep_probability(p: float) -> float:
    """q, which a double holds exactly: it is a multiple of 2**-40."""
    return 1.0 - threshold(p) / 2.0**40


def widen(x: NDArray[Any]) -> NDArray[Any]:
    """x in the type in which it is computed: float32, or float64 for float64."""
    if x.dtype.name == "bfloat16":
        bits: NDArray[np.uint32] = x.view(np.uint16).astype(np.uint32) << np.uint32(16)
        return bits.view(np.float32)
    return x if x.dtype == np.float64 else x.astype(np.float32)


def narrow(y: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """y rounded once, to nearest even, to ``dtype``."""
    if dtype.name != "bfloat16":
        return y.astype(dtype)
    bits = y.view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)
    quiet_nan = (bits >> np.uint32(16)) | np.uint32(0x40)  # adding could carry a NaN into infinity or zero
    chosen: NDArray[np.uint32] = np.where(np.isnan(y), quiet_nan, rounded)
    return chosen.astype(np.uint16).view(dtype)


def multiply(x: NDArray[Any], factor: float) -> NDArray[Any]:
    """x times factor: both in the compute type, the product rounded once to the type of x."""
    with np.errstate(all="ignore"):  # NaN, overflow and underflow are part of the definition
        wide = widen(x)
        return narrow(wide * wide.dtype.type(factor), x.dtype)


def dropout(
    x: NDArray[Any], p: float, seed: int, stream: int = 0, offset: int = 0, scaling: str = "inverted"
) -> NDArray[Any]:
    """Dropout while training. Elements are numbered in C order, whatever the strides."""
    flat = x.ravel(order="C")
    if threshold(p) == 0 or threshold(p) == 2**40:
        kept = flat
    else:  # times 1 leaves every number as it is, and makes a signalling NaN quiet
        kept = multiply(flat, 1.0 if scaling == "classic" else 1.0 / keep_probability(p))
    chosen = np.where(keep(flat.size, p, seed, stream, offset), kept, np.zeros(1, x.dtype))
    return chosen.reshape(x.shape)


def classic_inference(x: NDArray[Any], p: float) -> NDArray[Any]:
    """What the classic convention does when not training: x * q."""
    return multiply(x.ravel(order="C"), keep_probability(p)).reshape(x.shape)


def random_bits(count: int, seed: int, stream: int = 0) -> NDArray[np.uint32]:
    """Uniform 32-bit words: word i mod 4 of block(i div 4, 16)."""
    if count == 0:
        return np.empty(0, np.uint32)
    return plane_words(0, count, BITS_PLANE, seed, stream).astype(np.uint32)


def spawned_seed(seed: int, stream: int) -> int:
    """The seed of the child that took the number ``stream`` of ``Stream(seed)``."""
    word = block(np.zeros(1, np.uint64), SPAWN_PLANE, seed, stream)[0]
    return int(word[0]) + 2**32 * int(word[1])
