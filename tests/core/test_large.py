"""More than 2**32 elements, and distances in memory of more than 2**32 bytes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import reference
import simdrop
from helpers import assert_same_bits

SEED = 12
WINDOW = 5000
MORE_THAN_32_BITS = 2**32 + 12_345


def test_counting_more_than_32_bits_of_elements() -> None:
    # Needs no memory. The whole is the sum of its parts, the last of which lies past 2**32.
    mask = simdrop.Mask((MORE_THAN_32_BITS,), 0.5, seed=SEED)
    cuts = [0, 2**31 + 11, 2**32 - 100, MORE_THAN_32_BITS]
    parts = [mask[a:b].count_kept() for a, b in pairwise(cuts)]
    assert sum(parts) == mask.count_kept()
    tail = reference.keep(MORE_THAN_32_BITS - cuts[2], 0.5, SEED, offset=cuts[2])
    assert parts[2] == np.count_nonzero(tail)


@pytest.mark.large
@pytest.mark.parametrize("p", [0.5, 0.1])
def test_more_than_32_bits_of_elements(p: float) -> None:
    # 8 GiB of float16.
    x = np.ones(MORE_THAN_32_BITS, np.float16)
    simdrop.dropout_(x, p, rng=SEED)
    one = np.ones(WINDOW, np.float16)
    for start in (0, 2**31 - WINDOW // 2, 2**32 - WINDOW // 2, MORE_THAN_32_BITS - WINDOW):
        assert_same_bits(x[start : start + WINDOW], reference.dropout(one, p, SEED, offset=start), start)
    del x
    mask = simdrop.Mask((MORE_THAN_32_BITS,), p, seed=SEED)
    packed = mask.packed()
    assert packed.size == -(-MORE_THAN_32_BITS // 8)
    start = 2**32 - 4096
    expected = reference.pack(reference.keep(MORE_THAN_32_BITS - start, p, SEED, offset=start))
    assert_same_bits(packed[start // 8 :], expected)


@pytest.mark.large
def test_strided_memory_longer_than_32_bits() -> None:
    # Few elements, but the last lies 8 GiB after the first: byte distances need 64 bits too.
    x = np.zeros((3, 2**30), np.float32)[:, :WINDOW]
    x[...] = 1
    simdrop.dropout_(x, 0.3, rng=SEED)
    assert_same_bits(x, reference.dropout(np.ones((3, WINDOW), np.float32), 0.3, SEED))
