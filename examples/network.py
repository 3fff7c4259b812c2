"""What the examples share: digits, a dense network with dropout in plain NumPy, and training it."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import simdrop
from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray
from simdrop import layers
from sklearn.datasets import load_digits

Array = NDArray[Any]
PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
mpl.use("Agg")  # no window, no display needed
style.use("simdrop.pictures")  # the look of all pictures of simdrop


def arguments(description: str | None, picture: str) -> argparse.Namespace:
    """Read the command line that all examples have.

    A quick run leaves the pictures of the documentation alone: without --output it writes into the current directory.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps only: shows that it runs")
    parser.add_argument("--seed", type=int, default=20240501, help="seed of everything random")
    parser.add_argument(
        "--output", type=Path, help=f"where the picture goes; docs/pictures/{picture}, with --quick ./{picture}"
    )
    options = parser.parse_args()
    if options.output is None:
        options.output = Path(picture) if options.quick else PICTURES / picture
    return options


def progress(items: Iterable[Any], name: str) -> Iterable[Any]:
    """Yield the items behind a progress bar."""
    return importlib.import_module("tqdm").tqdm(list(items), desc=name)  # type: ignore[no-any-return]


def save(figure: Figure, path: Path) -> None:
    """Write the picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f"wrote {path}")


class Digits(NamedTuple):
    """Scikit-learn's 8 by 8 digits, values from 0 to 1."""

    x: Array
    y: NDArray[np.int64]
    test_x: Array
    test_y: NDArray[np.int64]


def digits(train: int, seed: int, noise: float = 0.0) -> Digits:
    """Return `train` digits to learn from, chosen at random, and all the others to test with.

    `noise` is the standard deviation of normal noise that makes them harder to recognise.
    """
    x, y = load_digits(return_X_y=True)
    x = simdrop.gaussian_noise((x / 16).astype(np.float32), noise, rng=seed)
    order = np.random.default_rng(seed).permutation(len(x))
    chosen, rest = order[:train], order[train:]
    return Digits(x[chosen], y[chosen], x[rest], y[rest])


class Dense:
    """A dense layer with its gradient and its moments for Adam."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        scale = np.sqrt(2 / inputs)
        self.weight = (rng.standard_normal((outputs, inputs)) * scale).astype(np.float32)
        self.bias = np.zeros(outputs, np.float32)
        self.gradients: list[Array] = []
        self.step = 0
        self.moments = [[np.zeros_like(v), np.zeros_like(v)] for v in (self.weight, self.bias)]

    def __call__(self, x: Array) -> Array:
        self.x = x
        return np.asarray(x @ self.weight.T + self.bias)

    def backward(self, grad: Array) -> Array:
        self.gradients = [grad.T @ self.x, grad.sum(axis=0)]
        return np.asarray(grad @ self.weight)

    def update(self, rate: float, decay: float = 0.0) -> None:
        """Take one step of Adam; `decay` is the factor of the L2 penalty on the weights."""
        self.step += 1
        for value, gradient, moments in zip((self.weight, self.bias), self.gradients, self.moments, strict=True):
            total = gradient + decay * value if value.ndim == 2 else gradient
            moments[0] += 0.1 * (total - moments[0])
            moments[1] += 0.001 * (total * total - moments[1])
            corrected = moments[0] / (1 - 0.9**self.step)
            step = rate * corrected / (np.sqrt(moments[1] / (1 - 0.999**self.step)) + 1e-8)
            np.subtract(value, step, out=value)


class Network:
    """Dense(hidden, relu), Dropout(p), Dense(10, softmax)."""

    def __init__(self, hidden: int, p: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.first, self.last = Dense(64, hidden, rng), Dense(hidden, 10, rng)
        self.dropout = layers.Dropout(p, rng=seed)

    @property
    def training(self) -> bool:
        """Whether the dropout is on."""
        return self.dropout.training

    @training.setter
    def training(self, mode: bool) -> None:
        self.dropout.training = mode

    def __call__(self, x: Array) -> Array:
        """Return the probabilities of the ten digits."""
        self.active = np.maximum(self.first(x), 0)
        return softmax(self.last(self.dropout(self.active)))

    def backward(self, grad: Array) -> None:
        hidden = self.dropout.backward(self.last.backward(grad))
        self.first.backward(hidden * (self.active > 0))

    def update(self, rate: float, decay: float) -> None:
        self.first.update(rate, decay)
        self.last.update(rate, decay)


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def loss(probabilities: Array, y: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy."""
    return float(-np.log(probabilities[np.arange(len(y)), y] + 1e-12).mean())


def train(
    network: Any,
    data: Digits,
    epochs: Iterable[int],
    *,
    rate: float = 0.003,
    decay: float = 0.0,
    batch: int = 32,
    seed: int = 0,
) -> None:
    """Train with Adam for the epochs of these numbers, which decide the order of the data."""
    for epoch in epochs:
        network.training = True
        order = np.random.default_rng((seed, epoch)).permutation(len(data.x))
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            grad = network(data.x[part])
            grad[np.arange(len(part)), data.y[part]] -= 1
            network.backward(grad / np.float32(len(part)))
            network.update(rate, decay)
        network.training = False


def accuracy(network: Any, x: Array, y: NDArray[np.int64]) -> float:
    """Return the share of digits that are recognised, with dropout off."""
    network.training = False
    return float((network(x).argmax(axis=1) == y).mean())
