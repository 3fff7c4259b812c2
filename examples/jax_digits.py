"""A classifier in Flax NNX, trained with Optax, whose dropout runs on simdrop.

    python -m pip install "simdrop[jax]" flax optax scikit-learn
    python examples/jax_digits.py

Trains on scikit-learn's digits (1797 real images, part of that package) with one compiled step, checks that the dropout
layer applies the mask that simdrop.Mask says it must, and prints the accuracy with and without dropout.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import simdrop
from flax import nnx
from simdrop.jax.nnx import Dropout
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Classifier(nnx.Module):
    """One hidden layer between two of dropout."""

    def __init__(self, p: float, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(64, 512, rngs=rngs)
        self.second = nnx.Linear(512, 10, rngs=rngs)
        self.pixels = Dropout(p / 2, rngs=rngs)
        self.units = Dropout(p, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits of ten classes."""
        return self.second(self.units(nnx.relu(self.first(self.pixels(x)))))


@nnx.jit
def step(model: Classifier, optimizer: nnx.Optimizer[Any], x: jax.Array, labels: jax.Array) -> jax.Array:
    """Train on one batch; the keys of the dropout layers are part of the model, and move on."""

    def loss(model: Classifier) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()

    value, gradient = nnx.value_and_grad(loss)(model)
    optimizer.update(model, gradient)
    return value


def train(p: float, data: Sequence[np.ndarray], epochs: int) -> float:
    """Return the accuracy on the test images after some epochs with dropout at `p`."""
    x_train, x_test, y_train, y_test = data
    model = Classifier(p, nnx.Rngs(params=0, dropout=1))
    optimizer = nnx.Optimizer(model, optax.adamw(1e-3), wrt=nnx.Param)
    order = np.random.default_rng(0)
    for _ in range(epochs):
        for batch in np.array_split(order.permutation(len(x_train)), len(x_train) // 64):
            step(model, optimizer, jnp.asarray(x_train[batch]), jnp.asarray(y_train[batch]))
    model.eval()
    return float((model(jnp.asarray(x_test)).argmax(-1) == y_test).mean())


def prove(images: np.ndarray) -> None:
    """Check that the layer applies the mask that simdrop says it must."""
    y = Dropout(0.5, rngs=nnx.Rngs(0))(jnp.asarray(images), rngs=jax.random.key(42))
    np.testing.assert_array_equal(y, simdrop.Mask(images.shape, 0.5, seed=42).apply(images))
    print("The dropout layer gives what simdrop.Mask gives, bit for bit.")


def main(words: Sequence[str] | None = None) -> float:
    """Train with and without dropout, and return the accuracy with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    epochs = parser.parse_args(words).epochs
    images, labels = load_digits(return_X_y=True)
    data = train_test_split(images.astype(np.float32) / 16, labels, test_size=0.5, random_state=0, stratify=labels)
    prove(data[1])
    accuracies = {p: train(p, data, epochs) for p in (0.0, 0.2)}
    for p, accuracy in accuracies.items():
        print(f"p = {p}: accuracy on {len(data[1])} images that were not trained on: {accuracy:.1%}")
    return accuracies[0.2]


if __name__ == "__main__":
    main()
