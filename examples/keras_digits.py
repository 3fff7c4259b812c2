"""A Keras model, unchanged, whose dropout is served by simdrop.

    python -m pip install "simdrop[torch]" keras scikit-learn
    python examples/keras_digits.py

Trains the textbook classifier on scikit-learn's digits (1797 real images, part of that package) with Keras 3 on its
PyTorch backend. Keras calls torch.nn.functional.dropout there, which `simdrop.torch.install` serves; the example counts
the calls of the kernel, looks at what the dropout layer did, and fails if it was not simdrop.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # on the CPU: simdrop serves no other device

import keras
import numpy as np
import simdrop
import simdrop.torch
import torch
from keras.layers import Dense, Dropout
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def digits() -> list[np.ndarray]:
    """Return training images, test images, training labels, test labels; pixels are from 0 to 1."""
    images, labels = load_digits(return_X_y=True)
    return train_test_split(images.astype(np.float32) / 16, labels, test_size=0.25, random_state=0, stratify=labels)


def prove(model: keras.Model, images: np.ndarray) -> None:
    """Check that the model's dropout layer applies the mask that simdrop says it must."""
    dense, dropout = model.layers[:2]
    hidden = dense(torch.from_numpy(images))
    keras.utils.set_random_seed(1)
    dropped = dropout(hidden, training=True)
    # the first seed that PyTorch's generator gives after that
    torch.manual_seed(1)
    seed = int(torch.randint(-(2**63), 2**63 - 1, ())) % 2**64
    expected = simdrop.Mask(tuple(hidden.shape), 0.5, seed=seed).apply(hidden.detach().numpy())
    np.testing.assert_array_equal(dropped.detach().numpy(), expected)
    print("The dropout layer gives what simdrop.Mask gives, bit for bit.")


def main(words: Sequence[str] | None = None) -> float:
    """Train, prove, and return the accuracy on the test images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    epochs = parser.parse_args(words).epochs

    x_train, x_test, y_train, y_test = digits()
    keras.utils.set_random_seed(0)
    model = keras.Sequential([Dense(64, activation="relu"), Dropout(0.5), Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    simdrop.torch.install()
    try:
        calls = simdrop.torch.kernel_calls()
        model.fit(x_train, y_train, batch_size=32, epochs=epochs, verbose=0)
        calls = simdrop.torch.kernel_calls() - calls
        batches = epochs * -(-len(x_train) // 32)
        print(f"{batches} training steps called simdrop's kernel {calls} times: forward and backward.")
        if calls < 2 * batches:
            raise RuntimeError("the dropout of this model was not served by simdrop")
        prove(model, x_test)
    finally:
        simdrop.torch.uninstall()

    accuracy = float(model.evaluate(x_test, y_test, verbose=0)[1])
    print(f"Accuracy on {len(x_test)} images that were not trained on: {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
