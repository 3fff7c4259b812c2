"""The modules of Flax, and what importing costs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")
import inspect  # noqa: E402

import simdrop.jax as sj  # noqa: E402
from flax import linen, nnx  # noqa: E402
from helpers import refused  # noqa: E402
from jax import numpy as jnp  # noqa: E402
from jax_helpers import same, values  # noqa: E402
from places import ROOT  # noqa: E402
from simdrop.jax import linen as our_linen  # noqa: E402
from simdrop.jax import nnx as our_nnx  # noqa: E402

X = values((4, 5, 6))


@pytest.mark.parametrize(("ours", "flax"), [(our_nnx.Dropout, nnx.Dropout), (our_linen.Dropout, linen.Dropout)])
def test_the_arguments_are_flaxs(ours: Any, flax: Any) -> None:
    def names(function: Any) -> Any:
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    assert names(ours) == names(flax)
    assert names(ours.__call__) == names(flax.__call__)
    assert issubclass(ours, flax)


def test_nnx_takes_the_keys_that_flax_takes() -> None:
    layer = our_nnx.Dropout(0.3, broadcast_dims=(1,), rngs=nnx.Rngs(0))
    stock = nnx.Dropout(0.3, broadcast_dims=(1,), rngs=nnx.Rngs(0))
    for _ in range(3):
        same(layer(X), np.asarray(sj.dropout(X, 0.3, stock.rngs(), broadcast_dims=1)))
    rngs = nnx.Rngs(0, dropout=5)
    same(layer(X, rngs=rngs), np.asarray(sj.dropout(X, 0.3, nnx.Rngs(0, dropout=5).dropout(), broadcast_dims=1)))
    same(layer(X, rngs=jax.random.key(3)), np.asarray(sj.dropout(X, 0.3, jax.random.key(3), broadcast_dims=1)))


def test_nnx_modes() -> None:
    class Model(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.dropout = our_nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.dropout(x)

    model = Model(nnx.Rngs(1))
    run = nnx.jit(lambda model, x: model(x))
    first, second = run(model, X), run(model, X)
    assert not np.array_equal(first, second), "each call has a key of its own"
    model.eval()
    same(run(model, X), X)
    model.train()
    assert not np.array_equal(run(model, X), X, equal_nan=True)
    assert np.count_nonzero(our_nnx.Dropout(1.0, rngs=nnx.Rngs(0))(X)) == 0
    same(our_nnx.Dropout(0.0)(X), X)
    refused(lambda: our_nnx.Dropout(0.5)(X), ValueError, "rngs", "accepted")
    refused(lambda: our_nnx.Dropout(0.5, deterministic=None)(X), ValueError, "deterministic", "accepted")
    refused(lambda: our_nnx.Dropout(0.5)(X, rngs="x"), TypeError, "key", "accepted")


def test_linen() -> None:
    layer = our_linen.Dropout(0.3, broadcast_dims=(0,))

    class KeyOf(linen.Module):
        @linen.compact
        def __call__(self) -> Any:
            return self.make_rng("dropout")

    rngs = {"dropout": jax.random.key(2)}
    y = layer.apply({}, X, deterministic=False, rngs=rngs)
    same(y, np.asarray(sj.dropout(X, 0.3, KeyOf().apply({}, rngs=rngs), broadcast_dims=0)))
    same(layer.apply({}, X, deterministic=True), X)
    same(
        layer.apply({}, X, False, jax.random.key(2)),
        np.asarray(sj.dropout(X, 0.3, jax.random.key(2), broadcast_dims=0)),
    )


def test_the_package_does_not_import_jax() -> None:
    script = (
        "import sys, simdrop; assert 'jax' not in sys.modules; import simdrop.jax; assert 'flax' not in sys.modules;"
        "assert not hasattr(simdrop.jax, 'nnx')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_training_with_optax() -> None:
    optax = pytest.importorskip("optax")
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(
        nnx.Linear(8, 32, rngs=rngs), nnx.relu, our_nnx.Dropout(0.2, rngs=rngs), nnx.Linear(32, 1, rngs=rngs)
    )
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
    x = np.random.default_rng(0).standard_normal((256, 8)).astype(np.float32)
    y = jnp.asarray(x[:, :1] * x[:, 1:2])

    @nnx.jit
    def step(model: Any, optimizer: Any) -> Any:
        loss, gradient = nnx.value_and_grad(lambda model: ((model(x) - y) ** 2).mean())(model)
        optimizer.update(model, gradient)
        return loss

    losses = [float(step(model, optimizer)) for _ in range(200)]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


def test_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("optax", "sklearn"):
        pytest.importorskip(name)
    folder = ROOT / "examples"
    if not (folder / "jax_digits.py").is_file():
        pytest.skip("the examples are not part of this installation")
    monkeypatch.syspath_prepend(str(folder))
    assert importlib.import_module("jax_digits").main(["--epochs", "15"]) > 0.93


def test_a_rate_of_1_needs_no_key() -> None:
    ones = jnp.ones((3, 4))
    assert not our_nnx.Dropout(1.0, deterministic=False)(ones).any()
    assert not our_linen.Dropout(1.0, deterministic=False).apply({}, ones).any()
    rngs = nnx.Rngs(dropout=0)
    layer = our_nnx.Dropout(1.0, deterministic=False)
    layer(ones, rngs=rngs)
    assert int(rngs.dropout.count[...]) == 0, "nor takes one"
