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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_of_16_bit_gradients_do_not_stop_growing(dtype: str) -> None:
    # 1 + 2**8 is 2**8 in bfloat16, and 1 + 2**11 is 2**11 in float16: a sum of more ones in that type stays there.
    n = 8192
    ones = np.ones((n, 2), dtype)
    nothing_dropped = simdrop.Mask((n, 2), 0.0, seed=1)
    bias = simdrop.BiasDropoutAddDrawn(nothing_dropped, scale=1.0).backward(ones)[1]
    assert bias is not None
    assert np.all(bias == n)
    assert (simdrop.SamplesDrawn(nothing_dropped, scale=1.0).backward(ones) == n).all()
    _, looked_up = simdrop.embedding_dropout(np.zeros(n, np.int64), ones[:3], 0.0, rng=1, return_drawn=True)
    assert (looked_up.backward(ones, np.zeros(n, np.int64))[0] == n).all()
    for per_sample in (False, True):
        weight = np.ones((2, 2), dtype)
        _, drawn = simdrop.drop_connect(ones, weight, weight[0], p=0.0, per_sample=per_sample, rng=1, return_drawn=True)
        _, of_weight, of_bias = drawn.backward(ones, ones, weight)
        assert (of_weight == n).all()
        assert np.all(of_bias == n)


def test_products_of_16_bit_gradients_keep_their_range() -> None:
    for size, product in ((1e-4, 1e-8), (1e3, 1e6)):  # below and above what float16 holds
        x = np.full(4, size, np.float16)
        for p in (0.0, 0.1):
            mask = simdrop.ConcreteMask((4,), p, 0.1, seed=1)
            wide = mask.backward(x.astype(np.float64), x.astype(np.float64))[1]
            assert mask.backward(x, x)[1] == pytest.approx(wide, rel=1e-6)
            assert 0 < abs(wide) < 1e3 * product
