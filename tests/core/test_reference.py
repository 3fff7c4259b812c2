"""The oracle against answers that were made without it."""

from __future__ import annotations

import hashlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import reference
from helpers import THRESHOLDS, golden_blocks, golden_masks, known_answers


@pytest.mark.parametrize("answer", known_answers(), ids=lambda a: f"counter-{a.counter[0]:08x}")
def test_philox_gives_the_published_answers(answer: Any) -> None:
    got = reference.philox(np.array([answer.counter], np.uint64), answer.key)
    assert got.tolist() == [list(answer.output)]


@pytest.mark.parametrize("case", golden_blocks(), ids=lambda c: f"b{c['index']}-plane{c['plane']}")
def test_blocks_match_the_golden_file(case: dict[str, Any]) -> None:
    got = reference.block(np.array([case["index"]], np.uint64), case["plane"], case["seed"], case["stream"])
    assert [f"{word:08x}" for word in got[0]] == case["words"]


@pytest.mark.parametrize("case", golden_masks(), ids=lambda c: c["why"].replace(" ", "-"))
def test_masks_match_the_golden_file(case: dict[str, Any]) -> None:
    assert reference.threshold(case["p"]) == case["threshold"]
    flags = reference.keep(case["n"], case["p"], case["seed"], case["stream"], case["offset"])
    packed = reference.pack(flags)
    assert flags.sum() == case["kept"]
    assert hashlib.sha256(packed.tobytes()).hexdigest() == case["sha256"]
    if "keep_bits_lsb_first_hex" in case:
        assert packed.tobytes().hex() == case["keep_bits_lsb_first_hex"]


def philox_in_python(counter: list[int], key: list[int]) -> list[int]:
    """The same function in unbounded integers, so that a wrapped or rounded uint64 would show."""
    c, k = list(counter), list(key)
    for _ in range(10):
        hi0, lo0 = divmod(0xD2511F53 * c[0], 2**32)
        hi1, lo1 = divmod(0xCD9E8D57 * c[2], 2**32)
        c = [hi1 ^ c[1] ^ k[0], lo1, hi0 ^ c[3] ^ k[1], lo0]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def uniform_in_python(i: int, seed: int, stream: int) -> int:
    def block(b: int, plane: int) -> list[int]:
        counter = [b % 2**32, b // 2**32 + plane * 2**24, stream % 2**32, stream // 2**32]
        return philox_in_python(counter, [seed % 2**32, seed // 2**32])

    u = block(i // 4, 8)[i % 4]
    for k in range(8):
        j = i % 128
        u += (block(i // 128, k)[j // 32] >> (j % 32) & 1) << (39 - k)
    return u


@pytest.mark.parametrize(
    ("index", "why"),
    [
        (0, "the first element"),
        (127, "the last of a block"),
        (128, "the first of the next"),
        (2**34 - 1, "the last tail block below 2**32"),
        (2**34, "the first tail block above"),
        (2**39, "the first block above 2**32"),
        (2**53 + 1, "an index that a double cannot hold"),
        (2**58 - 1, "the last index there is"),
    ],
)
def test_uniform_equals_a_version_in_unbounded_integers(index: int, why: str) -> None:
    for seed, stream in ((0, 0), (2**64 - 1, 2**64 - 1), (0x0123456789ABCDEF, 2**32 + 1)):
        assert reference.uniform(index, 1, seed, stream)[0] == uniform_in_python(index, seed, stream), why


@pytest.mark.parametrize(("p", "expected", "why"), THRESHOLDS)
def test_threshold_rounds_half_to_even(p: float, expected: int, why: str) -> None:
    assert reference.threshold(p) == expected, why


def test_bfloat16_rounding_equals_ml_dtypes_on_every_boundary() -> None:
    # For every bfloat16 pattern: itself, just above it, just below, at and beside the tie.
    high = np.arange(2**16, dtype=np.uint32) << np.uint32(16)
    for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        y = (high | np.uint32(low)).view(np.float32)
        number = ~np.isnan(y)
        expected = y[number].astype(ml_dtypes.bfloat16).view(np.uint16)
        got = reference.narrow(y, np.dtype(ml_dtypes.bfloat16)).view(np.uint16)
        np.testing.assert_array_equal(got[number], expected)
        assert np.all((got[~number] & 0x7FC0) == 0x7FC0), "NaN stays a quiet NaN"
        assert np.all(got[~number] >> 15 == high[~number] >> 31), "and keeps its sign"


def test_dropout_by_hand() -> None:
    # The golden mask of seed 0 at p = 1/2 begins with the bits of 0xd5, least significant first: 1 0 1 0 1 0 1 1.
    x = np.array([1, 2, 3, np.nan, -5, -6, 7, np.inf], np.float32)
    expected = np.array([2, 0, 6, 0, -10, 0, 14, np.inf], np.float32)
    got = reference.dropout(x, 0.5, seed=0)
    np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))
    classic = reference.dropout(x, 0.5, seed=0, scaling="classic")
    np.testing.assert_array_equal(classic, np.array([1, 0, 3, 0, -5, 0, 7, np.inf], np.float32))
    np.testing.assert_array_equal(reference.classic_inference(x[:3], 0.5), np.array([0.5, 1, 1.5], np.float32))
