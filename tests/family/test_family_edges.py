"""The family at its edges: p = 0 and 1, empty and 0-d arrays, NaN where something is dropped, wrong ranks, streams."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import reference
import simdrop
from family_cases import SEED
from helpers import assert_same_bits, ordinary, refused

# Members of one array in, one array out: how to call them, the ranks they take, and a shape.
UNARY: tuple[tuple[str, Callable[..., Any], tuple[int, ...], bool], ...] = (
    ("dropout", simdrop.dropout, (4, 6), True),
    ("broadcast_dims", lambda x, p, **o: simdrop.dropout(x, p, broadcast_dims=(0,), **o), (4, 6), False),
    ("dropout1d", simdrop.dropout1d, (4, 3, 5), False),
    ("dropout2d", simdrop.dropout2d, (4, 3, 5, 2), False),
    ("dropout3d", simdrop.dropout3d, (4, 3, 5, 2, 2), False),
    ("feature_dropout", simdrop.feature_dropout, (4, 3, 5), False),
    ("drop_path", simdrop.drop_path, (4, 6), False),
    ("attention_dropout", simdrop.attention_dropout, (2, 4, 6), False),
    ("alpha_dropout", simdrop.alpha_dropout, (4, 6), True),
    ("feature_alpha_dropout", simdrop.feature_alpha_dropout, (4, 6, 2), False),
    ("locked_dropout", simdrop.locked_dropout, (4, 6, 2), False),
    ("weight_drop", simdrop.weight_drop, (4, 6), False),
    ("drop_block2d", lambda x, p, **o: simdrop.drop_block2d(x, p, 1, **o), (2, 3, 6, 6), False),
    ("drop_block3d", lambda x, p, **o: simdrop.drop_block3d(x, p, 1, **o), (2, 3, 4, 4, 4), False),
)
unary = pytest.mark.parametrize(("name", "call", "shape", "any_rank"), UNARY, ids=[u[0] for u in UNARY])
ODD = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0])


@unary
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_p_0_keeps_the_bits_and_p_1_clears_them(
    isa: str, name: str, call: Any, shape: tuple[int, ...], any_rank: bool, dtype: str
) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    x = np.resize(ODD, shape).astype(kind)
    assert_same_bits(call(x, 0.0, rng=SEED), x)
    assert_same_bits(call(x, 1.0, rng=SEED), np.zeros_like(x))
    assert_same_bits(call(x, 0.5, rng=SEED, training=False), x)


@unary
def test_dropped_places_are_zero_whatever_was_there(
    isa: str, name: str, call: Any, shape: tuple[int, ...], any_rank: bool
) -> None:
    ones, drawn = call(np.ones(shape, np.float32), 0.5, rng=SEED, return_drawn=True)
    keep = getattr(drawn, "mask", drawn).keep()
    x = np.where(keep, np.float32(1), np.float32(np.nan))
    assert_same_bits(call(x, 0.5, rng=SEED), ones)
    assert np.isfinite(ones).all()


@unary
def test_empty_and_wrong_ranks(name: str, call: Any, shape: tuple[int, ...], any_rank: bool) -> None:
    assert call(np.empty((0, *shape[1:])), 0.5, rng=SEED).shape == (0, *shape[1:])
    assert call(np.empty((*shape[:-1], 0)), 0.5, rng=SEED).shape == (*shape[:-1], 0)
    point = np.array(1.0)
    if any_rank:
        assert call(point, 0.5, rng=SEED).shape == ()
    else:
        refused(lambda: call(point, 0.5, rng=SEED), ValueError, "x|weight|weights|broadcast_dims", "accepted")


@unary
def test_a_stream_moves_by_one_and_only_when_something_is_drawn(
    name: str, call: Any, shape: tuple[int, ...], any_rank: bool
) -> None:
    x = np.ones(shape)
    stream = simdrop.Stream(5)
    first = call(x, 0.5, rng=stream)
    assert stream.stream == 1
    call(x, 0.5, rng=stream, training=False)
    for bad in (1.5, math.nan, "a"):
        with pytest.raises((TypeError, ValueError), match="p"):
            call(x, bad, rng=stream)
    with pytest.raises(TypeError, match="dtype"):
        call(x.astype(np.int64), 0.5, rng=stream)
    assert stream.stream == 1
    again, drawn = call(x, 0.5, rng=simdrop.Stream(5), return_drawn=True)
    assert_same_bits(again, first)
    assert_same_bits(drawn.apply(x), first)


RANKS = (
    (simdrop.dropout1d, "x", (2,)),
    (simdrop.dropout2d, "x", (2, 3)),
    (simdrop.dropout3d, "x", (2, 3, 4)),
    (simdrop.feature_dropout, "x", (2,)),
    (simdrop.feature_alpha_dropout, "x", (2,)),
    (simdrop.locked_dropout, "x", (2, 3)),
    (simdrop.drop_block2d, "x", (2, 3, 4)),
    (simdrop.drop_block3d, "x", (2, 3, 4, 5)),
    (simdrop.weight_drop, "weight", (2, 3, 4)),
    (simdrop.attention_dropout, "weights", (2,)),
    (simdrop.patch_dropout, "x", (2,)),
    (simdrop.concrete_dropout, "p", (2,)),
)


@pytest.mark.parametrize(("function", "argument", "shape"), RANKS[:-1], ids=[r[0].__name__ for r in RANKS[:-1]])
def test_wrong_ranks_are_refused_by_name(function: Any, argument: str, shape: tuple[int, ...]) -> None:
    refused(lambda: function(np.ones(shape), 0.5), ValueError, argument, r"got shape", "accepted")


def test_shared_masks_are_values() -> None:
    mask = simdrop.Mask((4, 6), 0.5, seed=1, noise_shape=(None, 1))
    assert mask.noise_shape == (4, 1)
    assert mask == simdrop.Mask((4, 6), 0.5, seed=1, broadcast_dims=(1,))
    assert mask != simdrop.Mask((4, 6), 0.5, seed=1)
    assert eval(repr(mask)) == mask
    assert pickle.loads(pickle.dumps(mask)) == mask
    assert simdrop.Mask((4, 6), 0.5, seed=1, noise_shape=(4, None)) == simdrop.Mask((4, 6), 0.5, seed=1)
    refused(mask.ravel, ValueError, "ravel")
    for wrong in ((2, 1), (1,), (1, 1, 1)):
        refused(lambda wrong=wrong: simdrop.Mask((4, 6), 0.5, seed=1, noise_shape=wrong), ValueError, "noise_shape")  # type: ignore[misc]
    refused(lambda: simdrop.Mask((4, 6), 0.5, seed=1, noise_shape=(1.0, 1)), TypeError, "noise_shape")  # type: ignore[arg-type]
    refused(lambda: simdrop.dropout(np.ones(3), broadcast_dims=(1,)), ValueError, "broadcast_dims")
    refused(lambda: simdrop.dropout(np.ones(3), broadcast_dims="a"), TypeError, "broadcast_dims")  # type: ignore[arg-type]
    refused(
        lambda: simdrop.dropout(np.ones((3, 2)), broadcast_dims=(1,), noise_shape=(None, 1)),
        ValueError,
        "broadcast_dims",
    )


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_the_expectation_stays(p: float) -> None:
    n = 1_000_000
    # The mean of n kept-or-not values of variance p / (1 - p): six standard deviations.
    bound = 6 * math.sqrt(p / (1 - p) / n)
    x = np.ones((1000, 1000))
    assert abs(simdrop.dropout(x, p, rng=SEED).mean() - 1) < bound
    assert abs(simdrop.gaussian_dropout(x, p, rng=SEED).mean() - 1) < bound
    assert abs(simdrop.bias_dropout_add(x, x[0], x, p, rng=SEED).mean() - 3) < 2 * bound
    assert abs(simdrop.attention_dropout(x, p, rng=SEED).mean() - 1) < bound
    assert abs(simdrop.zoneout(x, 0 * x, p, rng=SEED).mean() - (1 - p)) < 6 * math.sqrt(p * (1 - p) / n)
    few = 6 * math.sqrt(p / (1 - p) / 1000)
    assert abs(simdrop.drop_path(x, p, rng=SEED).mean() - 1) < few
    assert abs(simdrop.weight_drop(x, p, rng=SEED, variational=True).mean() - 1) < few
    y = simdrop.drop_block2d(np.ones((50, 20, 20, 20)), p, 3, rng=SEED)
    assert y.mean() == pytest.approx(1, rel=1e-12)  # normalised by what is left


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_alpha_dropout_keeps_mean_and_variance(isa: str, p: float) -> None:
    n = 1_000_000
    x = simdrop.normal(n, rng=SEED)
    x = (x - x.mean()) / x.std()
    y = simdrop.alpha_dropout(x, p, rng=SEED + 1)
    # The fourth moment of the result bounds the spread of its variance; it is below 10 for these p.
    assert abs(y.mean()) < 6 / math.sqrt(n)
    assert abs(y.var() - 1) < 6 * math.sqrt(10 / n)


def test_inference_by_expectation() -> None:
    x, weight, bias = ordinary(12, "float64").reshape(4, 3), ordinary(6, "float64").reshape(2, 3), np.ones(2)
    plain = x @ weight.T + bias
    np.testing.assert_allclose(simdrop.drop_connect(x, weight, bias, 0.25, training=False), plain)
    classic = simdrop.drop_connect(x, weight, bias, 0.25, training=False, scaling="classic")
    np.testing.assert_allclose(classic, 0.75 * x @ weight.T + bias)
    assert_same_bits(simdrop.drop_path(x, 0.25, training=False, scaling="classic"), 0.75 * x)
    np.testing.assert_allclose(simdrop.zoneout(x, -x, 0.25, training=False), 0.25 * -x + 0.75 * x)


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_moments_of_drop_connect(scaling: Any) -> None:
    x, weight, bias = ordinary(6, "float64").reshape(2, 3), ordinary(12, "float64", 2).reshape(4, 3), np.ones(4)
    mean, variance = simdrop.drop_connect_moments(x, weight, bias, 0.3, scaling=scaling)
    stream = simdrop.Stream(SEED)
    n = 20_000
    draws = np.stack([simdrop.drop_connect(x, weight, bias, 0.3, rng=stream, scaling=scaling) for _ in range(n)])
    assert (np.abs(draws.mean(axis=0) - mean) < 6 * np.sqrt(variance / n)).all()
    # A sum of three independent terms has a kurtosis below 6 here.
    assert (np.abs(draws.var(axis=0) - variance) < 6 * variance * math.sqrt(5 / n)).all()
    many = np.stack(
        [
            simdrop.drop_connect(x, weight, bias, 0.3, rng=s, training=False, inference="gaussian", scaling=scaling)
            for s in range(2000)
        ]
    )
    assert (np.abs(many.mean(axis=0) - mean) < 6 * np.sqrt(variance / 2000)).all()
    assert (np.abs(many.var(axis=0) - variance) < 6 * variance * math.sqrt(2 / 2000)).all()


def test_concrete_dropout_has_a_gradient_for_p() -> None:
    x, weights = ordinary(40, "float64"), ordinary(40, "float64", 2)

    def loss(p: float) -> float:
        return float((simdrop.concrete_dropout(x, p, temperature=0.5, rng=SEED) * weights).sum())

    _, mask = simdrop.concrete_dropout(x, 0.3, temperature=0.5, rng=SEED, return_drawn=True)
    numeric = (loss(0.3 + 1e-6) - loss(0.3 - 1e-6)) / 2e-6
    assert mask.backward(weights, x)[1] == pytest.approx(numeric, rel=1e-6)
    assert_same_bits(simdrop.concrete_dropout(x, 0.0), x)
    assert_same_bits(simdrop.concrete_dropout(x, 1.0), np.zeros_like(x))
    refused(lambda: simdrop.concrete_dropout(x, 0.5, temperature=0), ValueError, "temperature")
    assert eval(repr(mask)) == mask
    assert pickle.loads(pickle.dumps(mask)) == mask


def test_patch_dropout_keeps_a_fixed_number_in_order() -> None:
    x = np.arange(200).reshape(2, 100, 1)
    y, mask = simdrop.patch_dropout(x, 0.25, num_prefix_tokens=3, rng=SEED, return_drawn=True)
    assert y.shape == (2, 3 + 72, 1)
    assert (np.diff(y[:, :, 0], axis=1) > 0).all()
    assert (y[0, :3, 0] == [0, 1, 2]).all()
    loose = simdrop.patch_dropout(x, 0.25, num_prefix_tokens=3, ordered=False, rng=SEED)
    assert (np.sort(loose, axis=1) == y).all()
    assert not (loose == y).all()
    assert simdrop.patch_dropout(x, 1.0, rng=SEED).shape == (2, 2, 1)
    assert simdrop.patch_dropout(x, 0.0, rng=SEED).shape == x.shape
    assert simdrop.patch_dropout(np.ones((1, 101, 1)), 0.9, rng=SEED).shape == (1, 11, 1)  # not 9.99... tokens
    whole, everything = simdrop.patch_dropout(x, 0.5, training=False, return_drawn=True)
    assert not np.shares_memory(whole, x)
    np.testing.assert_array_equal(whole, x)
    np.testing.assert_array_equal(everything.backward(whole), x)
    assert simdrop.patch_dropout(np.empty((0, 5, 2)), 0.5, rng=SEED).shape == (0, 3, 2)
    assert eval(repr(mask)) == mask
    assert pickle.loads(pickle.dumps(mask)) == mask
    refused(lambda: simdrop.patch_dropout(x, 0.5, num_prefix_tokens=101), ValueError, "x")


def test_two_inputs_must_fit() -> None:
    x = np.ones((3, 4), np.float32)
    stream = simdrop.Stream(1)
    fused = simdrop.bias_dropout_add
    refused(lambda: fused(x, np.ones(3, np.float32), x, rng=stream), ValueError, "bias", "shape")
    refused(lambda: fused(x, np.ones(4), x, rng=stream), ValueError, "bias", "dtype")
    refused(lambda: fused(x, None, x[:2], rng=stream), ValueError, "residual", "shape")
    refused(lambda: fused(x, None, x.astype(np.float64), rng=stream), ValueError, "residual", "dtype")
    refused(lambda: simdrop.zoneout(x, x[0], rng=stream), ValueError, "previous", "shape")
    refused(lambda: simdrop.drop_connect(x, x[:, :2], rng=stream), ValueError, "weight", "inputs")
    overlapping = np.ones(13, np.float32)
    refused(
        lambda: fused(x.ravel(), None, overlapping[:12], rng=stream, out=overlapping[1:]), ValueError, "out", "overlap"
    )
    assert stream.stream == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_fused_is_its_definition(isa: str, dtype: str) -> None:
    x, residual = ordinary(660, dtype).reshape(60, 11), ordinary(660, dtype, 2).reshape(60, 11)
    bias = ordinary(11, dtype, 3)
    wide = [reference.widen(a) for a in (x, bias, residual)]
    keep = reference.keep(x.size, 0.3, SEED).reshape(x.shape)
    scale = wide[0].dtype.type(1 / reference.keep_probability(0.3))
    for given, total in ((bias, wide[0] + wide[1]), (None, wide[0])):
        expected = wide[2] + np.where(keep, total * scale, total.dtype.type(0))
        narrow = reference.narrow(expected.ravel(), x.dtype).reshape(x.shape)
        assert_same_bits(simdrop.bias_dropout_add(x, given, residual, 0.3, rng=SEED), narrow)
        for target in (x.copy(), residual.copy()):
            same_x = target if np.array_equal(target, x) else x
            same_residual = target if same_x is x else residual
            simdrop.bias_dropout_add(same_x, given, same_residual, 0.3, rng=SEED, out=target)
            assert_same_bits(target, narrow, "into an input")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_rows_of_an_embedding_lie_anywhere(dtype: str) -> None:
    """Rows and columns with gaps and backwards, a word that stands twice, on one thread and two: as dense ones."""
    whole = np.arange(1, 1 + 20 * 70, dtype=dtype).reshape(20, 70)
    words = np.array([[0, 9, 3], [3, 3, 1]], np.uint8)
    for weight in (whole[::2], whole[:10, ::-1], whole.T[:10]):
        for threads in (1, 2):
            y, drawn = simdrop.embedding_dropout(words, weight, 0.3, rng=5, return_drawn=True, threads=threads)
            kept = drawn.mask.keep()
            exact = weight[words].astype(np.float64 if dtype == "float64" else np.float32)
            wanted = np.where(kept[words][..., None], exact * exact.dtype.type(drawn.scale), 0)
            np.testing.assert_array_equal(y, wanted.astype(dtype))
            total = np.zeros_like(np.ascontiguousarray(weight))
            np.add.at(total, words, (wanted != 0) * np.asarray(drawn.scale, dtype))
            np.testing.assert_array_equal(drawn.backward(np.ones_like(y), words, threads=threads), total)


def test_patches_of_an_array_with_gaps() -> None:
    """Tokens of a slice, which is no list of rows, and of arrays without elements."""
    x = np.arange(3 * 20 * 4.0).reshape(3, 20, 4)[:, ::2]
    for ordered in (True, False):
        y, drawn = simdrop.patch_dropout(x, 0.5, rng=2, ordered=ordered, return_drawn=True)
        np.testing.assert_array_equal(y, np.take_along_axis(x, drawn.indices()[..., None], axis=1))
        np.testing.assert_array_equal(y, simdrop.patch_dropout(x.copy(), 0.5, rng=2, ordered=ordered))
    assert simdrop.patch_dropout(np.empty((0, 5, 2)), 0.5, rng=1).shape == (0, 3, 2)
    assert simdrop.patch_dropout(np.empty((2, 5, 0)), 0.5, rng=1).shape == (2, 3, 0)


@pytest.mark.parametrize("shared_channels", [False, True])
@pytest.mark.parametrize("shape", [(4, 0, 8, 8), (0, 3, 8, 8), (4, 3, 0, 8)])
def test_blocks_of_nothing(shape: tuple[int, ...], shared_channels: bool) -> None:
    x = np.ones(shape, np.float32)
    y, drawn = simdrop.drop_block2d(x, 0.3, 3, shared_channels=shared_channels, rng=SEED, return_drawn=True)
    assert y.shape == drawn.keep().shape == drawn.backward(y).shape == shape
