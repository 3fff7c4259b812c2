"""The classifier of Keras' documentation with one dropout layer, on any backend, and data for it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras.layers import Dense


def classifier(dropout: Any) -> Any:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((20,)), Dense(64, activation="relu"), dropout, Dense(10, activation="softmax", name="out")]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 20)).astype(np.float32)
    return x, x[:, :10].argmax(1)
