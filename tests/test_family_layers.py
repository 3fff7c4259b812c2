"""Layers: forward and backward are those of the functions, training and inference, schedules, saving and restoring."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import assert_same_bits
from simdrop import layers, schedules

WEIGHT = np.random.default_rng(1).standard_normal((3, 5))
INDICES = np.array([0, 2, 2])
LAYERS: tuple[tuple[str, Callable[[Any], layers.Layer], tuple[int, ...] | None, tuple[tuple[int, ...], ...]], ...] = (
    ("Dropout", lambda p: layers.Dropout(p, rng=7), (4, 5), ()),
    ("Dropout, classic", lambda p: layers.Dropout(p, scaling="classic", rng=7), (4, 5), ()),
    ("Dropout, shared", lambda p: layers.Dropout(p, broadcast_dims=(0,), rng=7), (4, 5), ()),
    ("SpatialDropout", lambda p: layers.SpatialDropout(p, rng=7), (4, 5, 2), ()),
    ("SpatialDropout, 2", lambda p: layers.SpatialDropout(p, spatial=2, rng=7), (4, 5, 2, 2), ()),
    ("DropPath", lambda p: layers.DropPath(p, rng=7), (4, 5), ()),
    ("DropPath, unscaled", lambda p: layers.DropPath(p, scale_by_keep=False, rng=7), (4, 5), ()),
    ("AlphaDropout", lambda p: layers.AlphaDropout(p, rng=7), (4, 5), ()),
    ("AlphaDropout, features", lambda p: layers.AlphaDropout(p, features=True, rng=7), (4, 5, 2), ()),
    ("GaussianDropout", lambda p: layers.GaussianDropout(p, rng=7), (4, 5), ()),
    ("GaussianNoise", lambda p: layers.GaussianNoise(p, rng=7), (4, 5), ()),
    ("DropBlock", lambda p: layers.DropBlock(p, block_size=2, rng=7), (2, 3, 5, 5), ()),
    ("DropBlock, 3", lambda p: layers.DropBlock(p, block_size=2, rng=7), (2, 3, 4, 4, 4), ()),
    ("LockedDropout", lambda p: layers.LockedDropout(p, rng=7), (4, 5, 2), ()),
    ("PatchDropout", lambda p: layers.PatchDropout(p, rng=7), (2, 7, 2), ()),
    ("ConcreteDropout", lambda p: layers.ConcreteDropout(p, temperature=0.5, rng=7), (4, 5), ()),
    ("AttentionDropout", lambda p: layers.AttentionDropout(p, rng=7), (4, 5), ()),
    ("DropConnect", lambda p: layers.DropConnect(WEIGHT, np.ones(3), p, rng=7), (4, 5), ()),
    ("DropConnect, per sample", lambda p: layers.DropConnect(WEIGHT, None, p, per_sample=True, rng=7), (4, 5), ()),
    ("WeightDrop", lambda p: layers.WeightDrop(p, rng=7), (4, 5), ()),
    ("EmbeddingDropout", lambda p: layers.EmbeddingDropout(WEIGHT, p, rng=7), None, ()),
    ("Zoneout", lambda p: layers.Zoneout(p, rng=7), (4, 5), ((4, 5),)),
    ("BiasDropoutAdd", lambda p: layers.BiasDropoutAdd(p, rng=7), (4, 5), ((5,), (4, 5))),
)
NAMES = {"Zoneout": ("previous",), "BiasDropoutAdd": ("bias", "residual")}
each = pytest.mark.parametrize(("name", "make", "shape", "more"), LAYERS, ids=[case[0] for case in LAYERS])


def inputs(name: str, shape: tuple[int, ...] | None, more: tuple[tuple[int, ...], ...]) -> tuple[Any, dict[str, Any]]:
    rng = np.random.default_rng(2)
    x = INDICES if shape is None else rng.standard_normal(shape)
    return x, {key: rng.standard_normal(size) for key, size in zip(NAMES.get(name, ()), more, strict=True)}


def first(gradient: Any) -> Any:
    return gradient[0] if isinstance(gradient, tuple) else gradient


@each
@pytest.mark.parametrize("training", [True, False])
def test_backward_is_the_derivative(name: str, make: Any, shape: Any, more: Any, training: bool) -> None:
    x, others = inputs(name, shape, more)
    layer = make(0.4).train(training)
    saved = layer.state_dict()
    y = layer(x, **others)
    weights = np.random.default_rng(3).standard_normal(y.shape)
    gradient = first(layer.backward(weights))
    target = WEIGHT if shape is None else x
    assert gradient.shape == target.shape

    def loss() -> float:
        layer.load_state_dict(saved)
        return float((layer(x, **others) * weights).sum())

    for i in list(np.ndindex(target.shape))[:12]:
        before = target[i]
        target[i] = before + 1e-5
        up = loss()
        target[i] = before - 1e-5
        down = loss()
        target[i] = before
        assert gradient[i] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-7)


@each
def test_it_resumes_bit_exactly(name: str, make: Any, shape: Any, more: Any) -> None:
    x, others = inputs(name, shape, more)
    schedule = schedules.Linear(0.1, 0.6, 5)
    layer = make(schedule)
    layer(x, **others)
    layer(x, **others)
    saved = pickle.loads(pickle.dumps(layer.state_dict()))
    assert all(isinstance(value, int) for value in saved.values())
    rest = [layer(x, **others) for _ in range(3)]
    other = make(schedule)
    other.load_state_dict(saved)
    for expected in rest:
        assert_same_bits(np.asarray(other(x, **others)), np.asarray(expected))
    assert other.state_dict() == layer.state_dict()


@each
def test_inference_draws_nothing(name: str, make: Any, shape: Any, more: Any) -> None:
    x, others = inputs(name, shape, more)
    layer = make(0.4)
    assert layer.eval() is layer
    before = layer.state_dict()
    a, b = layer(x, **others), layer(x, **others)
    assert_same_bits(np.asarray(a), np.asarray(b))
    assert layer.state_dict() == before
    assert layer.train().training


@each
def test_it_holds_numbers_and_no_bits(name: str, make: Any, shape: Any, more: Any) -> None:
    x, others = inputs(name, shape, more)
    layer = make(0.4)
    layer(x, **others)
    assert len(pickle.dumps(layer.mask)) < 400
    assert type(layer).__name__ in repr(layer)
    assert "rng=simdrop.Stream(seed=7, stream=1)" in repr(layer)
    assert "0.4" in repr(layer)


def test_a_schedule_gives_p() -> None:
    layer = layers.Dropout(schedules.LateDropout(1.0, 2), rng=1)
    x = np.ones(4)
    assert [float(layer(x).sum()) for _ in range(3)] == [4.0, 4.0, 0.0]
    assert layer.step == 3
    assert layer.current_p == 1.0
    assert "LateDropout" in repr(layer)


def test_errors() -> None:
    with pytest.raises(ValueError, match="p:"):
        layers.Dropout(1.5)
    with pytest.raises(RuntimeError, match="backward"):
        layers.Dropout(0.5).backward(np.ones(2))
    with pytest.raises(ValueError, match="missing: seed"):
        layers.Dropout(0.5).load_state_dict({"stream": 0, "step": 0, "training": True})
    with pytest.raises(ValueError, match="spatial"):
        layers.SpatialDropout(0.5, spatial=4)
    with pytest.raises(ValueError, match="sd"):
        layers.GaussianNoise(-1.0)


def test_layers_share_a_stream() -> None:
    stream = simdrop.Stream(3)
    a, b = layers.Dropout(0.5, rng=stream), layers.Dropout(0.5, rng=stream)
    a(np.ones(4))
    b(np.ones(4))
    assert (a.mask.mask.stream, b.mask.mask.stream) == (0, 1)
