"""Bad input: one clear error, when a function is traced where it can be."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simdrop

jax = pytest.importorskip("jax")
import simdrop.jax as sj  # noqa: E402
from helpers import refused  # noqa: E402
from jax import numpy as jnp  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402
from jax_helpers import key  # noqa: E402
from simdrop.jax import _primitive  # noqa: E402

X = jnp.ones((2, 3))
RUN_TIME = (ValueError, jax.errors.JaxRuntimeError)  # JAX raises the one or the other
K = key()


@pytest.mark.parametrize(
    "x",
    [jnp.ones(3, jnp.int32), np.ones(3, np.int64), np.ones(3, bool), jnp.ones(3, jnp.complex64), np.ones(3, object),
     jnp.ones(3, jnp.float8_e4m3fn), np.ones(3, ">f4"), 1, True, 1j, [1.0, 2.0], None, "x"],
    ids=lambda x: str(getattr(x, "dtype", x)),
)  # fmt: skip
def test_x(x: Any) -> None:
    refused(lambda: sj.dropout(x, 0.5, K), TypeError, "x", "got", "float16, bfloat16, float32, float64")
    refused(lambda: sj.apply(sj.mask_numbers(0.5, K), x), TypeError, "x", "got", "float32")
    if isinstance(x, jax.Array):
        refused(lambda: jax.make_jaxpr(lambda x: sj.dropout(x, 0.5, K))(x), TypeError, "x", "got", str(x.dtype))


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), float("inf"), -(2.0**-60), np.float32(2), jnp.float32(-1)])
def test_p_out_of_range(p: Any) -> None:
    refused(lambda: sj.dropout(X, p, K), ValueError, "p", "0 to 1|between 0 and 1")
    refused(lambda: sj.dropout(X, p, K, training=False), ValueError, "p", "0 to 1|between 0 and 1")
    refused(lambda: jax.make_jaxpr(lambda x: sj.dropout(x, p, K))(X), ValueError, "p", "0 to 1|between 0 and 1")
    with pytest.raises(RUN_TIME, match=r"p: got .*accepted: 0 to 1"):
        jax.block_until_ready(jax.jit(sj.dropout)(X, jnp.float32(p), K))


@pytest.mark.parametrize("p", ["0.5", None, [0.5], 0.5j, np.ones(2), jnp.ones(2)])
def test_p_of_another_type(p: Any) -> None:
    refused(lambda: sj.dropout(X, p, K), TypeError, "p", "got")


@pytest.mark.parametrize("p", [jnp.ones(2), jnp.int32(0), jnp.complex64(0.5)], ids=str)
def test_traced_p_of_another_type(p: Any) -> None:
    refused(lambda: jax.jit(sj.dropout)(X, p, K), TypeError, "p", "traced")


@pytest.mark.parametrize(
    "bad",
    [None, 1, "key", 1.5, (1,), (1, 2, 3), (), jnp.ones(2, jnp.int32), jnp.ones(2), jnp.ones(3, jnp.uint32),
     jnp.ones((2, 2), jnp.uint32), jnp.uint32(1), (1.5, 2), (1, None), (True, jnp.ones(2, jnp.int32)),
     (1, jnp.float32(1)),
     jax.random.split(jax.random.key(1), 2), np.ones(2, np.uint64)],
    ids=str,
)  # fmt: skip
def test_key(bad: Any) -> None:
    refused(lambda: sj.dropout(X, 0.5, bad), TypeError, "key", "got", "accepted")
    refused(lambda: sj.mask_numbers(0.5, bad), TypeError, "key", "got", "accepted")
    refused(lambda: jax.make_jaxpr(lambda x: sj.dropout(x, 0.5, bad))(X), TypeError, "key", "got", "accepted")


@pytest.mark.parametrize("bad", [(-1, 0), (0, 2**64), (jnp.int32(-1), 0)], ids=str)
def test_numbers_of_a_key(bad: Any) -> None:
    refused(lambda: sj.dropout(X, 0.5, bad), ValueError, "key", "got")


def test_offset() -> None:
    for bad in (-1, 2**58 - 5, 2**64):
        refused(functools.partial(sj.dropout, X, 0.5, K, offset=bad), ValueError, "offset", "got")
    refused(lambda: sj.dropout(X, 0.5, K, offset=0.5), TypeError, "offset", "got")
    with jax.enable_x64(True), pytest.raises(RUN_TIME, match=r"offset: got .*accepted: indices below 2\^58"):
        jax.block_until_ready(jax.jit(lambda o: sj.dropout(X, 0.5, K, offset=o))(jnp.int64(2**58 - 5)))


def test_training() -> None:
    values: tuple[Any, ...] = (None, "no", jnp.bool_(True))
    for bad in values:
        refused(functools.partial(sj.dropout, X, 0.5, K, training=bad), TypeError, "training", "True or False")
    refused(
        lambda: jax.jit(lambda t: sj.dropout(X, 0.5, K, training=t))(True), TypeError, "training", "traced", "static"
    )
    assert sj.dropout(X, 0.5, training=False) is X


def test_shapes() -> None:
    refused(lambda: sj.dropout(X, 0.5, K, noise_shape=(2, 2)), ValueError, "noise_shape", "got")
    refused(lambda: sj.dropout(X, 0.5, K, noise_shape=(2,)), ValueError, "noise_shape", "got")
    refused(lambda: sj.dropout(X, 0.5, K, broadcast_dims=2), ValueError, "broadcast_dims", "got")
    refused(lambda: sj.dropout(X, 0.5, K, broadcast_dims=1, noise_shape=(2, 1)), ValueError, "broadcast_dims", "got")


def test_mask() -> None:
    refused(lambda: sj.apply(None, X), TypeError, "mask", "got", "simdrop.Mask")
    refused(lambda: sj.apply(jnp.ones(8), X), TypeError, "mask", "got float32")
    refused(lambda: sj.apply(jnp.ones(4, jnp.uint32), X), TypeError, "mask", r"\(8,\)")
    mask = simdrop.Mask((3, 2), 0.5, seed=1)
    refused(lambda: sj.apply(mask, X), ValueError, "x", r"\(2, 3\)", r"\(3, 2\)")
    refused(lambda: sj.apply(mask, jnp.ones((3, 2)), broadcast_dims=1), ValueError, "broadcast_dims", "Mask")


def test_spec() -> None:
    refused(lambda: sj.dropout(X, 0.5, K, spec=P("a")), ValueError, "spec", "shard_map")
    refused(lambda: sj.dropout(X, 0.5, K, spec=P(None, None, None)), ValueError, "spec", "2 entries")
    refused(lambda: sj.dropout(X, 0.5, K, spec="a"), ValueError, "spec", "PartitionSpec")
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    part = jax.shard_map(
        lambda x: sj.dropout(x, 0.5, K, spec=P("a")), mesh=mesh, in_specs=P("a"), out_specs=P("a"), axis_names={"a"}
    )
    refused(lambda: jax.jit(part)(X), NotImplementedError, "simdrop.jax", "shard_map", "accepted: over all")


def test_another_platform() -> None:
    """What a GPU would be told, without one: the program is only lowered."""
    traced = jax.jit(lambda x: sj.dropout(x, 0.5, K)).trace(X)
    traced.lower(lowering_platforms=("cpu",))
    refused(lambda: traced.lower(lowering_platforms=("cuda",)), NotImplementedError, "simdrop.jax", "cuda", "cpu")


def test_an_older_jax() -> None:
    script = "import jax; jax.__version__ = '0.9.2'; import simdrop.jax"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "ImportError: simdrop.jax: got JAX 0.9.2; accepted: 0.10 and later"


NUMBERS = jnp.array([1, 0, 0, 0, 0, 0, 0, 128], jnp.uint32).reshape(1, 1, 8)
STEPS = np.array([3, 1], np.int64)


def handler(*operands: Any, result: Any = None, **attributes: Any) -> Any:
    result = jax.ShapeDtypeStruct(X.shape, X.dtype) if result is None else result
    return jax.block_until_ready(jax.ffi.ffi_call(_primitive.TARGET, result)(*operands, **attributes))


HANDLED: dict[str, tuple[Callable[[], Any], str]] = {
    "no operands": (lambda: handler(steps=STEPS), "operands: got 0"),
    "one operand": (lambda: handler(X, steps=STEPS), "operands: got 1"),
    "four operands": (lambda: handler(X, NUMBERS, X, X, steps=STEPS), "operands: got 4"),
    "two results": (lambda: handler(X, NUMBERS, steps=STEPS, result=[X, X]), "results: got 2"),
    "integers": (lambda: handler(jnp.ones((2, 3), jnp.int32), NUMBERS, steps=STEPS), "x: got XLA's type 4"),
    "another result": (lambda: handler(X, NUMBERS, steps=STEPS, result=jnp.ones((3, 2))), "result: got 2"),
    "a longer result": (lambda: handler(X, NUMBERS, steps=STEPS, result=jnp.ones((2, 4))), "result: got 4"),
    "a result of another type": (
        lambda: handler(X, NUMBERS, steps=STEPS, result=jnp.ones((2, 3), jnp.float16)), "result"),
    "a result of another rank": (lambda: handler(X, NUMBERS, steps=STEPS, result=jnp.ones(6)), "result: got 1"),
    "numbers of another type": (lambda: handler(X, jnp.ones((1, 1, 8)), steps=STEPS), "numbers: got"),
    "numbers of another rank": (lambda: handler(X, NUMBERS[0], steps=STEPS), "numbers: dimensions: got 2"),
    "too few numbers": (lambda: handler(X, NUMBERS[:, :, :4], steps=STEPS), "numbers: dimensions"),
    "numbers of another length": (lambda: handler(X, jnp.tile(NUMBERS, (3, 1, 1)), steps=STEPS), "numbers: got 3"),
    "no steps": (lambda: handler(X, NUMBERS), "steps: got none"),
    "too few steps": (lambda: handler(X, NUMBERS, steps=STEPS[:1]), "steps: got another array"),
    "steps of another type": (lambda: handler(X, NUMBERS, steps=STEPS.astype(np.int32)), "steps: got another array"),
    "a step that is no array": (lambda: handler(X, NUMBERS, steps=3), "steps: got none"),
    "a negative step": (lambda: handler(X, NUMBERS, steps=-STEPS), "steps: got -3"),
    "an index too high": (lambda: handler(X, NUMBERS, steps=STEPS * 2**58), "starts: got 0"),
    "a start too high": (
        lambda: handler(X, NUMBERS, jnp.full(2, 2**31, jnp.uint32), steps=STEPS * 2**30), "starts: got 2147483648"),
    "starts of another type": (lambda: handler(X, NUMBERS, jnp.ones(2), steps=STEPS), "starts"),
    "too few starts": (lambda: handler(X, NUMBERS, jnp.ones(1, jnp.uint32), steps=STEPS), "starts"),
    "p above 1": (lambda: handler(X, NUMBERS.at[..., 7].set(257), steps=STEPS), "p: got"),
    "an offset too high": (lambda: handler(X, NUMBERS.at[..., 5].set(1 << 26), steps=STEPS), "offset: got"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), HANDLED.values(), ids=HANDLED.keys())
def test_the_handler_refuses_what_only_a_mistake_can_send(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(RUN_TIME, match=f"simdrop: {message}.*accepted: "):
        call()
    np.testing.assert_array_equal(
        handler(X, NUMBERS, steps=STEPS), simdrop.Mask((2, 3), 0.5, seed=1).apply(np.ones((2, 3)))
    )


def test_a_window_that_runs_backwards_beside_a_spec() -> None:
    mask = simdrop.Mask(8, 0.5, seed=1)[::-1]
    with pytest.raises(ValueError, match=r"mask: got .*steps=\(-1,\).*accepted beside spec"):
        sj.apply(mask, jnp.ones(8), spec=P(None))
