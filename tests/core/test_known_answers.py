"""Answers that simdrop must give for ever: the golden masks, published Philox answers, and the other draws."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import golden_blocks, golden_masks, known_answers
from places import DATA

DRAWS: dict[str, Any] = json.loads((DATA / "draws_v1.json").read_text())


def mask_of(case: dict[str, Any]) -> simdrop.Mask:
    return simdrop.Mask((case["n"],), case["p"], seed=case["seed"], stream=case["stream"], offset=case["offset"])


def plane_0(index: int, seed: int, stream: int) -> list[str]:
    """At p = 1/2 an element is kept where its bit of plane 0 is 1, so the packed mask is the block itself."""
    mask = simdrop.Mask((128,), 0.5, seed=seed, stream=stream, offset=128 * index)
    return [f"{word:08x}" for word in mask.packed().view("<u4")]


def test_the_files_hold_what_they_should() -> None:
    # A parametrised test over an empty file would pass.
    assert len(golden_masks()) == 17
    assert len(golden_blocks()) == 5
    assert len(known_answers()) == 3
    assert len(DRAWS["random_bits"]) == len(DRAWS["spawn"]) == 4
    assert simdrop.MASK_FORMAT == 1


@pytest.mark.parametrize("case", golden_masks(), ids=lambda c: c["why"].replace(" ", "-"))
def test_golden_mask(isa: str, case: dict[str, Any]) -> None:
    mask = mask_of(case)
    packed = mask.packed()
    assert packed.dtype == np.uint8
    assert packed.shape == (-(-case["n"] // 8),)
    assert hashlib.sha256(packed.tobytes()).hexdigest() == case["sha256"]
    if "keep_bits_lsb_first_hex" in case:
        assert packed.tobytes().hex() == case["keep_bits_lsb_first_hex"]
    flags = mask.keep()
    assert flags.dtype == np.bool_
    np.testing.assert_array_equal(np.packbits(flags, bitorder="little"), packed)
    assert mask.count_kept() == case["kept"]
    assert mask.threshold == case["threshold"]


@pytest.mark.parametrize("case", golden_masks(), ids=lambda c: c["why"].replace(" ", "-"))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_golden_mask_applied(isa: str, case: dict[str, Any], dtype: type) -> None:
    # Classic scaling leaves a kept 1 a 1, so the bits of the mask can be read off the result.
    x = np.ones(case["n"], dtype)
    result = mask_of(case).apply_(x, scaling="classic")
    assert result is x
    assert hashlib.sha256(np.packbits(x == 1, bitorder="little").tobytes()).hexdigest() == case["sha256"]
    assert np.count_nonzero(x) == case["kept"]


FROM_THE_START = [case for case in golden_masks() if case["offset"] == 0]


@pytest.mark.parametrize("case", FROM_THE_START, ids=lambda c: c["why"].replace(" ", "-"))
def test_golden_mask_is_what_dropout_and_bernoulli_use(isa: str, case: dict[str, Any]) -> None:
    stream = simdrop.Stream(case["seed"], case["stream"])
    dropped = simdrop.bernoulli(case["p"], case["n"], rng=stream)
    assert hashlib.sha256(np.packbits(~dropped, bitorder="little").tobytes()).hexdigest() == case["sha256"]
    result = simdrop.dropout(
        np.ones(case["n"], np.float32), case["p"], rng=simdrop.Stream(case["seed"], case["stream"])
    )
    np.testing.assert_array_equal(result == 0, dropped)


@pytest.mark.parametrize(
    "case", [c for c in golden_blocks() if c["plane"] == 0], ids=lambda c: f"b{c['index']}-seed{c['seed']}"
)
def test_golden_block_of_plane_0(isa: str, case: dict[str, Any]) -> None:
    assert plane_0(case["index"], case["seed"], case["stream"]) == case["words"]


def test_published_philox_answer(isa: str) -> None:
    # Of the three, only the counter of zeros names a plane that Python can ask for.
    (zeros,) = [a for a in known_answers() if a.counter == (0, 0, 0, 0)]
    assert plane_0(0, seed=0, stream=0) == [f"{word:08x}" for word in zeros.output]


@pytest.mark.parametrize("case", DRAWS["random_bits"], ids=lambda c: f"seed{c['seed']}")
def test_random_bits(isa: str, case: dict[str, Any]) -> None:
    n = len(case["words"])
    words = simdrop.random_bits(n, rng=simdrop.Stream(case["seed"], case["stream"]))
    assert words.dtype == np.uint32
    assert [f"{word:08x}" for word in words] == case["words"]


@pytest.mark.parametrize("case", DRAWS["spawn"], ids=lambda c: f"seed{c['seed']}")
def test_spawn(isa: str, case: dict[str, Any]) -> None:
    (child,) = simdrop.Stream(case["seed"], case["stream"]).spawn(1)
    assert child.state == (case["child_seed"], 0)
