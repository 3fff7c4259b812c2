"""`Drawn.backward` of every member, for every combination of its options, against central differences in float64.

The table below must hold every public function that is not named in `OTHERS`, and a choice for each of its options:
a member or an option that is left out fails.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import simdrop
from numpy.typing import NDArray

Array = NDArray[Any]
Choices = tuple[dict[str, Any], ...]  # the ways in which one option, or some that exclude each other, may be given
SEED = 20261125

# Public functions that return no array with a gradient.
OTHERS = {
    "active_isa",
    "available_isas",
    "bernoulli",
    "drop_connect_moments",
    "get_num_threads",
    "linear_decay",
    "monte_carlo_predict",
    "normal",
    "random_bits",
    "set_num_threads",
    "use_isa",
}
# What does not change the derivative, or is no option of the forward pass.
COMMON = {"rng", "out", "threads", "return_drawn"}


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

CASES = [
    pytest.param(name, given, id=f"{name}-{number}")
    for name, row in ROWS.items()
    for number, given in enumerate(row.combinations())
]


def central_difference(loss: Callable[[], float], x: Array, step: float = 1e-6) -> Array:
    """The derivative of `loss` for each element of `x`, which is changed and put back."""
    found = np.empty_like(x)
    for i in np.ndindex(*x.shape):
        before = x[i]
        x[i] = before + step
        above = loss()
        x[i] = before - step
        found[i] = (above - loss()) / (2 * step)
        x[i] = before
    return found


@pytest.mark.parametrize(("name", "given"), CASES)
def test_backward_is_the_derivative(name: str, given: dict[str, Any]) -> None:
    row, member = ROWS[name], getattr(simdrop, name)
    random = np.random.default_rng(SEED)
    inputs: dict[str, Any] = {key: random.standard_normal(shape) for key, shape in row.inputs.items()}
    arguments = {**row.fixed, **inputs, **given}

    def forward() -> tuple[Array, Any]:
        own = {key: np.array(x) for key, x in arguments.items() if key in inputs and x is not None}
        return member(**{**arguments, **own}, rng=SEED, return_drawn=True)  # type: ignore[no-any-return]

    y, drawn = forward()
    grad = random.standard_normal(y.shape)
    also = {key: given[key] for key in row.passed_on}
    needed = [arguments[key] for key in row.needs]
    found = drawn.backward(grad, *needed, **also)
    gradients = list(found) if isinstance(found, tuple) else [found]
    if name == "concrete_dropout":
        by_p = gradients.pop()
        if given["training"] and 0 < given["p"] < 1:
            p = np.array(given["p"])
            at = lambda: float((member(inputs["x"], float(p), rng=SEED, temperature=given["temperature"]) * grad).sum())  # noqa: E731
            assert by_p == pytest.approx(float(central_difference(at, p)), rel=1e-5, abs=1e-7)
    assert len(gradients) == len(inputs), "a gradient for each input, in their order"
    for (key, x), gradient in zip(inputs.items(), gradients, strict=True):
        if arguments[key] is None:
            assert gradient is None
            continue
        numeric = central_difference(lambda: float((forward()[0] * grad).sum()), x)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8, err_msg=key)
        assert not np.shares_memory(gradient, grad)

    if "out" in inspect.signature(drawn.backward).parameters:
        same = grad.copy()
        for given_grad, out in ((grad, np.empty_like(grad)), (same, same)):
            again = drawn.backward(given_grad, *needed, out=out, **also)
            again = again if isinstance(again, tuple) else (again,)
            assert again[0] is out
            for one, two in zip(gradients, again, strict=False):
                np.testing.assert_array_equal(one, two)


def functions() -> dict[str, Any]:
    return {name: thing for name in simdrop.__all__ if inspect.isroutine(thing := getattr(simdrop, name))}


def test_every_member_is_in_the_table() -> None:
    assert set(ROWS) == set(functions()) - OTHERS
    assert set(functions()) >= OTHERS


@pytest.mark.parametrize("name", ROWS)
def test_every_option_is_in_the_table(name: str) -> None:
    row = ROWS[name]
    parameters = set(inspect.signature(getattr(simdrop, name)).parameters)
    assert parameters - COMMON == row.named() | set(row.inputs) | set(row.fixed)
