"""``monte_carlo_predict``: which parts of a model are switched on, that they are put back, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import refused
from simdrop import layers

X = np.ones(50)


def test_mean_and_variance() -> None:
    layer = layers.Dropout(0.5, rng=3).eval()
    mean, variance = simdrop.monte_carlo_predict(layer, X, 400)
    assert not layer.training
    assert abs(mean.mean() - 1) < 6 / math.sqrt(50 * 400)
    assert abs(variance.mean() - 1) < 0.05
    again = simdrop.monte_carlo_dropout(X, 0.5, 400, rng=3)
    assert abs(again.mean() - 1) < 6 / math.sqrt(50 * 400)
    refused(lambda: simdrop.monte_carlo_predict(layer, X, 0), ValueError, "samples", "from 1")


@dataclass
class Branch:
    """Layers in a list, a tuple and a dictionary, and no attribute ``training``."""

    first: list[Any] = field(default_factory=lambda: [layers.Dropout(0.5, rng=1).eval()])
    rest: dict[str, Any] = field(default_factory=lambda: {"last": (layers.Dropout(0.5, rng=2),)})

    def __call__(self, x: Any) -> Any:
        return self.rest["last"][0](self.first[0](x))


class Model:
    """A model with a mode of its own, which holds itself, a branch and something that is no layer."""

    def __init__(self) -> None:
        self.training = False
        self.branch = Branch()
        self.itself = self
        self.weights = np.ones(3)

    def __call__(self, x: Any) -> Any:
        assert self.training
        return self.branch(x)

    def forward(self, x: Any) -> Any:
        return self(x)


@pytest.mark.parametrize("way", ["object", "method"])
def test_layers_inside_classes(way: str) -> None:
    model = Model()
    _, variance = simdrop.monte_carlo_predict(model if way == "object" else model.forward, X, 50)
    assert variance.mean() > 1, "both layers drop: 3, and 1 if it were one of them"
    assert [model.training, model.branch.first[0].training, model.branch.rest["last"][0].training] == [
        False,
        False,
        True,
    ], "each as it was"


def test_everything_is_put_back_after_an_error() -> None:
    class Breaks(Model):
        def __call__(self, x: Any) -> Any:
            super().__call__(x)
            raise KeyError("inside")

    model = Breaks()
    with pytest.raises(KeyError, match="inside"):
        simdrop.monte_carlo_predict(model, X)
    assert [model.training, model.branch.first[0].training, model.branch.rest["last"][0].training] == [
        False,
        False,
        True,
    ]


def test_running_statistics_stay() -> None:
    class Norm:
        training = False
        running_mean = 0.0

    class Normed(Model):
        def __init__(self) -> None:
            super().__init__()
            self.norm = Norm()

        def train(self) -> None:
            self.training = self.norm.training = True

        def __call__(self, x: Any) -> Any:
            assert not self.norm.training
            return super().__call__(x)

    model = Normed()
    simdrop.monte_carlo_predict(model, X, 3)
    assert not model.norm.training


class Hidden:
    """A layer where nobody finds it."""

    __slots__ = ("layer",)

    def __init__(self) -> None:
        self.layer = layers.Dropout(0.5, rng=1).eval()

    def __call__(self, x: Any) -> Any:
        return self.layer(x)


def test_nothing_drawn_is_an_error() -> None:
    for model in (lambda x: 2 * x, Hidden()):
        with pytest.raises(RuntimeError, match="all 5 passes"):
            simdrop.monte_carlo_predict(model, X, 5)


def test_drawing_without_effect_is_none() -> None:
    assert not simdrop.monte_carlo_predict(layers.Dropout(0.0, rng=1), X, 3).variance.any()
    assert not simdrop.monte_carlo_predict(layers.Dropout(0.5, rng=1), 0 * X, 3).variance.any()
    assert not simdrop.monte_carlo_predict(lambda x: simdrop.dropout(x, 0.5), X, 1).variance.any(), "one says nothing"


def test_a_model_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5)),
        torch.nn.Linear(8, 8),
        torch.nn.Dropout(0.1),
    ).eval()
    model[2].train()
    modes = [part.training for part in model.modules()]
    mean, variance = simdrop.monte_carlo_predict(model, torch.ones(4, 8), 30)
    assert isinstance(mean, np.ndarray)
    assert (variance > 0).mean() > 0.9
    assert [part.training for part in model.modules()] == modes
    assert float(model[0][0].running_mean.abs().sum()) == 0, "the statistics of batches are left alone"
    with pytest.raises(RuntimeError, match="passes"):
        simdrop.monte_carlo_predict(torch.nn.Linear(2, 2), torch.ones(1, 2), 5)


def test_a_model_may_write_its_predictions_into_one_array() -> None:
    stream, memory = simdrop.Stream(1), np.empty(4)
    one = simdrop.monte_carlo_predict(lambda x: simdrop.dropout(x, 0.5, rng=stream, out=memory), np.ones(4), 5)
    stream = simdrop.Stream(1)
    many = simdrop.monte_carlo_predict(lambda x: simdrop.dropout(x, 0.5, rng=stream), np.ones(4), 5)
    assert np.array_equal(one.mean, many.mean)
    assert np.array_equal(one.variance, many.variance)
