"""Layers: forward and backward are those of the functions, training and inference, schedules, saving and restoring."""

from __future__ import annotations

import copy
import doctest
import inspect
import io
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
import simdrop
from helpers import assert_same_bits, refused
from places import DATA
from simdrop import layers, schedules

WEIGHT = np.random.default_rng(1).standard_normal((3, 5))
INDICES = np.array([0, 2, 2])
LAYERS: tuple[tuple[str, Callable[[Any], layers.Layer], tuple[int, ...] | None, tuple[tuple[int, ...], ...]], ...] = (
    ("Dropout", lambda p: layers.Dropout(p, rng=7), (4, 5), ()),
    ("Dropout, classic", lambda p: layers.Dropout(p, scaling="classic", rng=7), (4, 5), ()),
    ("Dropout, shared", lambda p: layers.Dropout(p, broadcast_dims=(0,), rng=7), (4, 5), ()),
    ("Dropout1d", lambda p: layers.Dropout1d(p, rng=7), (4, 5, 2), ()),
    ("Dropout2d", lambda p: layers.Dropout2d(p, rng=7), (4, 5, 2, 2), ()),
    ("Dropout2d, last", lambda p: layers.Dropout2d(p, data_format="channels_last", rng=7), (4, 2, 2, 5), ()),
    ("Dropout3d", lambda p: layers.Dropout3d(p, rng=7), (2, 3, 2, 2, 2), ()),
    ("FeatureDropout", lambda p: layers.FeatureDropout(p, rng=7), (4, 5, 2), ()),
    ("DropPath", lambda p: layers.DropPath(p, rng=7), (4, 5), ()),
    ("DropPath, unscaled", lambda p: layers.DropPath(p, scale_by_keep=False, rng=7), (4, 5), ()),
    ("AlphaDropout", lambda p: layers.AlphaDropout(p, rng=7), (4, 5), ()),
    ("FeatureAlphaDropout", lambda p: layers.FeatureAlphaDropout(p, rng=7), (4, 5, 2), ()),
    ("GaussianDropout", lambda p: layers.GaussianDropout(p, rng=7), (4, 5), ()),
    ("GaussianNoise", lambda p: layers.GaussianNoise(p, rng=7), (4, 5), ()),
    ("DropBlock2d", lambda p: layers.DropBlock2d(p, 2, rng=7), (2, 3, 5, 5), ()),
    ("DropBlock3d", lambda p: layers.DropBlock3d(p, 2, rng=7), (2, 3, 4, 4, 4), ()),
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
CLASSES = [getattr(layers, name) for name in layers.__all__ if name != "Layer"]
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
    if shape is None:
        assert gradient is None, "indices have none"
        gradient = layer.grad_weight
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
    assert len(pickle.dumps(layer.drawn)) < 400
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
    with pytest.raises(ValueError, match="sd"):
        layers.GaussianNoise(-1.0)


def test_layers_share_a_stream() -> None:
    stream = simdrop.Stream(3)
    a, b = layers.Dropout(0.5, rng=stream), layers.Dropout(0.5, rng=stream)
    a(np.ones(4))
    b(np.ones(4))
    assert (a.drawn.mask.stream, b.drawn.mask.stream) == (0, 1)


def test_every_layer_is_in_the_table() -> None:
    assert {name.partition(",")[0] for name, *_ in LAYERS} == set(layers.__all__) - {"Layer"}


@pytest.mark.parametrize("layer", CLASSES, ids=lambda layer: str(layer.__name__))
def test_parameters_are_those_of_the_function_and_documented(layer: Any) -> None:
    given = inspect.signature(layer).parameters
    function = inspect.signature(layer._function).parameters
    for name, parameter in given.items():
        if name != "rng":
            assert parameter.default == function[name].default, name
        assert parameter.kind is function[name].kind, name
        assert parameter.annotation is not parameter.empty
    section = re.search(r"^Parameters\n-+\n(.*?)\n\n", layer.__doc__, re.MULTILINE | re.DOTALL)
    assert section, layer.__doc__
    described = re.findall(r"^(\w+)(?: : .*)?\n    \S", section[1], re.MULTILINE)
    assert described == list(given)
    chosen = {"out", "training", "threads", "return_drawn"}  # what a layer decides
    left = [name for name in function if name not in given and name not in chosen]
    assert left == list(layer._inputs), "everything else is an input or a parameter"


def test_names_are_those_of_pytorch() -> None:
    nn = pytest.importorskip("simdrop.torch.nn")
    assert set(nn.__all__) <= set(layers.__all__)


@pytest.mark.parametrize("layer", CLASSES, ids=lambda layer: str(layer.__name__))
def test_examples(layer: Any) -> None:
    (test,) = doctest.DocTestFinder(recurse=False).find(layer, layer.__name__)
    assert test.examples
    report: list[str] = []
    assert doctest.DocTestRunner().run(test, out=report.append).failed == 0, "".join(report)


def test_backward_serves_the_last_call_only() -> None:
    layer, g = layers.Dropout(0.5, rng=1), np.ones(64)
    layer(g)
    first_drawn = layer.drawn
    assert_same_bits(layer.backward(g), layer.backward(g), "one call: as often as one likes")
    layer(g)
    layer(g)
    assert_same_bits(layer.backward(g), layer.drawn.backward(g))
    with pytest.raises(RuntimeError, match=r"got 2 calls of the layer and a second backward pass"):
        layer.backward(g)
    assert (first_drawn.backward(g) != layer.drawn.backward(g)).any(), "what a call drew stays right"
    layer(g)
    layer.backward(g)
    layer.backward(g)


def test_two_calls_with_a_draw_kept_of_each() -> None:
    layer, x = layers.Dropout(0.5, rng=1), np.random.default_rng(1).standard_normal(64)
    y1 = layer(x)
    drawn1 = layer.drawn
    y2 = layer(x)
    drawn2 = layer.drawn
    np.testing.assert_array_equal(drawn1.backward(x), y1)
    np.testing.assert_array_equal(drawn2.backward(x), y2)
    assert drawn1 != drawn2


@each
@pytest.mark.parametrize("how", ["pickle", "joblib", "deepcopy"])
def test_a_layer_with_a_schedule_is_saved(name: str, make: Any, shape: Any, more: Any, how: str) -> None:
    x, others = inputs(name, shape, more)
    layer = make(schedules.Linear(0.1, 0.6, 5))
    layer(x, **others)
    if how == "pickle":
        loaded = pickle.loads(pickle.dumps(layer))
    elif how == "joblib":
        file = io.BytesIO()
        joblib.dump(layer, file)
        file.seek(0)
        loaded = joblib.load(file)
    else:
        loaded = copy.deepcopy(layer)
    assert type(loaded) is type(layer)
    assert repr(loaded) == repr(layer)
    assert loaded.state_dict() == layer.state_dict()
    assert_same_bits(np.asarray(loaded(x, **others)), np.asarray(layer(x, **others)))


def test_golden_pickle() -> None:
    stored = bytes.fromhex(json.loads((DATA / "pickles_v1.json").read_text())["layer"])
    assert b"csimdrop.layers\nDropout\n" in stored
    layer = pickle.loads(stored)
    expected = layers.Dropout(schedules.LateDropout(0.25, 3), noise_shape=(None, 1), rng=simdrop.Stream(5, 9)).eval()
    expected.step = 4
    assert repr(layer) == repr(expected)
    assert layer.state_dict() == expected.state_dict() == {"seed": 5, "stream": 9, "step": 4, "training": False}


def test_a_layer_of_ones_own() -> None:
    class Rows(layers.Layer, function=simdrop.drop_path):
        """Rows."""

        p: float = 0.5
        scale_by_keep: bool = True
        rng: Any = None

    layer = Rows(scale_by_keep=False, rng=3)
    x = np.ones((8, 2))
    assert_same_bits(layer(x), simdrop.drop_path(x, 0.5, scale_by_keep=False, rng=3))
    assert "scale_by_keep : bool" in str(Rows.__doc__)
    refused(lambda: Rows(1.5), ValueError, "p")

    class Half(layers.Dropout):
        """A subclass of a layer, with a method of its own."""

        def twice(self, x: Any) -> Any:
            return self(self(x))

    assert_same_bits(Half(0.5, scaling="classic", rng=3)(x), simdrop.dropout(x, 0.5, scaling="classic", rng=3))
    assert set(np.unique(Half(0.5, rng=3).twice(x))) == {0, 4}


def test_wrong_inputs() -> None:
    with pytest.raises(TypeError, match="previous"):
        layers.Zoneout(0.5)(np.ones(3))
    with pytest.raises(TypeError, match="p"):
        layers.Dropout(0.5)(np.ones(3), 0.5)
    layer = layers.Dropout(0.5, rng=1)
    refused(lambda: layer(np.arange(3)), TypeError, "x")
    assert layer.state_dict() == layers.Dropout(0.5, rng=1).state_dict(), "a call that fails draws nothing"
