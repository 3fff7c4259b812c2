"""The arithmetic, value by value: all 16-bit patterns, special values, rounding, and the exact threshold."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import reference
import simdrop
from helpers import DTYPES, PROBABILITIES, THRESHOLDS, Scaling, any_bits, assert_same_bits, bits, dtype_of
from numpy.typing import NDArray

SEED = 20260101


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_16_bit_pattern(isa: str, dtype: str, scaling: Scaling) -> None:
    x = np.arange(2**16, dtype=np.uint16).view(dtype_of(dtype))
    for p, _ in PROBABILITIES:
        for stream in range(3):  # a pattern that one mask drops, another keeps
            expected = reference.dropout(x, p, SEED, stream, scaling=scaling)
            got = simdrop.Mask(x.shape, p, seed=SEED, stream=stream).apply(x, scaling=scaling)
            assert_same_bits(got, expected, f"p={p!r}, stream={stream}")


# Bit patterns of float32 and float64. Each stands in every lane, kept and dropped.
SPECIAL_32 = (
    (0x7F800000, "infinity"),
    (0xFF800000, "minus infinity"),
    (0x7FC00000, "the usual NaN"),
    (0xFFC12345, "a negative quiet NaN with a payload"),
    (0x7F800001, "a signalling NaN"),
    (0x80000000, "minus zero"),
    (0x00000001, "the smallest subnormal"),
    (0x807FFFFF, "the largest subnormal, negative"),
    (0x00800000, "the smallest normal number"),
    (0x7F7FFFFF, "the largest number: overflows when scaled"),
    (0x3F800001, "just above 1: the product must be rounded"),
)
SPECIAL_64 = (
    (0x7FF0000000000000, "infinity"),
    (0xFFF0000000000000, "minus infinity"),
    (0x7FF8000000000000, "the usual NaN"),
    (0xFFF8000012345678, "a negative quiet NaN with a payload"),
    (0x7FF0000000000001, "a signalling NaN"),
    (0x8000000000000000, "minus zero"),
    (0x0000000000000001, "the smallest subnormal"),
    (0x800FFFFFFFFFFFFF, "the largest subnormal, negative"),
    (0x0010000000000000, "the smallest normal number"),
    (0x7FEFFFFFFFFFFFFF, "the largest number: overflows when scaled"),
    (0x3FF0000000000001, "just above 1: the product must be rounded"),
)


@pytest.mark.parametrize(
    ("dtype", "pattern", "why"),
    [("float32", pattern, why) for pattern, why in SPECIAL_32]
    + [("float64", pattern, why) for pattern, why in SPECIAL_64],
)
def test_special_values(isa: str, dtype: str, pattern: int, why: str) -> None:
    x = np.full(1000, pattern, f"u{dtype_of(dtype).itemsize}").view(dtype)
    for p in (0.1, 0.5, 0.9, 1e-3, 0.0):
        scaling: Scaling
        for scaling in ("inverted", "classic"):
            mask = simdrop.Mask(x.shape, p, seed=SEED)
            got = mask.apply(x, scaling=scaling)
            assert_same_bits(got, reference.dropout(x, p, SEED, scaling=scaling), f"{why}: p={p}, {scaling}")
            dropped = bits(got)[~mask.keep()]
            assert not dropped.any(), f"{why}: dropped is +0, whatever was there"
            if p == 0.0 or (scaling == "classic" and "signalling" not in why):
                assert_same_bits(got[mask.keep()], x[mask.keep()], f"{why}: a kept element keeps its bits")


def kept_only(x: NDArray[Any], p: float) -> NDArray[Any]:
    """The value of each x where it is kept: repeated until some mask element keeps it."""
    wide = np.repeat(x, 64).reshape(x.size, 64)
    mask = simdrop.Mask(wide.shape, p, seed=SEED)
    flags = mask.keep()
    assert flags.any(axis=1).all(), "every value kept at least once"
    result: NDArray[Any] = mask.apply(wide)
    return np.take_along_axis(result, flags.argmax(axis=1)[:, None], axis=1)[:, 0]


def test_float16_by_hand(isa: str) -> None:
    # p = 1/2 doubles, p = 3/4 quadruples: exact until the format ends.
    x = np.array([65504, -65504, 32752, 2.0**-24, -(2.0**-24), 1023 * 2.0**-24], np.float16)
    doubled = np.array([np.inf, -np.inf, 65504, 2.0**-23, -(2.0**-23), 2046 * 2.0**-24], np.float16)
    assert_same_bits(kept_only(x, 0.5), doubled)
    # Neighbouring float16 numbers under scales that are no power of two: the product is rounded to float32, that once
    # to float16. Both factors fit a double, whose product is exact.
    x = np.arange(1024, 2048, dtype=np.float16)
    for p in (0.2, 1 / 3, 0.1):
        scale = np.float32(1 / (1 - reference.threshold(p) / 2**40))
        exact = [float(v) * float(scale) for v in x]
        by_float32 = np.array([np.float16(np.float32(e)) for e in exact])
        assert_same_bits(kept_only(x, p), by_float32, f"p={p}")


def test_float16_ties_go_to_even(isa: str) -> None:
    # No inverted scale ties (1/q is a power of two or no short fraction), but q = 1/4 of classic inference cuts the
    # fixed steps below the normal range into quarters: 2/4 ties to 0, 6/4 to 2, 10/4 to 2, 14/4 to 4.
    x = np.array([1, 2, 3, 5, 6, 7, 10, 14], np.float16) * np.float16(2.0**-24)
    expected = np.array([0, 0, 1, 1, 2, 2, 2, 4], np.float16) * np.float16(2.0**-24)
    assert_same_bits(simdrop.dropout(x, 0.75, training=False, scaling="classic"), expected)


def test_bfloat16_ties_go_to_even(isa: str) -> None:
    # Below the normal range bfloat16 has fixed steps of 2**-133; q = 1/4 cuts them into quarters.
    steps = np.array([1, 2, 3, 5, 6, 7, 10, 14], np.uint16)
    x = steps.view(ml_dtypes.bfloat16)
    expected = np.array([0, 0, 1, 1, 2, 2, 2, 4], np.uint16).view(ml_dtypes.bfloat16)
    assert_same_bits(simdrop.dropout(x, 0.75, training=False, scaling="classic"), expected)


def test_bfloat16_overflow_and_nan(isa: str) -> None:
    x = np.array([0x7F7F, 0xFF7F, 0x7F80, 0x7FC1, 0x7F81, 0xFFFF], np.uint16).view(ml_dtypes.bfloat16)
    # Twice the largest is infinity; a NaN keeps sign and payload and becomes quiet.
    expected = np.array([0x7F80, 0xFF80, 0x7F80, 0x7FC1, 0x7FC1, 0xFFFF], np.uint16).view(ml_dtypes.bfloat16)
    assert_same_bits(kept_only(x, 0.5), expected)


@pytest.mark.parametrize("p", [p for p, _ in PROBABILITIES if p < 1])
def test_the_scale_is_exact(p: float) -> None:
    mask = simdrop.Mask((1,), p, seed=0)
    t = round(p * 2**40)
    assert mask.threshold == t
    assert mask.keep_probability == (2**40 - t) / 2**40
    assert mask.scale == 1 / ((2**40 - t) / 2**40)


@pytest.mark.parametrize(("p", "expected", "why"), THRESHOLDS)
def test_the_threshold_rounds_half_to_even(isa: str, p: float, expected: int, why: str) -> None:
    mask = simdrop.Mask((1000,), p, seed=SEED)
    assert (mask.p, mask.threshold) == (p, expected), why
    assert mask.keep_probability == (2**40 - expected) / 2**40
    x = any_bits(1000, "float64")
    assert_same_bits(mask.keep(), reference.keep(1000, p, SEED), why)
    assert_same_bits(mask.apply(x), reference.dropout(x, p, SEED), why)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_scale_is_rounded_once(isa: str, dtype: str) -> None:
    # 1 times the scale shows it. For p = 0.1 the rounded threshold moves the double 1/q away from 1/0.9.
    t = reference.threshold(0.1)
    scale = 2**40 / (2**40 - t)
    assert scale != 1 / 0.9
    one = np.ones(1, dtype_of(dtype))
    wide = np.float64(scale) if dtype == "float64" else np.float32(scale)
    expected = np.array([wide]).astype(dtype_of(dtype))
    assert_same_bits(kept_only(one, 0.1), expected)


# The positions where u(i) and T may agree in many bits: each of the 40 bits must take part in the comparison.
@pytest.mark.parametrize("offset", [0, 61, 2**39 - 500, 2**58 - 1000])
def test_the_threshold_is_exact_at_every_element(isa: str, offset: int) -> None:
    u = reference.uniform(offset, 1000, SEED, 9)
    for i in range(0, 1000, 7):
        equal, above = int(u[i]) / 2**40, (int(u[i]) + 1) / 2**40
        at = simdrop.Mask((1000,), equal, seed=SEED, stream=9, offset=offset).keep()
        over = simdrop.Mask((1000,), above, seed=SEED, stream=9, offset=offset).keep()
        assert at[i], "u(i) = T is kept"
        assert not over[i], "u(i) = T - 1 is dropped"
        np.testing.assert_array_equal(np.flatnonzero(at != over), np.flatnonzero(u == u[i]), "and nothing else moves")


@pytest.mark.parametrize("bit", range(40))
def test_each_bit_of_the_threshold_decides(isa: str, bit: int) -> None:
    # T differs from u(i) in one bit only, so every higher bit ties.
    u = reference.uniform(0, 200, SEED, 4)
    for i in range(0, 200, 9):
        t = int(u[i]) ^ (1 << bit)
        kept = simdrop.Mask((200,), t / 2**40, seed=SEED, stream=4).keep()
        np.testing.assert_array_equal(kept, u >= np.uint64(t))
