"""`Drawn.backward` of every member, for every combination of its options, against central differences in float64.

The table in `member_rows` must hold every public function that is not named in `OTHERS`, and a choice for each of its
options: a member or an option that is left out fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simdrop
from member_rows import ROWS, SEED
from numpy.typing import NDArray

Array = NDArray[Any]

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
