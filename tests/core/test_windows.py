"""A part of a mask is the mask of that part: plain indexing of the whole is the oracle."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import reference
import simdrop
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

DTYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)

WINDOWS = {  # of a mask of shape (40, 6, 700): what is cut, and why
    "one index": (3,),  # a stretch of the index
    "rows": (slice(5, 30), 2, slice(64, 128)),  # whole words of a block
    "short rows": (slice(None), slice(1, 5), slice(7, 24)),  # many share a group
    "long rows": (slice(None), slice(None), slice(3, 699)),
    "columns": (..., 5),  # a bit in each block
    "second": (..., slice(None, None, 2)),
    "third": (..., slice(1, None, 3)),
    "sixth": (..., slice(4, 601, 6)),
    "far apart": (slice(None), slice(None), slice(0, None, 99)),  # more than are drawn for nothing
    "backwards": (slice(None, None, -1), ..., slice(None, None, -1)),
    "one backwards": (slice(30, 2, -3), slice(None), slice(10, 500)),
    "nothing": (slice(4, 4),),
    "all": (...,),
    "one element": (39, 5, 699),
}
SHARED: list[Any] = [None, (None, None, 1), (1, None, None), (None, 1, None), (1, 1, None), (None, 1, 1), (1, 1, 1)]


def check(window: simdrop.Mask, keep: np.ndarray[Any, Any], x: np.ndarray[Any, Any]) -> None:
    """Compare every use of a window with the piece of the whole mask."""
    assert window.shape == keep.shape
    np.testing.assert_array_equal(window.keep(), keep)
    np.testing.assert_array_equal(window.packed(), np.packbits(keep, bitorder="little"))
    assert window.count_kept() == keep.sum()
    zero = np.zeros((), x.dtype)
    expected = np.where(keep, x, zero)
    np.testing.assert_array_equal(window.apply(x, scaling="classic"), expected)
    out = np.full_like(x, 3)
    assert window.select(x, scale=2, shift=0, dropped=-1, out=out) is out
    np.testing.assert_array_equal(out, np.where(keep, x + x, -np.ones((), x.dtype)).astype(x.dtype))
    assert window.apply_(x, scaling="classic") is x
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("noise_shape", SHARED, ids=str)
@pytest.mark.parametrize("index", WINDOWS.values(), ids=WINDOWS.keys())
def test_a_window_is_a_piece_of_the_mask(index: tuple[Any, ...], noise_shape: Any, isa: str) -> None:
    del isa
    mask = simdrop.Mask((40, 6, 700), 0.3, seed=5, stream=2, offset=61, noise_shape=noise_shape)
    keep = mask.keep()
    for dtype, order in itertools.product(DTYPES, "CF"):
        piece = keep[index]
        x = np.asarray(np.arange(1, piece.size + 1) % 50, order="C").reshape(piece.shape).astype(dtype)
        check(mask[index], piece, np.array(x, order=order))  # type: ignore[call-overload]
        check(mask[index].T, piece.T, np.array(x.T, order=order))  # type: ignore[call-overload]


@pytest.mark.parametrize("p", [0.5, 0.1, 0.0, 1.0])
def test_any_strides_of_the_array(p: float, isa: str) -> None:
    del isa
    mask = simdrop.Mask((64, 300), p, seed=9)
    keep = mask.keep()[::2, 17:281]
    window = mask[::2, 17:281]
    rows, columns = keep.shape
    memory = np.ones((2 * rows, 3 * columns), np.float32)
    views = {
        "gaps between rows": memory[::2, :columns],
        "gaps between elements": memory[:rows, ::3],
        "backwards": memory[:rows, :columns][::-1, ::-1],
        "transposed": np.ones((columns, rows), np.float32).T,
        "rows of others": memory[rows:, columns : 2 * columns],
    }
    for name, view in views.items():
        before = memory.copy()
        window.apply_(view, scaling="classic")
        np.testing.assert_array_equal(view, keep.astype(np.float32), err_msg=name)
        view[...] = 1
        np.testing.assert_array_equal(memory, before, err_msg=f"{name}: wrote elsewhere")
    read_only = np.broadcast_to(np.float32(1), keep.shape)
    np.testing.assert_array_equal(window.apply(read_only, scaling="classic"), keep.astype(np.float32))


@st.composite
def masks_and_indices(draw: st.DrawFn) -> tuple[simdrop.Mask, list[Any]]:
    """Draw a mask of a few dimensions, and what is done to it one after another."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9))
    noise = draw(st.none() | st.tuples(*(st.sampled_from([1, None]) for _ in shape)))
    p, offset = draw(st.sampled_from([0.1, 0.5, 0.75])), draw(st.integers(0, 2**57))
    mask = simdrop.Mask(shape, p, seed=draw(st.integers(0, 2**64 - 1)), offset=offset, noise_shape=noise)
    steps: list[Any] = []
    now = np.empty(shape, np.bool_)
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            step: Any = tuple(draw(st.permutations(range(now.ndim))))
            now = now.transpose(step)
            steps.append(("transpose", step))
        elif now.ndim:
            step = draw(hnp.basic_indices(now.shape, allow_newaxis=False))
            now = np.asarray(now[step])
            steps.append(("index", step))
    return mask, steps


