"""Derivatives, batches, rematerialisation and memory: the mask stays one, and what is kept is the key."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import simdrop

jax = pytest.importorskip("jax")
import simdrop.jax as sj  # noqa: E402
from jax import numpy as jnp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402
from jax_helpers import SEED, key, masked, same, values  # noqa: E402

SHAPE = (6, 7)
X = np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)
SCALE = masked(np.ones(SHAPE, np.float32), 0.3)


def drop(x: Any, k: Any = None) -> Any:
    return sj.dropout(x, 0.3, key() if k is None else k)


def test_first_derivatives() -> None:
    g = np.random.default_rng(3).standard_normal(SHAPE).astype(np.float32)
    expected = masked(g, 0.3)
    y, pull = jax.vjp(drop, X)
    same(y, masked(X, 0.3))
    same(pull(g)[0], expected)
    same(jax.jit(lambda x, k, g: jax.vjp(drop, x, k)[1](g)[0])(X, key(), g), expected)
    same(jax.jvp(drop, (X,), (g,))[1], expected)
    same(jax.linearize(drop, X)[1](g), expected)
    same(jax.linear_transpose(drop, X)(g)[0], expected)
    same(jax.grad(lambda x: (drop(x) * g).sum())(X), expected)


def test_second_derivatives() -> None:
    def loss(x: Any) -> Any:
        return (drop(x) ** 3).sum()

    second = np.asarray(jax.hessian(loss)(X)).reshape(X.size, X.size)
    np.testing.assert_allclose(np.diag(second), (6 * SCALE**3 * X).ravel(), rtol=1e-5)
    assert np.count_nonzero(second - np.diag(np.diag(second))) == 0
    np.testing.assert_allclose(jax.jacfwd(jax.grad(loss))(X).reshape(second.shape), second, rtol=1e-6)
    with jax.enable_x64(True):
        check_grads(lambda x: drop(jnp.sin(drop(x))), (X.astype(np.float64),), order=2)


def test_a_dropped_gradient_is_zero_whatever_it_was() -> None:
    g = np.full(SHAPE, np.nan, np.float32)
    pulled = np.asarray(jax.vjp(drop, X)[1](g)[0])
    assert np.array_equal(pulled == 0, SCALE == 0)
    assert not np.signbit(pulled[SCALE == 0]).any()


@pytest.mark.parametrize("make", [key, lambda: jax.random.key(1, impl="rbg"), lambda: (1, 2)])
def test_what_is_kept_is_the_key(make: Any) -> None:
    x = jnp.ones(100_000)
    kept = jax.tree.leaves(jax.vjp(lambda x: sj.dropout(x, 0.1, make()), x)[1])
    assert sum(leaf.nbytes for leaf in kept) <= 32
    kept = jax.tree.leaves(jax.vjp(lambda x: jnp.where(jax.random.bernoulli(key(), 0.9, x.shape), x, 0), x)[1])
    assert sum(leaf.nbytes for leaf in kept) >= 100_000, "this test can fail"


def test_checkpoint_draws_the_same_mask_again() -> None:
    def block(x: Any, k: Any) -> Any:
        return sj.dropout(jnp.sin(sj.dropout(x, 0.3, k)), 0.5, jax.random.fold_in(k, 1)) ** 2

    plain = jax.grad(lambda x: block(x, key()).sum())(X)
    again = jax.jit(jax.grad(lambda x: jax.checkpoint(block)(x, key()).sum()))(X)
    np.testing.assert_allclose(again, plain, rtol=1e-6)
    assert np.array_equal(np.asarray(again) == 0, np.asarray(plain) == 0)


def test_scan_with_a_key_for_each_step() -> None:
    keys = jax.random.split(key(), 4)

    def loss(x: Any) -> Any:
        return jax.lax.scan(lambda c, k: (sj.dropout(c, 0.3, k), None), x, keys)[0].sum()

    expected = X
    grown = np.ones_like(X)
    for k in keys:
        expected, grown = np.asarray(drop(expected, k)), np.asarray(drop(grown, k))
    same(jax.jit(lambda x: jax.lax.scan(lambda c, k: (sj.dropout(c, 0.3, k), None), x, keys)[0])(X), expected)
    same(jax.jit(jax.grad(loss))(X), grown)


BATCHES: dict[str, tuple[Any, ...]] = {
    "x": (0, None), "keys": (None, 0), "both": (0, 0), "x along 1": (1, None), "both along 1": (1, 0),
}  # fmt: skip


@pytest.mark.parametrize("axes", BATCHES.values(), ids=BATCHES.keys())
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_a_batch_is_a_loop(axes: tuple[Any, ...], wrap: Any, isa: str) -> None:
    n = 6
    x = values((n, n, 50))
    keys = jax.random.split(key(), n)
    y = wrap(jax.vmap(drop, in_axes=axes))(x, keys if axes[1] == 0 else key())
    for i in range(n):
        one = x if axes[0] is None else np.take(x, i, axes[0])
        same(y[i], np.asarray(drop(jnp.asarray(one), keys[i] if axes[1] == 0 else key())), i)


def test_batches_of_batches_of_derivatives() -> None:
    keys = jax.random.split(key(), (3, 4))
    x = values((4, 3, 50))[:, :, 3:]

    def gradient(x: Any, k: Any) -> Any:
        return jax.grad(lambda x: (sj.dropout(x, 0.3, k, noise_shape=(None,)) ** 2).sum())(x)

    y = jax.jit(jax.vmap(jax.vmap(gradient), in_axes=(1, 0)))(x, keys)
    for i in range(3):
        for j in range(4):
            same(y[i, j], np.asarray(gradient(jnp.asarray(x[j, i]), keys[i, j])))


def test_a_batch_of_probabilities_and_offsets() -> None:
    p, offsets = jnp.array([0.0, 0.25, 1.0]), jnp.array([0, 5, 7], jnp.uint32)
    y = jax.vmap(lambda p, o: sj.dropout(X, p, key(), offset=o))(p, offsets)
    for i in range(3):
        same(y[i], masked(X, float(p[i]), offset=int(offsets[i])))


def test_donated_memory_is_the_results() -> None:
    n = 1 << 20
    step = jax.jit(lambda x, k: sj.dropout(x, 0.3, k, in_place=True), donate_argnums=0)
    x = jnp.ones(n)
    address = x.unsafe_buffer_pointer()
    y = step(x, key())
    assert x.is_deleted()
    assert y.unsafe_buffer_pointer() == address
    same(y, masked(np.ones(n, np.float32), 0.3))
    memory = step.lower(y, key()).compile().memory_analysis()
    assert memory.alias_size_in_bytes == 4 * n
    assert memory.temp_size_in_bytes < 1024, "no second array"
    other = jax.jit(lambda x, k: sj.dropout(x, 0.3, k), donate_argnums=0).lower(y, key()).compile()
    assert other.memory_analysis().temp_size_in_bytes >= 4 * n, "this test can fail"


def test_in_place_leaves_what_is_still_needed() -> None:
    x = jnp.asarray(X)
    y, kept = jax.jit(lambda x: (sj.dropout(x, 0.3, key(), in_place=True), x))(x)
    same(y, masked(X, 0.3))
    same(kept, X)
    same(x, X)


def test_gradients_with_respect_to_p_are_zero() -> None:
    assert jax.grad(lambda p: sj.dropout(X, p, key()).sum())(0.3) == 0


def test_threads_are_those_of_xla() -> None:
    """Jitted dropout starts no thread: the pool of the NumPy side is not used."""
    script = """
