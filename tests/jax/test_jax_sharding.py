"""Four host devices: each draws its part of one mask, and nothing is gathered."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import simdrop.jax as sj  # noqa: E402
from jax import numpy as jnp  # noqa: E402
from jax.sharding import NamedSharding, PartitionSpec  # noqa: E402
from jax_helpers import SEED, key, masked, same, values  # noqa: E402
from simdrop.jax import _primitive  # noqa: E402

P = PartitionSpec
SHAPE = (8, 12, 16)
X = np.random.default_rng(5).standard_normal(SHAPE).astype(np.float32)
PLACES = ("a", "b", ("a", "b"), ("b", "a"))
# Every way to divide three dimensions among one or two axes of the mesh.
SPECS = [
    spec
    for spec in itertools.product((None, *PLACES), repeat=3)
    if sorted(name for place in spec if place for name in place) in (["a"], ["b"], ["a", "b"])
]
TALK = re.compile(r"all-gather|all-to-all|collective-permute|all-reduce")
FORMS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "plain": (lambda x, k, **o: sj.dropout(x, 0.3, k, **o), {}),
    "shared rows": (lambda x, k, **o: sj.dropout(x, 0.3, k, noise_shape=(None, 1, None), **o), {"broadcast_dims": 1}),
    "shared columns": (lambda x, k, **o: sj.dropout(x, 0.3, k, broadcast_dims=2, **o), {"broadcast_dims": 2}),
    "in place": (lambda x, k, **o: sj.dropout(x, 0.3, k, in_place=True, **o), {}),
}  # fmt: skip


def mesh(kind: str, shape: tuple[int, int] = (2, 2)) -> Any:
    types = (getattr(jax.sharding.AxisType, kind),) * 2
    return jax.make_mesh(shape, ("a", "b"), axis_types=types)


def silent(step: Any, *arguments: Any) -> None:
    """The compiled program moves nothing from one device to another."""
    found = TALK.findall(step.lower(*arguments).compile().as_text())
    assert not found, found


def test_all_shardings_are_here() -> None:
    assert len(jax.devices()) == 4
    assert len(SPECS) == 3 * 2 + 3 * 2 + 3 * 2  # one axis; both on one dimension; both on two


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_under_jit(spec: tuple[Any, ...], form: str, kind: str) -> None:
    call, numbers = FORMS[form]
    x = jax.device_put(X, NamedSharding(mesh(kind), P(*spec)))
    forward = jax.jit(call)
    y = forward(x, key())
    same(y, masked(X, 0.3, **numbers))
    assert y.sharding.is_equivalent_to(x.sharding, 3)
    silent(forward, x, key())
    backward = jax.jit(lambda x, g, k: jax.vjp(lambda x: call(x, k), x)[1](g)[0])
    same(backward(x, y, key()), masked(masked(X, 0.3, **numbers), 0.3, **numbers))
    silent(backward, x, y, key())


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_under_shard_map(spec: tuple[Any, ...], form: str, kind: str) -> None:
    call, numbers = FORMS[form]
    own = P(*spec)
    x = jax.device_put(X, NamedSharding(mesh(kind), own))
    part = jax.shard_map(lambda x, k: call(x, k, spec=own), mesh=mesh(kind), in_specs=(own, P()), out_specs=own)
    forward = jax.jit(part)
    y = forward(x, key())
    same(y, masked(X, 0.3, **numbers))
    silent(forward, x, key())
    backward = jax.jit(lambda x, g, k: jax.vjp(lambda x: part(x, k), x)[1](g)[0])
    same(backward(x, y, key()), masked(masked(X, 0.3, **numbers), 0.3, **numbers))
    silent(backward, x, y, key())


def test_a_gather_would_be_seen() -> None:
    """A foreign call that is not divided gathers."""
    x = jax.device_put(X, NamedSharding(mesh("Auto"), P("a", "b")))
    numbers = sj.mask_numbers(0.3, key()).reshape(1, 1, 1, 8)
    step = jax.jit(lambda x: _primitive._foreign((x, numbers), (192, 16, 1), False))
    same(step(x), masked(X, 0.3))
    with pytest.raises(AssertionError, match="all-gather"):
        silent(step, x)


@pytest.mark.parametrize("shape", [(4, 1), (1, 4)])
def test_four_devices_along_one_axis(shape: tuple[int, int]) -> None:
    for name, dimension in itertools.product("ab", range(3)):
        spec = P(*(name if d == dimension else None for d in range(3)))
        x = jax.device_put(X, NamedSharding(mesh("Auto", shape), spec))
        step = jax.jit(lambda x, k: sj.dropout(x, 0.3, k))
        same(step(x, key()), masked(X, 0.3))
        silent(step, x, key())


@pytest.mark.parametrize("spec", [P("a"), P("a", "b"), P(None, "b", "a"), P(("a", "b"))], ids=str)
def test_batches(spec: PartitionSpec) -> None:
    """A mask for each element of a batch that is divided: its key goes where it is needed."""
    keys = jax.random.split(key(), SHAPE[0])
    step = jax.jit(jax.vmap(lambda x, k: sj.dropout(x, 0.3, k)))
    x = jax.device_put(X, NamedSharding(mesh("Auto"), spec))
    y = step(x, keys)
    for i, k in enumerate(keys):
        same(y[i], np.asarray(sj.dropout(X[i], 0.3, k)))
    assert "all-gather" not in step.lower(x, keys).compile().as_text()


def test_the_mask_is_not_the_shardings() -> None:
    """Inside a larger program, between operations that divide along other dimensions."""
    w = np.random.default_rng(6).standard_normal((16, 16)).astype(np.float32)

    def loss(x: Any, w: Any, k: Any) -> Any:
        return (sj.dropout(jnp.maximum(sj.dropout(x, 0.3, k) @ w, 0), 0.5, jax.random.fold_in(k, 1)) ** 2).sum()

    expected = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(X, w, key())
    for spec_x, spec_w in ((P("a"), P()), (P("a", None, "b"), P("b", None)), (P("a"), P(None, "b"))):
        x = jax.device_put(X, NamedSharding(mesh("Auto"), spec_x))
        own = jax.device_put(w, NamedSharding(mesh("Auto"), spec_w))
        found = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(x, own, key())
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-3), found, expected)
        assert np.array_equal(np.asarray(found[1][0]) == 0, np.asarray(expected[1][0]) == 0)


def test_outside_of_jit() -> None:
    x = jax.device_put(X, NamedSharding(mesh("Auto"), P("a", "b")))
    y = sj.dropout(x, 0.3, key())
    same(y, masked(X, 0.3))
    assert y.sharding.is_equivalent_to(x.sharding, 3)


def test_without_a_spec_each_part_has_a_mask_of_its_own() -> None:
    own = P("a", "b")
    part = jax.shard_map(lambda x, k: sj.dropout(x, 0.3, k), mesh=mesh("Auto"), in_specs=(own, P()), out_specs=own)
    y = np.asarray(jax.jit(part)(X, key()))
    for i, j in itertools.product(range(2), repeat=2):
        at = slice(4 * i, 4 * i + 4), slice(6 * j, 6 * j + 6)
        same(np.ascontiguousarray(y[at]), masked(np.ascontiguousarray(X[at]), 0.3))


def test_vmap_inside_shard_map() -> None:
    own = P("a", None, "b")

    def rows(x: Any, k: Any) -> Any:
        return jax.vmap(lambda x: sj.dropout(x, 0.3, k, spec=P("a", "b")), in_axes=1, out_axes=1)(x)

    y = jax.jit(jax.shard_map(rows, mesh=mesh("Auto"), in_specs=(own, P()), out_specs=own))(X, key())
    for j in range(SHAPE[1]):
        same(np.ascontiguousarray(y[:, j]), masked(np.ascontiguousarray(X[:, j]), 0.3))


def test_large_parts(isa: str) -> None:
    x = values((1024, 2048))
    for spec in (P("a"), P(None, "a"), P("a", "b")):
        y = jax.jit(lambda x, k: sj.dropout(x, 0.3, k))(jax.device_put(x, NamedSharding(mesh("Auto"), spec)), key())
        same(y, masked(x, 0.3, SEED), spec)


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_in_the_context_of_a_mesh(kind: str) -> None:
    x = np.random.default_rng(7).standard_normal((4, 6)).astype(np.float32)
    expected = masked(x, 0.3)
    for shape in ((2, 2), (4, 1), (1, 4)):  # one after another: nothing of a mesh may be left behind
        with jax.set_mesh(mesh(kind, shape)):
            same(sj.dropout(x, 0.3, key()), expected)
            given = jax.device_put(x, P("a", None))
            step = jax.jit(lambda x, k: sj.dropout(x, 0.3, k))
            same(step(given, key()), expected)
            silent(step, given, key())
            same(jax.jit(jax.grad(lambda x, k: (sj.dropout(x, 0.3, k) * x).sum()))(given, key()), expected * 2)
    same(sj.dropout(x, 0.3, key()), expected)


def test_shard_map_without_its_check() -> None:
    own = P("b", "a")
    part = jax.shard_map(
        lambda x, k: sj.dropout(x, 0.3, k, spec=own),
        mesh=mesh("Auto"),
        in_specs=(own, P()),
        out_specs=own,
        check_vma=False,
    )
    same(jax.jit(part)(X, key()), masked(X, 0.3))