@given(masks_and_indices())
def test_windows_of_windows(drawn: tuple[simdrop.Mask, list[Any]]) -> None:
    mask, steps = drawn
    keep: Any = mask.keep()
    for kind, step in steps:
        mask = mask.transpose(step) if kind == "transpose" else mask[step]
        keep = np.asarray(keep.transpose(step) if kind == "transpose" else keep[step])
    check(mask, keep, np.ones(keep.shape, np.float32))
    assert eval(repr(mask), {"simdrop": simdrop}) == mask
    assert pickle.loads(pickle.dumps(mask)) == mask


def test_equal_windows_are_equal_values() -> None:
    mask = simdrop.Mask((8, 6, 10), 0.5, seed=1)
    equal = [
        (mask[2], mask[2:3][0]),
        (mask[2:6][1:3], mask[3:5]),
        (mask.T.T, mask),
        (mask[::2][::2], mask[::4]),
        (mask[::-1][::-1], mask),
        (mask[3, 2], simdrop.Mask(10, 0.5, seed=1, offset=200)),
        (mask[3:4, 2], simdrop.Mask((1, 10), 0.5, seed=1, offset=200)),
        (mask[:, 0:1, 0:1], mask.transpose(0, 2, 1)[:, 0:1, 0:1]),
        (simdrop.Mask((4, 6), 0.5, seed=1, noise_shape=(1, None)), simdrop.Mask((4, 6), 0.5, seed=1, steps=(0, 1))),
        (simdrop.Mask((1, 6), 0.5, seed=1, noise_shape=(1, None)), simdrop.Mask((1, 6), 0.5, seed=1)),
    ]
    for a, b in equal:
        assert a == b
        assert hash(a) == hash(b)
        assert repr(a) == repr(b)
    assert mask[:4] != mask[::2]
    assert mask != mask.T


def test_what_is_printed_can_be_typed_in() -> None:
    mask = simdrop.Mask((4, 6), 0.5, seed=1)
    assert repr(mask[1:3]) == "simdrop.Mask((2, 6), 0.5, seed=1, stream=0, offset=6)"
    assert repr(mask[:, 1::2]) == "simdrop.Mask((4, 3), 0.5, seed=1, stream=0, offset=1, steps=(6, 2))"
    shared = simdrop.Mask((4, 6), 0.5, seed=1, noise_shape=(None, 1))
    assert repr(shared) == "simdrop.Mask((4, 6), 0.5, seed=1, stream=0, offset=0, noise_shape=(4, 1))"
    assert shared[1:3].noise_shape == (2, 1)
    assert shared.steps == (1, 0)
    assert mask.steps == (6, 1)


