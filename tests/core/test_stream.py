"""Stream: two integers that say which mask comes next, safe from any number of threads. Mask: a value."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
import reference
import simdrop
from helpers import together
from places import DATA

END = 2**64 - 1


def test_next_counts_up_from_the_start() -> None:
    stream = simdrop.Stream(7)
    assert (stream.seed, stream.stream) == (7, 0)
    assert [stream.next() for _ in range(3)] == [0, 1, 2]
    assert (stream.seed, stream.stream) == (7, 3)
    assert simdrop.Stream(7, 2**63).next() == 2**63


def test_state_restores_in_every_way() -> None:
    stream = simdrop.Stream(2**64 - 1, 5)
    stream.next()
    state = stream.state
    assert state == (2**64 - 1, 6)
    assert type(state) is tuple
    assert all(type(part) is int for part in state), "plain integers: any checkpoint format can hold them"
    following = [stream.next() for _ in range(3)]

    again = simdrop.Stream(*state)
    assert [again.next() for _ in range(3)] == following
    stream.restore(state)
    assert [stream.next() for _ in range(3)] == following
    other = simdrop.Stream(1)
    other.restore(state)
    assert other == simdrop.Stream(*state)
    other.restore(list(state))  # JSON turns a tuple into a list
    assert other.state == state


def test_a_checkpoint_repeats_the_masks_that_follow() -> None:
    stream = simdrop.Stream(3)
    x = np.ones(500, np.float32)
    simdrop.dropout(x, 0.5, rng=stream)
    state = stream.state
    first = [simdrop.dropout(x, 0.5, rng=stream).tobytes() for _ in range(3)]
    assert len(set(first)) == 3
    stream.restore(state)
    assert [simdrop.dropout(x, 0.5, rng=stream).tobytes() for _ in range(3)] == first


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    stream = simdrop.Stream(5, 9)
    loaded = pickle.loads(pickle.dumps(stream, protocol))
    assert loaded == stream
    assert loaded.next() == 9
    assert stream.state == (5, 9), "the copy counts for itself"
    mask = simdrop.Mask((3, 4), 0.3, seed=2**64 - 1, stream=7, offset=2**57)
    loaded = pickle.loads(pickle.dumps(mask, protocol))
    assert loaded == mask
    np.testing.assert_array_equal(loaded.keep(), mask.keep())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mask", simdrop.Mask((3, 4), 0.1, seed=2**64 - 1, stream=7, offset=61)),
        ("stream", simdrop.Stream(2**63, 9)),
        ("used_up_stream", simdrop.Stream(1, 2**64)),
    ],
)
def test_old_pickles_load(name: str, expected: object) -> None:
    stored = json.loads((DATA / "pickles_v1.json").read_text())[name]
    assert pickle.loads(bytes.fromhex(stored)) == expected


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_copy(how: Any) -> None:
    stream = simdrop.Stream(5, 9)
    twin = how(stream)
    assert twin == stream
    twin.next()
    assert (stream.state, twin.state) == ((5, 9), (5, 10))
    mask = simdrop.Mask(4, 0.3, seed=5)
    assert how(mask) == mask


def test_equality_and_repr() -> None:
    stream = simdrop.Stream(5, 9)
    assert stream == simdrop.Stream(5, 9)
    assert stream != simdrop.Stream(5, 10)
    assert stream != simdrop.Stream(6, 9)
    assert stream != (5, 9)
    names = {"Stream": simdrop.Stream, "Mask": simdrop.Mask, "simdrop": simdrop}
    assert eval(repr(stream), names) == stream
    mask = simdrop.Mask((3, 4), 0.1, seed=2**64 - 1, stream=7, offset=61)
    assert eval(repr(mask), names) == mask
    assert eval(repr(simdrop.Mask((), 0.5, seed=1)), names) == simdrop.Mask((), 0.5, seed=1)


def test_spawn() -> None:
    parent = simdrop.Stream(11, 4)
    children = parent.spawn(3)
    assert [child.state for child in children] == [(reference.spawned_seed(11, s), 0) for s in (4, 5, 6)]
    assert parent.state == (11, 7), "each child takes a number, so no mask and no later child meets it"
    assert parent.spawn(0) == []
    assert parent.state == (11, 7)
    (late,) = parent.spawn(1)
    assert late not in children
    grandchildren = [g.seed for child in children for g in child.spawn(2)]
    assert len(set(grandchildren)) == 6


def test_the_numbers_end() -> None:
    stream = simdrop.Stream(1, END - 1)
    assert [stream.next(), stream.next()] == [END - 1, END]
    x = np.full(9, 3, np.float32)
    for _ in range(3):  # and does not start again
        with pytest.raises(OverflowError, match="stream"):
            stream.next()
        with pytest.raises(OverflowError, match="stream"):
            stream.spawn(1)
        with pytest.raises(OverflowError, match="stream"):
            simdrop.dropout_(x, 0.5, rng=stream)
    assert np.all(x == 3)
    assert pickle.loads(pickle.dumps(stream)) == stream, "an exhausted stream is saved like any other"
    with pytest.raises(OverflowError):
        simdrop.Stream(*stream.state).next()


def test_spawn_takes_all_or_nothing() -> None:
    stream = simdrop.Stream(1, END - 1)
    with pytest.raises(OverflowError, match="stream"):
        stream.spawn(3)
    assert stream.state == (1, END - 1)
    assert len(stream.spawn(2)) == 2
    with pytest.raises(OverflowError):
        stream.next()


def test_no_number_is_given_twice() -> None:
    stream = simdrop.Stream(1, 2**40)
    taken: list[list[int]] = [[] for _ in range(8)]

    def take(k: int) -> None:
        taken[k].extend(stream.next() for _ in range(5000))

    together(take, 8)
    assert sorted(n for part in taken for n in part) == list(range(2**40, 2**40 + 40_000))
    assert all(part == sorted(part) for part in taken), "and each thread sees them grow"
    assert stream.stream == 2**40 + 40_000


def test_no_number_is_given_twice_to_calls_of_any_kind() -> None:
    stream = simdrop.Stream(1)
    seen: list[list[int]] = [[] for _ in range(8)]
    x = np.ones(64, np.float32)

    def work(k: int) -> None:
        for _ in range(100):
            seen[k].append(stream.next())
            _, drawn = simdrop.dropout(x, 0.5, rng=stream, return_drawn=True)
            seen[k].append(drawn.mask.stream)
            stream.spawn(2)

    together(work, 8)
    numbers = [n for part in seen for n in part]
    assert len(set(numbers)) == len(numbers) == 1600
    assert stream.stream == 8 * 100 * 4


def test_mask_is_an_immutable_value() -> None:
    mask = simdrop.Mask((3, 4), 0.1, seed=5, stream=6, offset=7)
    same = simdrop.Mask([3, 4], np.float64(0.1), seed=np.int64(5), stream=np.uint64(6), offset=np.int32(7))
    assert mask == same
    assert hash(mask) == hash(same)
    assert len({mask, same}) == 1
    for name in ("shape", "p", "seed", "stream", "offset", "threshold", "scale", "size"):
        with pytest.raises(AttributeError):
            setattr(mask, name, 1)
    assert mask.shape == (3, 4)
    assert (mask.size, mask.ndim, len(mask)) == (12, 2, 3)
    assert (mask.p, mask.seed, mask.stream, mask.offset) == (0.1, 5, 6, 7)
    assert [type(v) for v in (mask.p, mask.seed, mask.stream, mask.offset)] == [float, int, int, int]
    assert simdrop.Mask(4, 0.1, seed=5).shape == (4,)


@pytest.mark.parametrize(
    "other",
    [
        {"shape": (4, 3)},
        {"shape": (12,)},
        {"p": 0.2},
        {"seed": 6},
        {"stream": 7},
        {"offset": 8},
    ],
    ids=str,
)
def test_masks_that_differ_are_unequal(other: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"shape": (3, 4), "p": 0.1, "seed": 5, "stream": 6, "offset": 7}
    assert simdrop.Mask(**arguments) != simdrop.Mask(**{**arguments, **other})
    assert simdrop.Mask(**arguments) != "Mask"
