"""Properties that hold for all inputs, tried on many: fixed examples, the same in every run."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import reference
import simdrop
from helpers import DTYPES, Scaling, any_bits, assert_same_bits, bits
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

SEEDS = st.integers(0, 2**64 - 1)
# Thresholds rather than floats: every float between two thresholds means the same mask, and few bits set is a case.
PS = st.one_of(
    st.integers(0, 2**40),
    st.integers(0, 255).map(lambda t: t << 32),
    st.sampled_from([1, 2**40 - 1, 2**32 - 1, 2**32 + 1, 2**39 - 1, 2**39 + 1]),
).map(lambda t: t / 2**40)
OFFSETS = st.one_of(
    st.integers(0, 300),
    st.sampled_from([2**32, 2**34, 2**39, 2**53]).flatmap(lambda c: st.integers(c - 5000, c + 100)),
    st.integers(0, 2**58 - 6000),
)
SIZES = st.one_of(st.integers(0, 300), st.integers(0, 5000))


@st.composite
def masks(draw: st.DrawFn) -> simdrop.Mask:
    n, p = draw(SIZES), draw(PS)
    return simdrop.Mask((n,), p, seed=draw(SEEDS), stream=draw(SEEDS), offset=draw(OFFSETS))


@given(masks())
def test_masks_equal_the_oracle(isa: str, mask: simdrop.Mask) -> None:
    expected = reference.keep(mask.size, mask.p, mask.seed, mask.stream, mask.offset)
    assert_same_bits(mask.keep(), expected)
    assert_same_bits(mask.packed(), reference.pack(expected))
    assert mask.count_kept() == np.count_nonzero(expected)


@given(masks(), st.data())
def test_a_slice_of_a_mask_is_a_slice_of_its_elements(isa: str, mask: simdrop.Mask, data: st.DataObject) -> None:
    # Python's own rules for slices: ends past either end, negative, missing, crossed.
    ends = st.one_of(st.none(), st.integers(-mask.size - 2, mask.size + 2))
    part = slice(data.draw(ends), data.draw(ends))
    flags = mask.keep()
    assert_same_bits(mask[part].keep(), flags[part], part)
    assert mask[part].count_kept() == np.count_nonzero(flags[part])


@given(masks(), st.lists(st.integers(0, 5000), max_size=5))
def test_calls_may_be_split_anywhere(isa: str, mask: simdrop.Mask, cuts: list[int]) -> None:
    ends = sorted({0, mask.size, *(min(c, mask.size) for c in cuts)})
    x = any_bits(mask.size, "float32")
    pieces = x.copy()
    for a, b in pairwise(ends):
        mask[a:b].apply_(pieces[a:b])
    assert_same_bits(pieces, mask.apply(x))


@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple),
    offset=OFFSETS,
    p=PS,
    data=st.data(),
)
def test_slices_along_the_leading_axis(
    isa: str, shape: tuple[int, ...], offset: int, p: float, data: st.DataObject
) -> None:
    mask = simdrop.Mask(shape, p, seed=6, offset=offset)
    flags = mask.keep()
    assert_same_bits(mask.ravel().keep(), flags.ravel())
    assert len(mask) == len(flags)
    a, b = data.draw(st.integers(0, shape[0])), data.draw(st.integers(0, shape[0]))
    assert mask[a:b].shape == flags[a:b].shape
    assert_same_bits(mask[a:b].keep(), flags[a:b])
    a, b = data.draw(st.integers(0, flags.size)), data.draw(st.integers(0, flags.size))
    assert_same_bits(mask.ravel()[a:b].keep(), flags.ravel()[a:b])
    for k in range(-shape[0], shape[0]):
        assert mask[k].shape == shape[1:]
        assert_same_bits(mask[k].keep(), np.asarray(flags[k]))


@given(SEEDS, PS, PS, OFFSETS)
def test_masks_are_nested(isa: str, seed: int, p1: float, p2: float, offset: int) -> None:
    low, high = sorted([p1, p2])
    kept_low = simdrop.Mask(2000, low, seed=seed, offset=offset).keep()
    kept_high = simdrop.Mask(2000, high, seed=seed, offset=offset).keep()
    assert not np.any(kept_high & ~kept_low), "what the larger p keeps, the smaller keeps too"


@st.composite
def views(draw: st.DrawFn, dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """An array and a view of it with any strides: steps, reversed axes, transposed, misaligned fields."""
    shape = draw(st.lists(st.integers(1, 13), min_size=0, max_size=4))
    base = any_bits(int(np.prod(shape, dtype=int)), dtype).reshape(shape)
    if draw(st.booleans()):  # elements an odd number of bytes apart
        spaced = np.zeros(base.shape, np.dtype([("pad", "u1"), ("x", base.dtype), ("rest", "u2")]))
        spaced["x"] = base
        base = spaced["x"]
    view = base.transpose(draw(st.permutations(range(base.ndim))))
    index = tuple(
        slice(None, None, draw(st.sampled_from([1, 2, 3, -1, -2])))
        if draw(st.booleans())
        else slice(draw(st.integers(0, k)), draw(st.integers(0, k)))
        for k in view.shape
    )
    key = (*index, ...)
    return base, view[key]


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), p=PS)
def test_strides_do_not_matter(isa: str, dtype: str, data: st.DataObject, p: float) -> None:
    base, view = data.draw(views(dtype))
    expected = reference.dropout(view, p, seed=3, stream=8)
    before = view.copy()
    assert_same_bits(simdrop.dropout(view, p, rng=simdrop.Stream(3, 8)), expected)
    assert_same_bits(view, before, "the input changed")

    # Into any other layout, in which the bytes between the elements stay as they are.
    wide = np.full((*(2 * k for k in view.shape[::-1]), 2), 7, view.dtype)
    key: Any = (*(slice(None, None, -2) for _ in view.shape), ..., 1)
    out = wide[key].T
    assert simdrop.dropout(view, p, rng=simdrop.Stream(3, 8), out=out) is out
    assert_same_bits(out, expected)
    if out.size:
        out[...] = 7
    assert np.all(wide == 7), "wrote between the elements"

    untouched = base.copy()
    assert simdrop.dropout_(view, p, rng=simdrop.Stream(3, 8)) is view
    assert_same_bits(view, expected)
    view[...] = before
    assert_same_bits(base, untouched, "wrote outside the view")


@given(rows=st.integers(0, 40), columns=st.integers(0, 200), p=PS)
def test_broadcast_input(isa: str, rows: int, columns: int, p: float) -> None:
    row = any_bits(columns, "float32")
    x = np.broadcast_to(row, (rows, columns))
    assert x.strides[0] == 0 or rows <= 1
    expected = reference.dropout(np.array(x), p, seed=5)
    assert_same_bits(simdrop.dropout(x, p, rng=5), expected)
    column = np.broadcast_to(row[:, None], (columns, rows))
    assert_same_bits(simdrop.dropout(column, p, rng=5), reference.dropout(np.array(column), p, seed=5))


@pytest.mark.parametrize("dtype", DTYPES)
@given(n=SIZES, p=PS, seed=SEEDS, scaling=st.sampled_from(["inverted", "classic"]))
def test_the_ways_to_call_agree(isa: str, dtype: str, n: int, p: float, seed: int, scaling: Scaling) -> None:
    x = any_bits(n, dtype)
    expected = reference.dropout(x, p, seed, scaling=scaling)
    assert_same_bits(simdrop.dropout(x, p, rng=seed, scaling=scaling), expected)
    mask = simdrop.Mask(x.shape, p, seed=seed)
    assert_same_bits(mask.apply(x, scaling=scaling), expected)
    y = x.copy()
    assert simdrop.dropout(y, p, rng=seed, scaling=scaling, out=y) is y
    assert_same_bits(y, expected)
    z = x.copy()
    assert simdrop.dropout_(z, p, rng=seed, scaling=scaling) is z
    assert_same_bits(z, expected)


@given(masks(), st.integers(-20, 20))
def test_apply_is_linear_in_x(isa: str, mask: simdrop.Mask, exponent: int) -> None:
    # Powers of two commute with rounding while nothing leaves the normal range. (1/q is below 2**41.)
    x = np.random.default_rng(2).standard_normal(mask.size)
    factor = 2.0**exponent
    np.testing.assert_array_equal(bits(mask.apply(x * factor)), bits(mask.apply(x) * factor))


@given(masks())
def test_bernoulli_is_the_complement(isa: str, mask: simdrop.Mask) -> None:
    whole = simdrop.Mask(mask.shape, mask.p, seed=mask.seed, stream=mask.stream)
    stream = simdrop.Stream(mask.seed, mask.stream)
    np.testing.assert_array_equal(simdrop.bernoulli(mask.p, mask.size, rng=stream), ~whole.keep())
