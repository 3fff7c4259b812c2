"""Arrays whose memory does not run along their last axis: rectangles are drawn, transposed and applied.

The definition is `Mask.keep`, which the known answers and `test_definition.py` guard; here the path through memory
is what is tested.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import simdrop
from numpy.typing import NDArray

STRETCH = 2**34  # block numbers of tail words change their upper word here

# (shape of the view, offset, reason)
CASES = [
    ((33, 40), 0, "less than one square of 64 bits"),
    ((64, 64), 0, "exactly one square"),
    ((65, 511), 5, "one more row than a strip, one column less than a tile, rows that start inside a block"),
    ((130, 513), 0, "one column more than a tile"),
    ((8193, 70), 0, "one row more than a tile"),
    ((700, 1100), 127, "several tiles across, the last bit of a block first"),
    ((90, 600), STRETCH - 90 * 300, "a row in the middle spans two stretches"),
    ((90, 512), STRETCH - 45 * 512, "the stretches meet between two rows"),
    ((40, 33), 2**58 - 40 * 33, "the last elements there are"),
]


def expected(x: NDArray[Any], mask: simdrop.Mask) -> NDArray[Any]:
    compute = np.float64 if x.dtype == np.float64 else np.float32
    scaled = (x.astype(compute) * compute(mask.scale)).astype(x.dtype)
    return np.asarray(np.where(mask.keep(), scaled, x.dtype.type(0)))


@pytest.mark.parametrize(("shape", "offset", "why"), CASES, ids=[why for *_, why in CASES])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_transposed(isa: str, shape: tuple[int, int], offset: int, why: str, dtype: type) -> None:
    base: NDArray[Any] = np.random.default_rng(1).normal(size=shape[::-1]).astype(dtype)
    for p in (0.5, 0.3):
        mask = simdrop.Mask(shape, p, seed=11, stream=3, offset=offset)
        want = expected(base.T, mask)
        memory = base.copy()
        mask.apply_(memory.T)
        np.testing.assert_array_equal(memory.T, want)
        np.testing.assert_array_equal(mask.apply(base.T), want)
        into_c_order: NDArray[Any] = np.empty(shape, dtype)
        mask.apply(base.T, out=into_c_order)
        np.testing.assert_array_equal(into_c_order, want)


@pytest.mark.parametrize("axes", [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_three_axes(isa: str, axes: tuple[int, int, int]) -> None:
    base: NDArray[Any] = np.random.default_rng(2).normal(size=(50, 70, 90)).astype(np.float32)
    view = base.transpose(axes)
    mask = simdrop.Mask(view.shape, 0.1, seed=4)
    want = expected(view, mask)
    for threads in (1, 3):
        memory = base.copy()
        mask.apply_(memory.transpose(axes), threads=threads)
        np.testing.assert_array_equal(memory.transpose(axes), want)


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (lambda a: a[:, 1:4], "a last axis so short that the first one is walked, one element of each row at a time"),
        (lambda a: a[::-1, ::-1].T, "negative steps"),
        (lambda a: a[::3, ::2].T, "gaps in both directions"),
        (lambda a: a[:, None, :, None].transpose(2, 1, 0, 3), "axes of length 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusual_views(isa: str, view, why: str) -> None:  # type: ignore[no-untyped-def]
    base: NDArray[Any] = np.random.default_rng(3).normal(size=(1500, 300)).astype(np.float32)
    mask = simdrop.Mask(view(base).shape, 0.3, seed=9, offset=33)
    want = base.copy()
    view(want)[...] = expected(view(base), mask)
    mask.apply_(view(base))
    assert base.tobytes() == want.tobytes()  # also what lies between the elements


def test_arrays_beyond_every_cache() -> None:
    """From memory columns are walked: 142 MiB are more than any cache is taken to hold."""
    base = np.arange(1.0, 1 + 4111 * 4523).reshape(4111, 4523)
    memory = base.copy()
    for view, source in ((memory.T, base.T), (memory[::-1, ::-1].T, base[::-1, ::-1].T)):
        mask = simdrop.Mask(view.shape, 0.3, seed=5, offset=3)
        want = np.where(mask.keep(), source * mask.scale, 0.0)
        for threads in (1, 2):
            view[...] = source
            mask.apply_(view, threads=threads)
            np.testing.assert_array_equal(view, want)
