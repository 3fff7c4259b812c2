"""Golden outputs of the members of the family: their bits stay (docs/stability.md).

`tests/data/members_v1.json` holds the SHA-256 of the little-endian result of each call below. The tests of each member
compare it with a definition; this one sees to it that it goes on being the same. Left out are the members that contain
NumPy's own exponentials, logarithms or matrix products: `concrete_dropout`, `drop_connect` and
`scaled_dot_product_attention`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import DTYPES, bits, dtype_of
from numpy.typing import NDArray
from places import DATA

Array = NDArray[Any]
Member = Callable[[Array, simdrop.Stream], Any]

MEMBERS: dict[str, Member] = {
    "noise_shape": lambda x, s: simdrop.dropout(x, 0.3, rng=s, noise_shape=(None, 1, None, 1)),
    "broadcast_dims": lambda x, s: simdrop.dropout(x, 0.3, rng=s, broadcast_dims=(1, 2)),
    "dropout1d": lambda x, s: simdrop.dropout1d(x[0], 0.3, rng=s),
    "dropout2d": lambda x, s: simdrop.dropout2d(x, 0.3, rng=s),
    "dropout2d, channels last": lambda x, s: simdrop.dropout2d(x, 0.3, rng=s, data_format="channels_last"),
    "dropout3d": lambda x, s: simdrop.dropout3d(x[None], 0.3, rng=s),
    "feature_dropout": lambda x, s: simdrop.feature_dropout(x, 0.3, rng=s),
    "drop_path": lambda x, s: simdrop.drop_path(x, 0.3, rng=s),
    "stochastic_depth": lambda x, s: simdrop.drop_path(x, 0.3, mode="row", rng=s),
    "attention_dropout": lambda x, s: simdrop.attention_dropout(x, 0.1, rng=s),
    "alpha_dropout": lambda x, s: simdrop.alpha_dropout(x, 0.1, rng=s),
    "feature_alpha_dropout": lambda x, s: simdrop.feature_alpha_dropout(x, 0.3, rng=s),
    "gaussian_dropout": lambda x, s: simdrop.gaussian_dropout(x, 0.3, rng=s),
    "gaussian_noise": lambda x, s: simdrop.gaussian_noise(x, 0.1, rng=s),
    "normal": lambda x, s: simdrop.normal(x.shape, rng=s, dtype=x.dtype),
    "drop_block2d": lambda x, s: simdrop.drop_block2d(x, 0.1, 3, rng=s),
    "locked_dropout": lambda x, s: simdrop.locked_dropout(x[0], 0.4, rng=s),
    "weight_drop": lambda x, s: simdrop.weight_drop(x[0, 0], 0.5, rng=s),
    "embedding_dropout": lambda x, s: simdrop.embedding_dropout(np.arange(24) % 7, x[0, 0, :7], 0.3, rng=s),
    "zoneout": lambda x, s: simdrop.zoneout(x, x[::-1].copy(), 0.3, rng=s),
    "patch_dropout": lambda x, s: simdrop.patch_dropout(x[0], 0.5, rng=s),
    "bias_dropout_add": lambda x, s: simdrop.bias_dropout_add(x, x[0, 0, 0], x[::-1].copy(), 0.3, rng=s),
    "monte_carlo_dropout": lambda x, s: simdrop.monte_carlo_dropout(x, 0.3, 4, rng=s),
}


def ordinary_numbers(dtype: str) -> Array:
    """Multiples of 1/64 between -8 and 8, which every dtype but bfloat16 holds exactly."""
    i = np.arange(6 * 8 * 10 * 20)
    return np.asarray(((i * 37 % 1009 - 500) / 64).astype(dtype_of(dtype)).reshape(6, 8, 10, 20))


def digest(member: Member, dtype: str) -> str:
    result = np.asarray(member(ordinary_numbers(dtype), simdrop.Stream(2024, 7)))
    assert result.dtype == dtype_of(dtype)
    found = bits(result)
    return hashlib.sha256(found.astype(found.dtype.newbyteorder("<")).tobytes()).hexdigest()


def golden() -> dict[str, dict[str, str]]:
    return dict(json.loads((DATA / "members_v1.json").read_text())["digests"])


def test_the_file_is_complete() -> None:
    assert {name: sorted(digests) for name, digests in golden().items()} == dict.fromkeys(MEMBERS, sorted(DTYPES))


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_member(isa: str, name: str, dtype: str) -> None:
    assert digest(MEMBERS[name], dtype) == golden()[name][dtype]
