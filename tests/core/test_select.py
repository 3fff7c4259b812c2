"""``Mask.select`` with special numbers: multiplied, then added, on every instruction set, dropped values to the bit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import DTYPES, assert_same_bits, dtype_of

# Both signs of what is zero, ordinary, too large or too small for float32, infinite and not a number.
NUMBERS = (0.0, -0.0, 1.0, -2.0, 0.375, 1e300, -1e-300, float("inf"), float("-inf"), float("nan"))


def elements(dtype: str) -> Any:
    """Return 130 numbers, two words and some more: zeros and infinities of both signs, NaN, large and small."""
    kind = dtype_of(dtype)
    special = [0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan"), 1e-7, -1e-7, 3.0, 6e4, -6e4, 1e38]
    with np.errstate(over="ignore", under="ignore"):
        return np.array((special * 10)[:130]).astype(kind)


def selected(x: Any, keep: Any, scale: float, shift: float, dropped: float) -> Any:
    """Return the definition in NumPy."""
    wide: Any = np.float64 if x.dtype == np.float64 else np.float32
    with np.errstate(all="ignore"):
        a, s, b, d = x.astype(wide), wide(scale), wide(shift), wide(dropped)
        y = a * s if shift == 0 else a * s + b
        y[np.isnan(y) & ~np.isnan(a)] = np.nan  # one NaN for all that has no value
        y[np.isnan(a)] = a[np.isnan(a)]
        return np.where(keep, y, np.nan if np.isnan(d) else d).astype(x.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_numbers_mean_what_they_say(isa: str, dtype: str) -> None:
    x = elements(dtype)
    mask = simdrop.Mask(x.shape, 0.4, seed=3)
    keep = mask.keep()
    for scale, shift, dropped in itertools.product(NUMBERS, NUMBERS, NUMBERS):
        expected = selected(x, keep, scale, shift, dropped)
        got = mask.select(x, scale=scale, shift=shift, dropped=dropped)
        assert_same_bits(got, expected, (scale, shift, dropped))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_kept_minus_zero_does_not_depend_on_the_dropped_value(isa: str, dtype: str) -> None:
    x = np.full(200, -0.0).astype(dtype_of(dtype))
    mask = simdrop.Mask(x.shape, 0.5, seed=3)
    for dropped in (0.0, -0.0, 1.0):
        y = mask.select(x, scale=2.0, dropped=dropped)
        assert np.signbit(y[mask.keep()].astype(float)).all(), dropped
        assert (np.signbit(y[~mask.keep()].astype(float)) == np.signbit(dropped)).all(), dropped


def test_shared_bits_and_strides_too(isa: str) -> None:
    """The same through the kernels of shared masks, of strided and of transposed arrays."""
    x = np.resize(elements("float32"), (60, 90)).copy()
    for bits in ((60, 90), (60, 1), (1, 90)):
        mask = simdrop.Mask(x.shape, 0.4, seed=3, noise_shape=bits)
        for scale, shift, dropped in ((-2.0, 0.0, 0.0), (0.0, 0.0, 0.0), (float("inf"), 1.0, -0.0), (1.0, 0.0, -0.0)):
            expected = selected(x, mask.keep(), scale, shift, dropped)
            for form in (x.copy(), np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
                y = mask.select(form, scale=scale, shift=shift, dropped=dropped)
                assert_same_bits(np.ascontiguousarray(y), expected, (bits, scale, shift, dropped))
