"""Arrays in any memory order get the mask of their own order, and blocks of DropBlock lie where their seeds say."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import simdrop
from numpy.lib.stride_tricks import sliding_window_view
from simdrop import _core

# one axis in several boxes; few rows and few columns of a power of 2 and not, a second square of bits, more than a
# strip of words; three and four axes, the last of one and of several words
SHAPES = [(140000,), (3, 5), (16, 700), (12, 130), (131, 65), (513, 3), (64, 128, 12), (3, 70, 90), (4, 3, 2, 65)]


@pytest.fixture(params=_core.available_isas())
def isa(request: pytest.FixtureRequest) -> Any:
    before = _core.active_isa()
    _core.use_isa(request.param)
    yield request.param
    _core.use_isa(before)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("isa")
def test_every_order_of_the_axes_in_both_directions(shape: tuple[int, ...], threads: int) -> None:
    for k, order in enumerate(itertools.permutations(range(len(shape)))):
        for signs in itertools.product((1, -1), repeat=len(shape)):
            dtype = ("float32", "float64", "float16")[(k + len(shape)) % 3]
            memory = np.arange(1, 1 + np.prod(shape), dtype="float64").reshape(shape) % 2000
            view = memory.astype(dtype).transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
            mask = simdrop.Mask(view.shape, 0.5 if k % 2 else 0.3, seed=5, stream=k)
            expected = mask.apply(np.ascontiguousarray(view))
            np.testing.assert_array_equal(mask.apply_(view, threads=threads), expected)


@pytest.mark.usefixtures("isa")
def test_gaps_between_the_axes() -> None:
    for order, sign in itertools.product(itertools.permutations(range(3)), (1, -1)):
        memory = np.arange(1.0, 1 + 40 * 50 * 60).reshape(40, 50, 60)
        whole = memory.copy()
        view = memory[::2, :40, ::-1][:, ::sign, 7:].transpose(order)
        mask = simdrop.Mask(view.shape, 0.3, seed=5)
        expected = mask.apply(view.copy(order="C"))
        np.testing.assert_array_equal(mask.apply_(view), expected)
        view[...] = 0
        outside = np.ones(memory.shape, bool)
        outside[::2, :40, :53] = False
        np.testing.assert_array_equal(memory[outside], whole[outside])


# bytes of a row: every way in which few are copied, 2 to 64 and more; rows cut by the pieces of 6144 elements, which
# begin and end within one; elements by themselves; one row longer than a piece
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33, 100, 159])
@pytest.mark.parametrize("threads", [1, 2])
def test_short_rows_beside_what_must_stay(dtype: str, n: int, threads: int) -> None:
    rows = -(-70_000 // n)  # more than what is worth a second thread
    memory = (np.arange(rows * (n + 3)).reshape(rows, n + 3) % 2000 + 1).astype(dtype)
    whole, view = memory.copy(), memory[:, 2 : 2 + n]
    mask = simdrop.Mask(view.shape, 0.3, seed=5, stream=n, offset=77)
    expected = mask.apply(view.copy())
    dense = np.empty_like(expected)
    mask.apply(view, out=dense, threads=threads)
    np.testing.assert_array_equal(dense, expected)
    mask.apply(view.copy(), out=view, threads=threads)
    np.testing.assert_array_equal(view, expected)
    view[...] = whole[:, 2 : 2 + n]
    mask.apply_(view, threads=threads)
    np.testing.assert_array_equal(view, expected)
    np.testing.assert_array_equal(np.delete(memory, np.s_[2 : 2 + n], 1), np.delete(whole, np.s_[2 : 2 + n], 1))


# three axes, so that rows lie in two directions; elements apart in each; one value for a whole row, or column
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    "take",
    [
        lambda a: a[:, ::2, 3:20],
        lambda a: a[::3, :, ::2],
        lambda a: np.broadcast_to(a[:, :, :1], a.shape),
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: a[:, :, 0],
        lambda a: a[..., 5:6],
        lambda a: a.ravel()[::3],
    ],
)
def test_rows_in_two_directions_and_elements_apart(take: Any, dtype: str) -> None:
    memory = (np.arange(20 * 30 * 64).reshape(20, 30, 64) % 2000 + 1).astype(dtype)
    view = take(memory)
    mask = simdrop.Mask(view.shape, 0.3, seed=5)
    expected = mask.apply(view.copy(order="C"))
    np.testing.assert_array_equal(mask.apply(view), expected)
    target = take(np.zeros_like(memory)) if view.strides[-1] and view.strides[0] else np.zeros_like(expected)
    np.testing.assert_array_equal(mask.apply(view, out=target), expected)


def blocks(mask: simdrop.BlockMask) -> Any:
    """Return what is kept: no place among the `size` before an element, along each axis, begins a block."""
    seeds, axes = ~mask.seeds.keep(), tuple(range(2, len(mask.shape)))
    side = (mask.size,) * len(axes)
    begins = np.zeros((*seeds.shape[:2], *(n + mask.size - 1 for n in mask.shape[2:])), bool)
    inside = (slice(None), slice(None), *(slice(mask.size - 1, mask.size - 1 + n) for n in seeds.shape[2:]))
    begins[inside] = seeds
    covered = sliding_window_view(begins, side, axis=axes).any(axis=tuple(range(-len(axes), 0)))
    return np.broadcast_to(~covered, mask.shape)


# sides below, at and above a word; blocks longer than one; one to three dimensions; maps that end within a word, and
# more of them than are spread at a time; few seeds and many
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 3, 5), 2),
        ((1, 2, 9, 64), 3),
        ((2, 1, 3, 150), 3),
        ((1, 1, 90, 90), 70),
        ((3, 2, 4, 5, 6), 2),
        ((9, 41, 7, 5), 3),
    ],
)
@pytest.mark.parametrize("p", [0.002, 0.1, 0.9])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_begin_at_their_seeds(shape: tuple[int, ...], size: int, p: float, shared: bool, threads: int) -> None:
    places = (shape[0], 1 if shared else shape[1], *(n - size + 1 for n in shape[2:]))
    mask = simdrop.BlockMask(shape, size, simdrop.Mask(places, p, seed=3))
    keep = blocks(mask)
    np.testing.assert_array_equal(mask.keep(threads=threads), keep)
    x = np.full(shape, 3.0)
    scale = keep.size / max(1, np.count_nonzero(keep))
    np.testing.assert_array_equal(mask.apply(x, threads=threads), np.where(keep, x * scale, 0))
    turned = np.asfortranarray(x)
    np.testing.assert_array_equal(mask.apply(turned, out=turned, threads=threads), np.where(keep, x * scale, 0))


def test_blocks_of_seeds_that_are_a_window() -> None:
    seeds = simdrop.Mask((4, 6, 9, 9), 0.1, seed=3)[::2, 1:4, :7, ::-1]
    mask = simdrop.BlockMask((2, 3, 8, 10), 2, seeds)
    np.testing.assert_array_equal(mask.keep(), blocks(mask))


def test_lengths_of_1_do_not_make_steps_uneven() -> None:
    column = simdrop.Mask((6, 2), 0.5, seed=1)[:, :1]
    assert np.array_equal(column.ravel().keep(), column.keep().ravel())
    shared = simdrop.Mask((4, 1), 0.5, seed=1, noise_shape=(1, 1))
    assert np.array_equal(shared.ravel().keep(), shared.keep().ravel())
    with pytest.raises(ValueError, match="even steps"):
        simdrop.Mask((6, 4), 0.5, seed=1)[:, ::3].ravel()