def test_ravel() -> None:
    mask = simdrop.Mask((4, 6), 0.5, seed=1)
    assert mask.ravel().shape == (24,)
    assert mask[:, ::2].ravel().steps == (2,)
    np.testing.assert_array_equal(mask[:, ::2].ravel().keep(), mask.keep()[:, ::2].ravel())
    refused(mask[:, 1:3].ravel, ValueError, "ravel", "6, 1", "even steps")
    refused(mask.T.ravel, ValueError, "ravel", "even steps")


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_index_arithmetic_to_the_last_element(p: float, isa: str) -> None:
    """A mask of 2**57 elements, sampled at its corners and where 32 and 34 bits of the index end."""
    del isa
    shape = (2**20, 2**20, 2**17)
    mask = simdrop.Mask(shape, p, seed=77, stream=3)
    places = [(a, b, c) for a in (0, shape[0] - 3) for b in (0, shape[1] - 3) for c in (0, shape[2] - 5)]
    for bits in (32, 34, 40):  # the end of an index of so many bits lies in the middle of the window
        a, rest = divmod(2**bits - 2**17 - 2, 2**37)
        places.append((a, *divmod(rest, 2**17)))
        places.append((a, rest // 2**17, shape[2] - 5))
    for a, b, c in places:
        window = mask[a : a + 3, b : b + 3, c : c + 5]
        expected = np.empty(window.shape, np.bool_)
        for i, j in itertools.product(range(window.shape[0]), range(window.shape[1])):
            index = ((a + i) * shape[1] + b + j) * shape[2] + c
            expected[i, j] = reference.keep(window.shape[2], p, 77, 3, index)
        check(window, expected, np.ones(window.shape, np.float32))
        check(window.T[::-1], expected.T[::-1], np.ones(window.shape[::-1], np.float32))
        check(window[..., ::-2], expected[..., ::-2], np.ones(window[..., ::-2].shape, np.float32))
    last = mask[-1, -1, -1]
    assert last.offset == 2**57 - 1
    assert last.keep() == reference.keep(1, p, 77, 3, 2**57 - 1)[0]


def test_indices_end_at_2_to_the_58() -> None:
    x = np.ones(3)
    edge = simdrop.Mask(3, 0.5, seed=1, offset=2**58 - 1, steps=[-1])
    np.testing.assert_array_equal(edge.keep(), reference.keep(3, 0.5, 1, 0, 2**58 - 3)[::-1])
    for steps in ([1], [2**57], [-(2**58)], [2**63], [2**200]):
        with pytest.raises(ValueError, match=r"^steps: .* accepted: indices from 0 to 2\*\*58 - 1"):
            simdrop.Mask(3, 0.5, seed=1, offset=2**58 - 2, steps=steps)
    with pytest.raises(ValueError, match="steps"):
        simdrop._core.select(x, x, 0.5, (1, 0, 2**58 - 2), 2.0, 0.0, 0.0, 1, (3,), (1,))
    np.testing.assert_array_equal(x, 1)


def test_what_is_no_window_is_refused() -> None:
    mask = simdrop.Mask((4, 6), 0.5, seed=1)
    for index, kind, words in (
        (4, IndexError, ("4", "-4 to 3")),
        ((0, -7), IndexError, ("-7", "-6 to 5")),
        ((0, 0, 0), IndexError, (r"\(2\), one Ellipsis",)),
        ((..., ...), IndexError, ("one Ellipsis",)),
        (None, TypeError, ("None", "index the array instead")),
        ((slice(None), None), TypeError, ("None",)),
        (slice(None, None, 0), ValueError, ("other than 0",)),
        (slice("a", None), TypeError, ("slices of integers",)),
        (1.0, TypeError, ("1.0",)),
        (True, TypeError, ("True",)),
        ([0, 1], TypeError, (r"\[0, 1\]",)),
        (np.array([True, False]), TypeError, ("array",)),
    ):
        refused(lambda: mask[index], kind, "index", *words)  # type: ignore[index]  # noqa: B023
    refused(lambda: mask.transpose(0, 0), ValueError, "axes", "each dimension of 2 once")
    refused(lambda: mask.transpose(0), ValueError, "axes", "each dimension of 2 once")
    refused(lambda: mask.transpose("a", "b"), TypeError, "axes")  # type: ignore[arg-type]
    refused(lambda: simdrop.Mask((4, 6), 0.5, seed=1, steps=(1,)), ValueError, "steps", "one for each dimension")
    refused(lambda: simdrop.Mask((4, 6), 0.5, seed=1, steps="ab"), TypeError, "steps")  # type: ignore[arg-type]
    refused(lambda: simdrop.Mask((4, 6), 0.5, seed=1, steps=(1, 1), noise_shape=(1, 6)), ValueError, "steps")
    x = np.ones((4, 5), np.float32)
    refused(lambda: mask[:, ::2].apply_(x), ValueError, "x", "4, 5", "4, 3")
    np.testing.assert_array_equal(x, 1)


def test_threads_do_not_matter() -> None:
    mask = simdrop.Mask((300, 2000), 0.3, seed=4)
    for window in (mask[:, 100:1500], mask[::3, ::2], mask.T, mask[:, ::50].T):
        one = window.apply(np.ones(window.shape), threads=1)
        for threads in (2, 5):
            np.testing.assert_array_equal(window.apply(np.ones(window.shape), threads=threads), one)
            np.testing.assert_array_equal(window.keep(threads=threads), one != 0)
            assert window.count_kept(threads=threads) == np.count_nonzero(one)
