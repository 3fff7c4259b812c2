"""What members accept, what they refuse and by which name, and what all of them have in common."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import simdrop
from helpers import assert_same_bits
from member_rows import ROWS, SEED

ONES = np.ones((3, 4))
# Members whose result has the shape of their (first) input.
SAME_SHAPE = sorted(
    set(ROWS)
    - {"drop_connect", "scaled_dot_product_attention", "embedding_dropout", "patch_dropout", "monte_carlo_dropout"}
)


def inputs_of(name: str) -> dict[str, Any]:
    row = ROWS[name]
    return {**row.fixed, **{key: np.ones(shape) for key, shape in row.inputs.items()}}


def refused(call: Callable[[], object], error: type[Exception], argument: str, *pieces: str) -> None:
    """The message begins with the argument; in it are what came and what is accepted."""
    with pytest.raises(error, match=rf"^{argument}: ") as caught:
        call()
    assert all(piece in str(caught.value) for piece in pieces), caught.value


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("wrong", [[1.0, 2.0], ONES.astype(int), None, "text"], ids=["list", "int", "None", "str"])
def test_what_is_no_array_is_refused_by_name(name: str, wrong: Any) -> None:
    for key in ROWS[name].inputs:
        if (key == "bias" and wrong is None) or (name == "patch_dropout" and isinstance(wrong, np.ndarray)):
            continue  # no bias; tokens of any dtype
        given = {**inputs_of(name), key: wrong}
        refused(lambda given=given: getattr(simdrop, name)(**given, rng=SEED), TypeError, key, "accepted")  # type: ignore[misc]
        if "training" in inspect.signature(getattr(simdrop, name)).parameters:
            refused(lambda given=given: getattr(simdrop, name)(**given, training=False), TypeError, key, "accepted")  # type: ignore[misc]


@pytest.mark.parametrize("name", ROWS)
def test_masked_arrays_are_refused_by_name(name: str) -> None:
    for key, x in inputs_of(name).items():
        masked = np.ma.masked_array(x, mask=np.zeros(x.shape, bool))
        given = {**inputs_of(name), key: masked}
        refused(lambda given=given: getattr(simdrop, name)(**given, rng=SEED), TypeError, key, "MaskedArray", "filled")  # type: ignore[misc]
    refused(lambda: simdrop.Mask((3, 4), 0.5, seed=1).apply(np.ma.masked_array(ONES)), TypeError, "x", "MaskedArray")


@pytest.mark.parametrize("name", ROWS)
def test_p_is_checked_in_inference_too(name: str) -> None:
    parameters = inspect.signature(getattr(simdrop, name)).parameters
    modes = (True, False) if "training" in parameters else (None,)
    key = "sd" if "sd" in parameters else "p"
    for wrong in (50, -1, math.nan):
        for mode in modes:
            given = {**inputs_of(name), key: -1 if key == "sd" else wrong}
            if mode is not None:
                given["training"] = mode
            refused(lambda given=given: getattr(simdrop, name)(**given), ValueError, key, "accepted")  # type: ignore[misc]


def test_two_inputs_have_one_dtype_and_their_names() -> None:
    single = ONES.astype(np.float32)
    refused(lambda: simdrop.zoneout(single, ONES), ValueError, "previous", "dtype float64")
    refused(lambda: simdrop.zoneout(single, ONES, training=False), ValueError, "previous", "dtype float64")
    for p in (0.0, 0.5, 1.0):
        refused(lambda p=p: simdrop.zoneout(ONES, ONES[:2], p, training=False), ValueError, "previous", "shape (2, 4)")  # type: ignore[misc]
    refused(lambda: simdrop.drop_connect(single, single, np.ones(3)), ValueError, "bias", "dtype float64")
    refused(lambda: simdrop.drop_connect(single, ONES), ValueError, "weight", "dtype float64")
    refused(lambda: simdrop.drop_connect(ONES, ONES, np.ones(4)), ValueError, "bias", "shape (4,)")
    attention = simdrop.scaled_dot_product_attention
    refused(lambda: attention(ONES, single, ONES), ValueError, "k", "dtype float32")
    refused(lambda: attention(ONES, ONES, single), ValueError, "v", "dtype float32")
    refused(lambda: attention(ONES, ONES, ONES, attn_mask=[[True]]), TypeError, "attn_mask")  # type: ignore[call-overload]
    refused(lambda: attention(ONES, ONES, ONES, attn_mask=np.ones((3, 3), int)), TypeError, "attn_mask", "int64")
    refused(lambda: attention(ONES, ONES, ONES, attn_mask=np.ones((2, 3))), ValueError, "attn_mask", "shape (2, 3)")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_attention_and_dense_layers_keep_the_dtype(dtype: str) -> None:
    x = np.ones((3, 4), ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    y, drawn = simdrop.scaled_dot_product_attention(x, x, x, 0.5, rng=SEED, return_drawn=True)
    assert [a.dtype for a in (y, *drawn.backward(y, x, x, x))] == [x.dtype] * 4
    for options in ({}, {"per_sample": True}, {"training": False}, {"training": False, "inference": "gaussian"}):
        y, connect = simdrop.drop_connect(x, x, x[:, 0], 0.5, rng=SEED, return_drawn=True, **options)
        assert [a.dtype for a in (y, *connect.backward(y, x, x)) if a is not None] == [x.dtype] * 4


def test_drop_block_follows_gamma() -> None:
    x = np.ones((4, 8, 14, 14))
    for wrong in (math.nan, math.inf, -1.0):
        for p in (0.0, 0.3):
            for training in (True, False):
                refused(
                    lambda wrong=wrong, p=p, training=training: simdrop.drop_block2d(  # type: ignore[misc]
                        x, p, gamma_scale=wrong, training=training
                    ),
                    ValueError,
                    "gamma_scale",
                    "accepted: a finite number of 0 and above",
                )
    # with p = 1 a block starts with probability gamma = 14 14 / (7 7 8 8), as torchvision has it
    dropped = (simdrop.drop_block2d(x, 1.0, 7, rng=SEED) == 0).mean()
    starts = 14 * 14 / (7 * 7 * 8 * 8)
    assert starts == pytest.approx(1 / 16)
    corners = np.arange(14)
    covering = np.minimum.reduce([corners + 1, 14 - corners, np.full(14, 7)])  # places whose block covers a row
    expected = 1 - ((1 - starts) ** np.outer(covering, covering)).mean()
    assert dropped == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("wrong", [-1, 5, 2**40])
def test_indices_are_those_of_words(wrong: int) -> None:
    weight = np.ones((5, 2))
    drawn = simdrop.EmbeddingDrawn(simdrop.Mask(5, 0.5, seed=1))
    for training in (True, False):
        with pytest.raises(IndexError, match=rf"^indices: got .*{wrong}.*; accepted: 0 to 4$"):
            simdrop.embedding_dropout(np.array([0, wrong]), weight, training=training)
    with pytest.raises(IndexError, match=r"^indices: "):
        drawn.backward(np.ones((2, 2)), np.array([0, wrong]))
    assert simdrop.embedding_dropout(np.empty((0, 3), int), weight).shape == (0, 3, 2)


@pytest.mark.parametrize(
    ("tokens", "p", "stay"), [(100, 0.9, 10), (10, 0.7, 3), (100, 0.55, 45), (7, 0.5, 3), (3, 1, 1)]
)
def test_patch_dropout_keeps_the_number_that_is_meant(tokens: int, p: float, stay: int) -> None:
    y = simdrop.patch_dropout(np.ones((2, tokens)), p, num_prefix_tokens=0, rng=SEED)
    assert y.shape == (2, stay)


def test_normal_names_its_dtype() -> None:
    refused(lambda: simdrop.normal(3, dtype=int), TypeError, "dtype", "int64")


@pytest.mark.parametrize("name", SAME_SHAPE)
def test_members_have_the_common_keywords(name: str) -> None:
    parameters = inspect.signature(getattr(simdrop, name)).parameters
    common = {"rng", "training", "threads", "return_drawn"} | (set() if name == "dropout_" else {"out"})
    assert common <= set(parameters)
    assert all(parameters[key].kind is inspect.Parameter.KEYWORD_ONLY for key in common)
    if name == "dropout_":
        return
    member, given = getattr(simdrop, name), inputs_of(name)
    x = next(iter(given.values()))
    for training in (True, False):
        out = np.full_like(x, 7)
        wanted = member(**given, rng=SEED, training=training)
        assert wanted.shape == x.shape
        assert not np.shares_memory(wanted, x)
        assert member(**given, rng=SEED, training=training, out=out, threads=2) is out
        assert_same_bits(out, wanted)
        refused(lambda training=training: member(**given, training=training, threads=0), ValueError, "threads")  # type: ignore[misc]
        out = np.full((7, *x.shape), 7.0)
        stream = simdrop.Stream(SEED)
        refused(
            lambda training=training, out=out, stream=stream: member(**given, training=training, out=out, rng=stream),  # type: ignore[misc]
            ValueError,
            "out",
        )
        assert (out == 7).all()
        assert stream.stream == 0, "a call that fails draws nothing"


@pytest.mark.parametrize("name", ROWS)
def test_inference_returns_what_training_returns(name: str) -> None:
    member, given = getattr(simdrop, name), inputs_of(name)
    if "training" not in inspect.signature(member).parameters:
        return
    y, drawn = member(**given, rng=SEED, training=True, return_drawn=True)
    plain, inferred = member(**given, rng=SEED, training=False, return_drawn=True)
    assert type(y) is type(plain)
    assert type(drawn) is type(inferred)
    if name != "dropout_":
        assert not any(np.shares_memory(plain, x) for x in given.values())


def test_shares_in_place() -> None:
    x = np.ones((4, 6))
    for options in ({"noise_shape": (None, 1)}, {"broadcast_dims": 1}, {"broadcast_dims": (1,)}):
        y = x.copy()
        assert simdrop.dropout_(y, 0.5, rng=simdrop.Stream(SEED), **options) is y
        assert_same_bits(y, simdrop.dropout(x, 0.5, rng=SEED, noise_shape=(None, 1)))
        z = simdrop.alpha_dropout(x, 0.5, rng=SEED, **options)
        assert (z == z[:, :1]).all()
