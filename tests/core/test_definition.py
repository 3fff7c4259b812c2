"""Every instruction set against the oracle: lengths, offsets, alignments, probabilities, types and scalings."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import reference
import simdrop
from helpers import DTYPES, PROBABILITIES, Guarded, Scaling, any_bits, assert_same_bits
from numpy.typing import NDArray
from simdrop import _core

LENGTHS: tuple[tuple[int, str], ...] = (
    (0, "nothing to do"),
    (1, "a tail alone"),
    (2, "less than any register"),
    (3, "less than one tail block"),
    (4, "one tail block, one NEON register of float32"),
    (5, "and one more"),
    (7, "one less than an AVX2 register of float32"),
    (8, "one AVX2 register of float32"),
    (9, "and one more"),
    (15, "one less than an AVX-512 register of float32"),
    (16, "one AVX-512 register of float32"),
    (17, "and one more"),
    (31, "one less than an AVX-512 register of 16-bit numbers"),
    (32, "one AVX-512 register of 16-bit numbers"),
    (33, "and one more"),
    (63, "one less than a 64-bit word of the mask"),
    (64, "one 64-bit word of the mask"),
    (65, "and one more"),
    (127, "one less than a block"),
    (128, "one block"),
    (129, "and one more"),
    (511, "one less than a 512-bit register of mask"),
    (512, "a 512-bit register of mask"),
    (513, "and one more"),
    (1023, "one less than eight blocks"),
    (1024, "eight blocks: one AVX-512 chain of counters"),
    (1025, "and one more"),
    (2047, "one less than sixteen blocks"),
    (2048, "sixteen blocks: four chains of four"),
    (2049, "and one more"),
    (4095, "one less than 32 blocks"),
    (4096, "32 blocks: four chains of eight"),
    (4097, "and one more"),
    (6143, "one less than 48 blocks"),
    (6144, "48 blocks: the group that the generator makes at a time"),
    (6145, "and one more"),
    (8191, "one less than 64 blocks"),
    (8192, "64 blocks"),
    (8193, "and one more"),
    (12287, "one less than two groups"),
    (12288, "two groups: the pipeline is full once"),
    (12289, "and one more"),
    (24577, "one more than the four groups that a strided array draws at a time"),
    (40007, "many groups and a prime rest"),
)

OFFSETS: tuple[tuple[int, str], ...] = (
    (0, "the start"),
    (1, "inside the first tail block and byte"),
    (3, "the last word of a tail block"),
    (61, "inside a 64-bit word"),
    (64, "half a block"),
    (127, "the last bit of a block"),
    (128, "one block"),
    (2**32 - 100, "the index itself passes 2**32"),
    (2**34 - 77, "the number of the tail block passes 2**32"),
    (2**34 - 4096, "the same at the edge of a group"),
    (2**39 - 77, "the number of the block passes 2**32: the carry into the second counter word"),
    (2**39 - 4096, "the same at the edge of a group"),
    (2**53 - 7, "indices that a double cannot hold"),
    (2**57, "the second highest bit of the index"),
    (2**58 - 5000, "the end of the range"),
)

SEED, STREAM = 0x9E3779B97F4A7C15, 0x0000000500000003


@cache
def expected_keep(n: int, p: float, offset: int) -> NDArray[np.bool_]:
    flags = reference.keep(n, p, SEED, STREAM, offset)
    flags.flags.writeable = False
    return flags


def mask_of(n: int, p: float, offset: int) -> simdrop.Mask:
    return simdrop.Mask((n,), p, seed=SEED, stream=STREAM, offset=offset)


def check_materialised(n: int, p: float, offset: int) -> None:
    where = f"n={n}, p={p!r}, offset={offset}"
    mask, expected = mask_of(n, p, offset), expected_keep(n, p, offset)
    flags, packed = mask.keep(), mask.packed()
    assert_same_bits(flags, expected, where)
    assert_same_bits(packed, reference.pack(expected), where)
    assert mask.count_kept() == np.count_nonzero(expected), where


def check_applied(x: NDArray[Any], p: float, offset: int, scaling: Scaling, align: tuple[int, int] = (0, 0)) -> None:
    """apply and apply_ on a copy of x that starts align[0] bytes after a boundary, out at align[1]."""
    where = f"n={x.size}, p={p!r}, offset={offset}, {x.dtype}, {scaling}, align={align}"
    mask = mask_of(x.size, p, offset)
    expected = reference.dropout(x, p, SEED, STREAM, offset, scaling)

    source, target = Guarded(x, align[0]), Guarded(np.full_like(x, 3), align[1])
    assert mask.apply(source.array, out=target.array, scaling=scaling) is target.array, where
    assert_same_bits(target.array, expected, where)
    assert_same_bits(source.array, x, f"{where}: the input changed")
    target.check(where)
    source.check(where)

    assert_same_bits(mask.apply(source.array, scaling=scaling), expected, where)
    assert mask.apply_(source.array, scaling=scaling) is source.array, where
    assert_same_bits(source.array, expected, f"{where}, in place")
    source.check(where)


@pytest.mark.parametrize(("p", "why"), PROBABILITIES)
def test_masks(isa: str, p: float, why: str) -> None:
    for offset, _ in OFFSETS:
        check_materialised(5000, p, offset)


@pytest.mark.parametrize(("n", "why"), LENGTHS)
def test_mask_lengths(isa: str, n: int, why: str) -> None:
    for p in (0.5, 0.15625, 0.1, 0.999):
        for offset in (0, 61, 2**39 - 77):
            check_materialised(n, p, offset)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "why"), LENGTHS)
def test_lengths(isa: str, n: int, why: str, dtype: str) -> None:
    x = any_bits(n, dtype)
    for p in (0.5, 0.1):
        for offset in (0, 61):
            check_applied(x, p, offset, "inverted")


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("p", "why"), PROBABILITIES)
def test_probabilities(isa: str, p: float, why: str, dtype: str, scaling: Scaling) -> None:
    check_applied(any_bits(4999, dtype), p, 0, scaling)
    check_applied(any_bits(700, dtype), p, 61, scaling)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("offset", "why"), OFFSETS)
def test_offsets(isa: str, offset: int, why: str, dtype: str) -> None:
    for p in (0.25, 0.3):
        check_applied(any_bits(4999, dtype), p, offset, "inverted")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("offset", "why"), OFFSETS)
def test_strided_at_offsets(isa: str, offset: int, why: str, dtype: str) -> None:
    # A strided array takes its bits from a packed piece of the mask, which a carry may cut inside a byte.
    for n in (700, 4999):
        for p in (0.25, 0.3):
            x = any_bits(2 * n, dtype)[1::2]
            expected = reference.dropout(x, p, SEED, STREAM, offset)
            assert_same_bits(mask_of(n, p, offset).apply(x), expected, (n, p))
            assert_same_bits(mask_of(n, p, offset).apply_(x), expected, (n, p, "in place"))


# Bytes after a 64-byte boundary: 0 is aligned to all, 1 and 3 to nothing, 2 to 16-bit numbers, 4 to float32, 8 to
# float64, 16 and 32 to half and whole AVX2 registers, 62 makes the first element the last of its cache line.
ALIGNMENTS = (0, 1, 2, 3, 4, 8, 16, 32, 62)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("byte_offset", ALIGNMENTS)
def test_alignments(isa: str, byte_offset: int, dtype: str) -> None:
    for n in (1, 65, 4999):
        for other in (0, 1, 8):
            check_applied(any_bits(n, dtype), 0.1, 5, "inverted", (byte_offset, other))
            check_applied(any_bits(n, dtype), 0.5, 0, "inverted", (other, byte_offset))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_a_million_elements(isa: str, p: float) -> None:
    # Large enough to be cut up between threads and to leave the cache.
    check_materialised(2**20 + 37, p, 0)
    check_applied(any_bits(2**20 + 37, "float32"), p, 0, "inverted")


@pytest.mark.parametrize("align", [(0, 0), (4, 8), (3, 1)], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_results_written_around_the_caches(isa: str, dtype: str, align: tuple[int, int]) -> None:
    # A large result that is not in place; such stores ask for alignment. In place it never happens.
    x = any_bits(_core.cache_bytes() // 2 // np.dtype(dtype).itemsize + 37, dtype)
    expected = x.copy()
    mask_of(x.size, 0.1, 5).apply_(expected)
    assert_same_bits(expected[:9999], reference.dropout(x[:9999], 0.1, SEED, STREAM, 5))
    source, target = Guarded(x, align[0]), Guarded(np.full_like(x, 3), align[1])
    mask_of(x.size, 0.1, 5).apply(source.array, out=target.array)
    assert_same_bits(target.array, expected)
    target.check()
    assert_same_bits(source.array, x, "the input changed")


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_arrays_that_come_from_memory(isa: str, p: float) -> None:
    # Larger than the caches, in place: lines are asked for ahead of time, up to the end and beyond. In pieces they
    # are not.
    x = any_bits(_core.cache_bytes() // 4 + 37, "float32")
    expected, mask, piece = x.copy(), mask_of(x.size, p, 5), 1 << 20
    for start in range(0, x.size, piece):
        mask[start : start + piece].apply_(expected[start : start + piece])
    mask.apply_(x)
    assert_same_bits(x, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_is_the_mask_at_offset_0(isa: str, dtype: str) -> None:
    x = any_bits(3001, dtype).reshape(-1, 1)
    expected = reference.dropout(x, 0.3, SEED, STREAM)
    result, drawn = simdrop.dropout(x, 0.3, rng=simdrop.Stream(SEED, STREAM), return_drawn=True)
    assert_same_bits(result, expected)
    assert drawn.mask == simdrop.Mask(x.shape, 0.3, seed=SEED, stream=STREAM)
    out = np.empty_like(x)
    assert simdrop.dropout(x, 0.3, rng=simdrop.Stream(SEED, STREAM), out=out) is out
    assert_same_bits(out, expected)
    assert simdrop.dropout_(x, 0.3, rng=simdrop.Stream(SEED, STREAM)) is x
    assert_same_bits(x, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_not_training(isa: str, dtype: str, p: float) -> None:
    x = any_bits(3001, dtype)
    assert_same_bits(simdrop.dropout(x, p, rng=1, training=False), x, "inverted: the input's own bits")
    expected = reference.classic_inference(x, p)
    assert_same_bits(simdrop.dropout(x, p, rng=1, training=False, scaling="classic"), expected)
    inplace = Guarded(x, 2)
    simdrop.dropout_(inplace.array, p, training=False)
    assert_same_bits(inplace.array, x)
    simdrop.dropout_(inplace.array, p, training=False, scaling="classic")
    assert_same_bits(inplace.array, expected)
    inplace.check()


@pytest.mark.parametrize(("n", "why"), LENGTHS)
def test_other_draws(isa: str, n: int, why: str) -> None:
    words = simdrop.random_bits(n, rng=simdrop.Stream(SEED, STREAM))
    assert_same_bits(words, reference.random_bits(n, SEED, STREAM))
    for p in (0.5, 0.1, 0.0, 1.0):
        dropped = ~expected_keep(n, p, 0)
        assert_same_bits(simdrop.bernoulli(p, n, rng=simdrop.Stream(SEED, STREAM)), dropped, p)
        packed = simdrop.bernoulli(p, n, rng=simdrop.Stream(SEED, STREAM), packed=True)
        assert_same_bits(packed, reference.pack(dropped), f"packed, p={p}: padding bits are 0 as well")
