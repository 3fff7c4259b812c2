"""A mask beside arrays: what NumPy makes of it, what it refuses, how elements share bits, how it is pickled."""

from __future__ import annotations

import json
import operator
import pickle
import pickletools
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import refused
from places import DATA

MASK = simdrop.Mask((2, 3), 0.4, seed=3)


def test_asarray_is_keep() -> None:
    found = np.asarray(MASK)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, MASK.keep())
    np.testing.assert_array_equal(np.array(MASK, np.float32), MASK.keep().astype(np.float32))
    np.testing.assert_array_equal(np.stack([MASK, MASK])[1], MASK.keep())
    assert np.asarray(simdrop.Mask((), 0.0, seed=1)).shape == ()
    np.testing.assert_array_equal(MASK.__array__(), MASK.keep())  # as NumPy 1 asks
    with pytest.raises(ValueError, match="copy"):
        MASK.__array__(copy=False)


@pytest.mark.parametrize("name", ["mul", "truediv", "add", "sub", "matmul", "and_", "or_", "xor", "imul", "iadd"])
def test_arithmetic_says_what_to_write(name: str) -> None:
    work = getattr(operator, name)
    x = np.ones((2, 3))
    for a, b in ((x, MASK), (MASK, x), (MASK, MASK), (2.0, MASK), (np.float32(2), MASK)):
        with pytest.raises(TypeError, match=r"mask\.apply\(x\)"):
            work(a, b)
    np.testing.assert_array_equal(x, np.ones((2, 3)))
    with pytest.raises(TypeError, match=r"mask\.keep\(\)"):
        operator.invert(MASK)
    with pytest.raises(TypeError, match=r"mask\.apply\(x\)"):
        np.multiply(x, MASK)


def test_a_missing_seed_names_the_class() -> None:
    with pytest.raises(TypeError, match=r"^Mask\.__init__\(\) missing .* 'seed'$"):
        simdrop.Mask(2, 0.5)  # type: ignore[call-arg]


@pytest.mark.parametrize("dims", [0, np.int64(0), [0], (0,), np.array([0]), np.array(0), -2, range(1)], ids=repr)
def test_broadcast_dims_of_one_dimension(dims: Any) -> None:
    assert simdrop.Mask((4, 5), 0.5, seed=1, broadcast_dims=dims).noise_shape == (1, 5)
    _, drawn = simdrop.dropout(np.ones((4, 5)), 0.5, rng=1, broadcast_dims=dims, return_drawn=True)
    assert drawn.mask.noise_shape == (1, 5)


@pytest.mark.parametrize("dims", [[0, 1], np.array([0, 1]), np.array([-1, 0])], ids=repr)
def test_broadcast_dims_of_two_dimensions(dims: Any) -> None:
    assert simdrop.Mask((4, 5), 0.5, seed=1, broadcast_dims=dims).noise_shape == (1, 1)
    _, drawn = simdrop.dropout(np.ones((4, 5)), 0.5, rng=1, broadcast_dims=dims, return_drawn=True)
    assert drawn.mask.noise_shape == (1, 1)


@pytest.mark.parametrize("dims", [(), [], np.array([], int)], ids=repr)
def test_no_broadcast_dims(dims: Any) -> None:
    assert simdrop.Mask((4, 5), 0.5, seed=1, broadcast_dims=dims).noise_shape == (4, 5)


@pytest.mark.parametrize("dims", [None, "0", b"0", 0.0, [0.5], np.array([0.0]), [None]], ids=repr)
def test_broadcast_dims_that_are_none(dims: Any) -> None:
    refused(lambda: simdrop.Mask((4, 5), 0.5, seed=1, broadcast_dims=dims), TypeError, "broadcast_dims")
    refused(lambda: simdrop.dropout(np.ones((4, 5)), 0.5, rng=1, broadcast_dims=dims), TypeError, "broadcast_dims")


def test_one_way_to_say_it() -> None:
    refused(
        lambda: simdrop.Mask((4, 5), 0.5, seed=1, noise_shape=(1, 5), broadcast_dims=0), ValueError, "broadcast_dims"
    )


def names_in(pickled: bytes) -> set[str]:
    """The modules and names that a pickle of protocol 0 to 3 looks up."""
    return {str(argument) for code, argument, _ in pickletools.genops(pickled) if code.name == "GLOBAL"}


@pytest.mark.parametrize("noise_shape", [None, (None, 1)])
def test_pickles_name_the_public_path(noise_shape: Any) -> None:
    mask = simdrop.Mask((2, 3), 0.4, seed=2**64 - 1, stream=5, offset=7, noise_shape=noise_shape)
    assert names_in(pickle.dumps(mask, 2)) == {"simdrop Mask"}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(mask, protocol)) == mask
    assert names_in(pickle.dumps(simdrop.Stream(1), 2)) == {"simdrop Stream"}


def test_a_pickle_is_checked_when_it_is_loaded() -> None:
    broken = pickle.dumps(MASK, 2).replace(b"G" + bytes.fromhex("3fd999999999999a"), b"G" + bytes.fromhex("4000" * 4))
    with pytest.raises(ValueError, match="p:"):
        pickle.loads(broken)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mask", simdrop.Mask((3, 4), 0.1, seed=2**64 - 1, stream=7, offset=61)),
        ("public_mask", simdrop.Mask((3, 4), 0.1, seed=2**64 - 1, stream=7, offset=61)),
        ("public_shared_mask", simdrop.Mask((3, 4), 0.1, seed=1, noise_shape=(1, 4))),
    ],
)
def test_golden_pickles(name: str, expected: Any) -> None:
    stored = bytes.fromhex(json.loads((DATA / "pickles_v1.json").read_text())[name])
    assert pickle.loads(stored) == expected
