"""Members of the family beside other Python threads: what Python counts, and what those threads may write to.

The task `python-asan` runs this file with a module that checks, whenever it counts a reference, that its thread has the
interpreter's lock; in other builds a count without the lock goes wrong only now and then.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import simdrop

LARGE = (2, 4, 128, 128)  # enough elements that the lock is released
INDICES = np.arange(2048) % 512
CALLS: dict[str, Callable[[Any], object]] = {
    "dropout": lambda x: simdrop.dropout(x, 0.1, rng=1, out=x),
    "dropout, drawn": lambda x: simdrop.dropout(x, 0.1, rng=1, out=x, return_drawn=True),
    "a window": lambda x: simdrop.Mask((8, *x.shape[1:]), 0.1, seed=1)[::4].apply(x, out=x),
    "drop_block2d": lambda x: simdrop.drop_block2d(x, 0.1, 7, rng=1, out=x),
    "drop_path": lambda x: simdrop.drop_path(x, 0.1, rng=1, out=x),
    "alpha_dropout": lambda x: simdrop.alpha_dropout(x, 0.1, rng=1, out=x),
    "gaussian_dropout": lambda x: simdrop.gaussian_dropout(x, 0.1, rng=1, out=x),
    "bias_dropout_add": lambda x: simdrop.bias_dropout_add(x, x[0, 0, 0], x, 0.1, rng=1),
    "zoneout": lambda x: simdrop.zoneout(x, x, 0.1, rng=1),
    "patch_dropout": lambda x: simdrop.patch_dropout(x.reshape(256, 128, 4), 0.5, rng=1),
    "embedding_dropout": lambda x: simdrop.embedding_dropout(INDICES, x.reshape(512, 256), 0.5, rng=1),
    "its derivative": lambda x: looked_up(x).backward(np.ones((2048, 256), np.float32), INDICES),
    "keep": lambda x: simdrop.Mask(x.shape, 0.1, seed=1).keep(),
    "packed": lambda x: simdrop.Mask(x.shape, 0.1, seed=1).packed(),
    "a window's keep": lambda x: simdrop.Mask(x.shape, 0.1, seed=1)[..., ::2].keep(),
    "random_bits": lambda x: simdrop.random_bits(x.size, rng=1),
}


def looked_up(x: Any) -> Any:
    return simdrop.embedding_dropout(INDICES, x.reshape(512, 256), 0.5, rng=1, return_drawn=True)[1]


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Repeat ``work`` on another thread until the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.is_set():
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("name", CALLS)
def test_references_are_counted_right_while_others_count(name: str) -> None:
    x = np.ones(LARGE, np.float32)

    def count() -> None:
        for _ in range(200):
            other = x  # noqa: F841

    CALLS[name](x)
    before = sys.getrefcount(x)
    with meanwhile(count):
        for _ in range(50):
            CALLS[name](x)
    assert sys.getrefcount(x) == before


@pytest.mark.parametrize("backward", [False, True])
def test_indices_may_change_while_they_are_used(backward: bool) -> None:
    # They are checked before the lock is released: an index that another thread writes after that must not be followed.
    weight = np.ones((512, 64), np.float32)
    indices = np.zeros(4096, np.int64)
    grad = np.ones((4096, 64), np.float32)

    def change() -> None:
        indices.fill(2**40)

    _, drawn = simdrop.embedding_dropout(indices, weight, 0.5, rng=1, return_drawn=True)
    done = 0
    with meanwhile(change):
        for _ in range(3000):
            indices.fill(0)
            try:
                if backward:
                    drawn.backward(grad, indices)
                else:
                    simdrop.embedding_dropout(indices, weight, 0.5, rng=1)
                done += 1
            except (IndexError, ValueError):  # as NumPy's own take
                pass
    assert done > 0
