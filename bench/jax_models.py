"""What bench_jax.py times: dropout as Flax computes it and as simdrop does, and a transformer with either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
import simdrop.jax

Dropout: TypeAlias = Callable[[Any, float, Any], Any]
WIDTH, HEADS, LAYERS = 256, 4, 4


def flax_dropout(x: Any, p: float, key: Any) -> Any:
    """Compute what `flax.nnx.Dropout` does."""
    kept = jax.random.bernoulli(key, 1 - p, x.shape)
    return jax.lax.select(kept, x / (1 - p), jnp.zeros_like(x))


def no_dropout(x: Any, p: float, key: Any) -> Any:
    """Return the argument."""
    return x


def scaling(x: Any, p: float, key: Any) -> Any:
    """Scale and drop nothing: how fast dropout could be if masks cost nothing."""
    return x * (1 / (1 - p))


SIDES: dict[str, Dropout] = {"JAX": flax_dropout, "simdrop": simdrop.jax.dropout, "no dropout": no_dropout}


def forward(drop: Dropout, p: float) -> Any:
    """Return dropout under jit."""
    return jax.jit(lambda x, key: drop(x, p, key))


def forward_backward(drop: Dropout, p: float) -> Any:
    """Return dropout and its gradient under jit, as one program; both are results."""

    def run(x: Any, key: Any, g: Any) -> Any:
        y, pull = jax.vjp(lambda x: drop(x, p, key), x)
        return y, pull(g)[0]

    return jax.jit(run)


def saved_bytes(drop: Dropout, p: float, size: int) -> int:
    """Count the bytes that dropout alone keeps for its backward pass."""
    _, pull = jax.vjp(lambda x: drop(x, p, jax.random.key(1)), jnp.ones(size))
    return sum(leaf.nbytes for leaf in jax.tree.leaves(pull))


def _norm(x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)


def _layer(w: Any, x: Any, p: float, key: Any, drop: Dropout) -> Any:
    keys = jax.random.split(key, 4)
    n, t, c = x.shape
    q, k, v = jnp.moveaxis((x @ w["qkv"]).reshape(n, t, 3, HEADS, c // HEADS), 2, 0)
    scores = jnp.einsum("nthc,nshc->nhts", q, k) * (c // HEADS) ** -0.5
    weights = drop(jax.nn.softmax(scores), p, keys[0])
    attended = jnp.einsum("nhts,nshc->nthc", weights, v).reshape(n, t, c) @ w["out"]
    x = _norm(x + drop(attended, p, keys[1]))
    hidden = drop(jax.nn.relu(x @ w["up"]), p, keys[2])
    return _norm(x + drop(hidden @ w["down"], p, keys[3]))


def encoder(drop: Dropout, sequence: int, batch: int = 8, p: float = 0.1) -> Callable[[], Any]:
    """Return a training step of a transformer encoder: 4 layers, width 256, 4 heads."""
    sizes = {"qkv": (WIDTH, 3 * WIDTH), "out": (WIDTH, WIDTH), "up": (WIDTH, 4 * WIDTH), "down": (4 * WIDTH, WIDTH)}
    keys = iter(jax.random.split(jax.random.key(0), LAYERS * len(sizes) + 1))
    layers = [{n: jax.random.normal(next(keys), s) * s[0] ** -0.5 for n, s in sizes.items()} for _ in range(LAYERS)]
    x = jax.random.normal(next(keys), (batch, sequence, WIDTH))
    optimizer = optax.adamw(1e-4)

    def loss(layers: Any, x: Any, key: Any) -> Any:
        for w, own in zip(layers, jax.random.split(key, LAYERS), strict=True):
            x = _layer(w, x, p, own, drop)
        return ((x - 1) ** 2).mean()

    @jax.jit
    def update(layers: Any, state: Any, key: Any) -> Any:
        key, own = jax.random.split(key)
        value, gradient = jax.value_and_grad(loss)(layers, x, own)
        change, state = optimizer.update(gradient, state, layers)
        return optax.apply_updates(layers, change), state, key, value

    held = [layers, optimizer.init(layers), jax.random.key(1)]

    def step() -> float:
        *held[:], value = update(*held)
        return float(value)

    return step
