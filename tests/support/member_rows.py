"""The members of the family as a table: inputs, and a choice for each option. See test_gradients.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Choices = tuple[dict[str, Any], ...]  # the ways in which one option, or some that exclude each other, may be given
SEED = 20261125


def options(name: str, *values: Any) -> Choices:
    return tuple({name: value} for value in values)


MODES = options("training", True, False)
SCALING = options("scaling", "inverted", "classic")
PROBABILITIES = options("p", 0.0, 0.3, 1.0)
BELOW_1 = options("p", 0.0, 0.3)
FORMATS = options("data_format", "channels_first", "channels_last")
CAUSAL = options("is_causal", False, True)
ALLOWED = np.array([[True, False, True, True], [False, False, False, False], [True, True, True, True]])


def sharing(noise_shape: tuple[int | None, ...], *broadcast_dims: int) -> Choices:
    return ({}, {"noise_shape": noise_shape}, {"broadcast_dims": broadcast_dims})


@dataclass
class Row:
    """A member: the shapes of its inputs, the choices of its options, and what `backward` is given beside grad."""

    inputs: dict[str, tuple[int, ...]]
    choices: tuple[Choices, ...]
    needs: tuple[str, ...] = ()
    fixed: dict[str, Any] = field(default_factory=dict)
    passed_on: tuple[str, ...] = ()

    def combinations(self) -> Iterator[dict[str, Any]]:
        for chosen in itertools.product(*self.choices):
            yield {name: value for choice in chosen for name, value in choice.items()}

    def named(self) -> set[str]:
        """The options that occur in some choice."""
        return {name for choices in self.choices for choice in choices for name in choice}


ROWS: dict[str, Row] = {
    "dropout": Row({"x": (4, 5)}, (PROBABILITIES, MODES, SCALING, sharing((None, 1), 0))),
    "dropout_": Row({"x": (4, 5)}, (PROBABILITIES, MODES, SCALING, sharing((None, 1), 0))),
    "dropout1d": Row({"x": (3, 4, 2)}, (PROBABILITIES, MODES, FORMATS)),
    "dropout2d": Row({"x": (2, 3, 2, 3)}, (PROBABILITIES, MODES, FORMATS)),
    "dropout3d": Row({"x": (2, 3, 2, 1, 2)}, (PROBABILITIES, MODES, FORMATS)),
    "feature_dropout": Row({"x": (3, 4, 2)}, (PROBABILITIES, MODES)),
    "drop_path": Row(
        {"x": (6, 2)},
        (
            PROBABILITIES,
            MODES,
            SCALING,
            options("mode", "row", "batch"),
            options("scale_by_keep", True, False),
        ),
    ),
    "alpha_dropout": Row({"x": (4, 5)}, (PROBABILITIES, MODES, sharing((1, None), 1))),
    "feature_alpha_dropout": Row({"x": (3, 4, 2)}, (PROBABILITIES, MODES)),
    "attention_dropout": Row({"weights": (2, 3, 4)}, (PROBABILITIES, MODES, sharing((1, None, None), 0, 1))),
    "locked_dropout": Row({"x": (3, 2, 4)}, (PROBABILITIES, MODES, options("batch_first", False, True))),
    "weight_drop": Row({"weight": (4, 5)}, (PROBABILITIES, MODES, options("variational", False, True))),
    "gaussian_dropout": Row({"x": (4, 5)}, (BELOW_1, MODES)),
    "gaussian_noise": Row({"x": (4, 5)}, (options("sd", 0.0, 0.5), MODES)),
    "drop_block2d": Row(
        {"x": (2, 3, 4, 5)},
        (
            PROBABILITIES,
            MODES,
            options("block_size", 1, 2, 9),
            options("gamma_scale", 1.0, 0.5),
            options("shared_channels", False, True),
        ),
    ),
    "drop_block3d": Row(
        {"x": (1, 2, 3, 3, 2)},
        (
            PROBABILITIES,
            MODES,
            options("block_size", 1, 2),
            options("gamma_scale", 1.0, 0.5),
            options("shared_channels", False, True),
        ),
    ),
    "zoneout": Row({"state": (4, 5), "previous": (4, 5)}, (PROBABILITIES, MODES)),
    "bias_dropout_add": Row(
        {"x": (4, 5), "bias": (5,), "residual": (4, 5)}, (PROBABILITIES, MODES, ({}, {"bias": None}))
    ),
    "drop_connect": Row(
        {"x": (3, 4), "weight": (2, 4), "bias": (2,)},
        (
            PROBABILITIES,
            MODES,
            SCALING,
            options("per_sample", False, True),
            options("inference", "mean", "gaussian"),
            ({}, {"bias": None}),
        ),
        needs=("x", "weight"),
    ),
    "scaled_dot_product_attention": Row(
        {"q": (2, 3, 2), "k": (2, 4, 2), "v": (2, 4, 3)},
        (
            PROBABILITIES,
            MODES,
            CAUSAL,
            options("scale", None, 0.7),
            options("attn_mask", None, ALLOWED, np.linspace(-1, 1, 12).reshape(3, 4)),
        ),
        needs=("q", "k", "v"),
        passed_on=("attn_mask",),
    ),
    "embedding_dropout": Row(
        {"weight": (5, 2)},
        (PROBABILITIES, MODES),
        needs=("indices",),
        fixed={"indices": np.array([[0, 3, 1], [3, 3, 4]])},
    ),
    "patch_dropout": Row(
        {"x": (2, 6, 2)},
        (PROBABILITIES, MODES, options("num_prefix_tokens", 0, 1), options("ordered", True, False)),
    ),
    "concrete_dropout": Row({"x": (4, 3)}, (PROBABILITIES, MODES, options("temperature", 0.1, 1.0)), needs=("x",)),
    "monte_carlo_dropout": Row({"x": (3, 2)}, (PROBABILITIES, options("samples", 1, 4))),
}