import os, jax, numpy as np, simdrop, simdrop.jax
simdrop.set_num_threads(2)
step = jax.jit(lambda x, k, s: simdrop.jax.dropout(x, 0.3, k) * s)
x, key = jax.numpy.ones(4_000_000), jax.random.key(1)
jax.block_until_ready(jax.jit(lambda x, s: jax.numpy.sin(x) * s)(x, 2.0))
jax.block_until_ready(jax.jit(lambda x, k, s: x * s)(x, key, 2.0))
def threads():
    return len(os.listdir("/proc/self/task"))
before = threads()
for _ in range(20):
    jax.block_until_ready(step(x, key, 2.0))
print(threads() - before)
for _ in range(20):
    simdrop.Mask(x.shape, 0.3, seed=1).apply(np.asarray(x), threads=2)
print(threads() - before)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("threads are counted in /proc")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    own, with_pool = done.stdout.split()
    assert int(own) == 0
    assert int(with_pool) == 1, "this test can fail"


def test_many_calls_at_once() -> None:
    """Every device's thread calls the handler at the same time, and asks the same pool for help."""
    x = np.ones(1_500_000, np.float32)
    step = jax.jit(lambda x, k: [sj.dropout(x, 0.3, jax.random.fold_in(k, i)) for i in range(4)])
    results = [step(jax.device_put(x, d), key(SEED + i)) for i, d in enumerate(jax.devices())]
    for i, parts in enumerate(results):
        for j, part in enumerate(parts):
            words = np.asarray(jax.random.key_data(jax.random.fold_in(key(SEED + i), j)))
            same(part, masked(x, 0.3, (int(words[0]) << 32) + int(words[1])))
    assert simdrop.active_isa() in simdrop.available_isas()


def test_without_jit() -> None:
    # the way to debug a program: everything is evaluated at once, but for the operation itself
    g = np.random.default_rng(3).standard_normal(SHAPE).astype(np.float32)
    with jax.disable_jit():
        same(drop(X), masked(X, 0.3))
        same(sj.apply(simdrop.Mask(SHAPE, 0.3, seed=SEED), X), simdrop.Mask(SHAPE, 0.3, seed=SEED).apply(X))
        same(jax.vjp(drop, X)[1](g)[0], masked(g, 0.3))
        same(jax.vmap(drop, (0, None))(X[None], key())[0], masked(X, 0.3))
