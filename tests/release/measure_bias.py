"""How far is E[dropout(x)] from x? ``python measure_bias.py``: a table in Markdown, simdrop beside others.

What a kept element becomes is read off for every number of the type from 1 to 2 (4096 of float32's), each with its own
rounding error, and multiplied with the probability of being kept: exact in simdrop, 1 - T / 2^40; of the others taken
to be 1 - p as it is said, so what they lose there is not in the table. Relative errors, the mean over these numbers.
Keras on the backend of KERAS_BACKEND: by default jax, because on torch it calls PyTorch's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import ml_dtypes
import numpy as np
import simdrop
import torch

TYPES = {"bfloat16": (ml_dtypes.bfloat16, 128), "float16": (np.float16, 1024), "float32": (np.float32, 4096)}
PROBABILITIES = (0.1, 0.2, 0.3, 0.5)
COPIES = 64  # of each number, so that one of them is kept


def by_simdrop(x: Any, p: float) -> Any:
    return simdrop.dropout(x, p, rng=1)


def by_torch(x: Any, p: float) -> Any:
    kind = {2: torch.float16, 4: torch.float32}[x.dtype.itemsize]
    if x.dtype == ml_dtypes.bfloat16:
        kind = torch.bfloat16
    return torch.nn.functional.dropout(torch.from_numpy(x.astype(np.float32)).to(kind), p).float().numpy()


def by_keras(x: Any, p: float) -> Any:
    layer = keras.layers.Dropout(p, seed=1, dtype=str(x.dtype))
    return np.asarray(layer(keras.ops.convert_to_tensor(x), training=True)).astype(np.float32)


def bias(ways: Callable[[Any, float], Any], name: str, p: float) -> float:
    kind, count = TYPES[name]
    x = np.repeat(np.linspace(1, 2, count, endpoint=False).astype(kind), COPIES).reshape(count, COPIES)
    y = ways(x, p).astype(np.float64).max(axis=1)
    assert (y > 0).all(), "a number was never kept"
    q = simdrop.Mask(1, p, seed=0).keep_probability if ways is by_simdrop else 1 - p
    return float((y * q / x[:, 0].astype(np.float64)).mean() - 1)


def main() -> None:
    torch.manual_seed(0)
    named = {"simdrop": by_simdrop, f"PyTorch {torch.__version__.partition('+')[0]}": by_torch}
    named[f"Keras {keras.__version__}, {keras.backend.backend()}"] = by_keras
    print("| type | p |", " | ".join(named), "|")
    print("| --- | --- |", " | ".join("---" for _ in named), "|")
    for name in TYPES:
        for p in PROBABILITIES:
            print(f"| {name} | {p} |", " | ".join(f"{100 * bias(way, name, p):+.5f} %" for way in named.values()), "|")


if __name__ == "__main__":
    main()
