"""What ``rng`` may be: the kinds of SPEC 7, each with the seed that it stands for."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import refused
from places import ROOT


def seed_of(rng: Any) -> int:
    """The seed of the mask that a call draws."""
    _, drawn = simdrop.dropout(np.ones(3), 0.5, rng=rng, return_drawn=True)
    assert drawn.mask.stream == 0
    return drawn.mask.seed


def by_numpy(entropy: Any) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


@pytest.mark.parametrize("seed", [0, 42, 2**32, 2**64 - 1, np.int8(5), np.uint64(2**64 - 1), np.array(7)], ids=repr)
def test_integers_below_2_64_are_the_seed(seed: Any) -> None:
    assert seed_of(seed) == int(seed)


@pytest.mark.parametrize("seed", [2**64, 2**64 + 1, 2**128 - 1, 10**300], ids=lambda n: f"{n.bit_length()} bits")
def test_larger_integers_go_through_a_seed_sequence(seed: int) -> None:
    assert seed_of(seed) == by_numpy(seed)


@pytest.mark.parametrize(
    "seeds",
    [[1, 2], (1, 2), [5], [], range(4), np.array([1, 2]), np.array([3], np.uint8), [2**64, 1], (np.int32(9), 2**70)],
    ids=repr,
)
def test_sequences_go_through_a_seed_sequence(seeds: Any) -> None:
    assert seed_of(seeds) == by_numpy(list(seeds))


def test_kinds_of_numpy() -> None:
    assert seed_of(np.random.SeedSequence([1, 2])) == seed_of([1, 2])
    expected = int(np.random.default_rng(3).integers(0, 2**64, dtype=np.uint64))
    assert seed_of(np.random.default_rng(3)) == seed_of(np.random.PCG64(3)) == expected


def test_none_is_fresh() -> None:
    assert len({seed_of(None) for _ in range(4)}) == 4


@pytest.mark.parametrize("rng", [-1, -(2**70), np.int64(-3), [1, -2], np.array([-1]), [*range(10**5), -1]], ids=type)
def test_negative_numbers_are_refused(rng: Any) -> None:
    refused(lambda: simdrop.dropout(np.ones(3), 0.5, rng=rng), ValueError, "rng", "of 0 and above")


@pytest.mark.parametrize(
    ("rng", "came"),
    [
        pytest.param(object(), "object", id="object"),
        ([1, 2.5], "list"),
        ([[1], [2]], "list"),
        ([True], "list"),
        (np.array([1.0]), "ndarray"),
        (np.array([[1, 2]]), "ndarray"),
        ({1, 2}, "set"),
        ("12", "str"),
        (b"12", "bytes"),
        (1.5, "float"),
        (True, "bool"),
        (np.bool_(True), "bool"),
        pytest.param(np.random.RandomState(1), "RandomState", id="RandomState"),
    ],
    ids=repr,
)
def test_what_is_refused(rng: Any, came: str) -> None:
    refused(lambda: simdrop.dropout(np.ones(3), 0.5, rng=rng), TypeError, "rng", came, "Stream", "Generator")


def test_the_stream_itself() -> None:
    stream = simdrop.Stream(5, 9)
    _, drawn = simdrop.dropout(np.ones(3), 0.5, rng=stream, return_drawn=True)
    assert (drawn.mask.seed, drawn.mask.stream, stream.stream) == (5, 9, 10)


@pytest.mark.parametrize(
    "call",
    [
        simdrop.Stream,
        lambda: simdrop.Stream(1, 2, 3),  # type: ignore[call-arg]
        lambda: simdrop.Stream(seed=1, steam=2),  # type: ignore[call-arg]
        lambda: simdrop.Stream(1, seed=2),  # type: ignore[misc]
    ],
)
def test_wrong_arguments_of_a_stream(call: Any) -> None:
    with pytest.raises(TypeError, match=r"Stream: got the arguments .*; accepted: Stream\(seed, stream=0\)") as caught:
        call()
    assert "incompatible" not in str(caught.value)
    assert "_core" not in str(caught.value)


def test_the_page_about_random_numbers() -> None:
    page = ROOT / "docs" / "random-numbers.md"
    if not page.is_file():
        pytest.skip("the documentation is not part of this installation")
    failed, examples = doctest.testfile(str(page), module_relative=False)
    assert failed == 0
    assert examples >= 12
