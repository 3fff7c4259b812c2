"""However a call arrives in JAX, its mask is that of simdrop.Mask, on every instruction set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simdrop

jax = pytest.importorskip("jax")
import simdrop.jax as sj  # noqa: E402
from helpers import DTYPES, PROBABILITIES  # noqa: E402
from jax import numpy as jnp  # noqa: E402
from jax_helpers import SEED, key, masked, same, values  # noqa: E402
from simdrop.jax import _primitive  # noqa: E402

SHAPE = (5, 7, 11)
WORDS = np.array([SEED >> 32, SEED & 0xFFFFFFFF], np.uint32)
FORMS: dict[str, Callable[..., Any]] = {
    "eager": lambda x, k: sj.dropout(x, 0.3, k),
    "jit": jax.jit(lambda x, k: sj.dropout(x, 0.3, k)),
    "jit, in place": jax.jit(lambda x, k: sj.dropout(x, 0.3, k, in_place=True)),
    "eager, in place": lambda x, k: sj.dropout(x, 0.3, k, in_place=True),
    "apply": lambda x, k: sj.apply(sj.mask_numbers(0.3, k), x),
    "apply in jit": jax.jit(lambda x, k: sj.apply(sj.mask_numbers(0.3, k), x)),
    "scan": lambda x, k: jax.lax.scan(lambda c, _: (c, sj.dropout(x, 0.3, k)), 0, None, length=2)[1][1],
    "checkpoint": jax.checkpoint(lambda x, k: sj.dropout(x, 0.3, k)),
    "cond": lambda x, k: jax.lax.cond(True, lambda: sj.dropout(x, 0.3, k), lambda: x),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_forms(form: Callable[..., Any], dtype: str, isa: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        x = values(SHAPE, dtype)
        same(form(jnp.asarray(x), key()), masked(x, 0.3), isa)


@pytest.mark.parametrize(("p", "why"), PROBABILITIES)
def test_probabilities(p: float, why: str, isa: str) -> None:
    x = values((1000,))
    same(sj.dropout(x, p, key()), masked(x, p), why)
    same(jax.jit(lambda x, k: sj.dropout(x, p, k))(x, key()), masked(x, p), why)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_traced_probabilities_are_rounded_as_static_ones(dtype: str) -> None:
    x = values((1000,))
    with jax.enable_x64(True):
        step = jax.jit(sj.dropout)
        near = [2.0**-41, 1.5 * 2.0**-40, 2.5 * 2.0**-40, 0.5 + 2.0**-41, 0.5 + 3 * 2.0**-41, 1 - 2.0**-41]
        for p in [p for p, _ in PROBABILITIES] + near:
            own = jnp.asarray(p, dtype)
            numbers = np.asarray(jax.jit(sj.mask_numbers)(own, key()))
            threshold = simdrop.Mask((), float(own), seed=0).threshold
            assert int(numbers[6]) + (int(numbers[7]) << 32) == threshold, p
            same(step(x, own, key()), masked(x, float(own)), p)


KEYS: dict[str, tuple[Any, dict[str, int]]] = {
    "threefry": (key(), {"seed": SEED}),
    "threefry of a small seed": (jax.random.key(7), {"seed": 7}),
    "raw threefry": (jnp.asarray(WORDS), {"seed": SEED}),
    "raw threefry in NumPy": (WORDS, {"seed": SEED}),
    "PRNGKey": (jax.random.PRNGKey(7), {"seed": 7}),
    "rbg": (jax.random.wrap_key_data(np.array([1, 2, 3, 4], np.uint32), impl="rbg"),
            {"seed": 2**32 + 2, "stream": 3 * 2**32 + 4}),
    "unsafe_rbg": (jax.random.wrap_key_data(np.array([1, 2, 3, 4], np.uint32), impl="unsafe_rbg"),
                   {"seed": 2**32 + 2, "stream": 3 * 2**32 + 4}),
    "raw rbg": (np.array([1, 2, 3, 4], np.uint32), {"seed": 2**32 + 2, "stream": 3 * 2**32 + 4}),
    "pair": ((SEED, 2**64 - 1), {"seed": SEED, "stream": 2**64 - 1}),
    "pair of arrays": ((jnp.uint32(5), jnp.int32(6)), {"seed": 5, "stream": 6}),
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_keys(name: str) -> None:
    given, numbers = KEYS[name]
    x = values(SHAPE)
    expected = masked(x, 0.1, **numbers)
    same(sj.dropout(x, 0.1, given), expected)
    same(jax.jit(lambda x: sj.dropout(x, 0.1, given))(x), expected)
    if max(numbers.values()) < 2**32 or name != "pair":
        same(jax.jit(lambda x, k: sj.dropout(x, 0.1, k))(x, given), expected)


def test_wide_integers_are_traced_in_64_bit_mode() -> None:
    x = values(SHAPE)
    with jax.enable_x64(True):
        step = jax.jit(lambda x, seed, stream, offset: sj.dropout(x, 0.1, (seed, stream), offset=offset))
        y = step(x, jnp.uint64(2**64 - 3), jnp.int64(2**40 + 1), jnp.int64(2**50 + 5))
        same(y, masked(x, 0.1, 2**64 - 3, stream=2**40 + 1, offset=2**50 + 5))


def test_one_compiled_function_serves_all_steps() -> None:
    step = jax.jit(lambda x, k, p, o: sj.dropout(x, p, k, offset=o))
    x = values(SHAPE)
    for seed, p, offset in ((1, 0.5, 0), (2, 0.25, 3), (3, 0.75, 2**31)):
        k = jax.random.key(seed)
        same(step(x, k, jnp.float32(p), jnp.uint32(offset)), masked(x, p, seed, offset=offset))
    assert step._cache_size() == 1


SHARED = [(None, 1, None), (1, None, None), (None, None, 1), (None, 1, 1), (1, 1, None), (1, None, 1), (1, 1, 1)]


@pytest.mark.parametrize("noise", SHARED)
def test_shared_bits(noise: tuple[int | None, ...], isa: str) -> None:
    x = values((6, 50, 70))
    expected = masked(x, 0.3, noise_shape=noise)
    same(sj.dropout(x, 0.3, key(), noise_shape=noise), expected)
    dims = tuple(d for d, n in enumerate(noise) if n == 1)
    same(jax.jit(lambda x, k: sj.dropout(x, 0.3, k, broadcast_dims=dims))(x, key()), expected)
    same(sj.apply(simdrop.Mask(x.shape, 0.3, seed=SEED, noise_shape=noise), x), expected)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (1, 1), (127,), (3, 1, 5), (1,) * 12, (2,) * 12])
def test_shapes(shape: tuple[int, ...]) -> None:
    x = values(shape)
    same(sj.dropout(x, 0.3, key()), masked(x, 0.3))
    same(jax.jit(sj.dropout)(x, 0.3, key()), masked(x, float(np.float32(0.3))))


def test_a_mask_with_an_offset() -> None:
    x = values(SHAPE)
    mask = simdrop.Mask(x.shape, 0.3, seed=1, stream=2, offset=2**58 - x.size)
    same(sj.apply(mask, x), mask.apply(x))
    same(jax.jit(lambda x: sj.apply(mask, x))(x), mask.apply(x))


def test_large_arrays_are_cut_between_threads(isa: str) -> None:
    for n in (491_520, 1_000_003, 5_000_000):  # just worth a second thread; several pieces; the last one short
        x = np.ones(n, np.float32)
        same(jax.jit(sj.dropout, static_argnums=1)(x, 0.3, key()), masked(x, 0.3), n)
    x = np.ones((3000, 300), np.float32)
    for noise in ((None, 1), (1, None)):
        same(sj.dropout(x, 0.3, key(), noise_shape=noise), masked(x, 0.3, noise_shape=noise), noise)


def test_windows(isa: str) -> None:
    """The part of a mask that a device draws: every place and size, with and without shared bits."""
    rng = np.random.default_rng(3)
    for case in range(200):
        rank = int(rng.integers(1, 5))
        whole = tuple(int(n) for n in rng.integers(1, 40, rank))
        noise = tuple(int(n) if rng.random() < 0.7 else 1 for n in whole)
        begin = [int(rng.integers(n)) for n in whole]
        end = [int(rng.integers(b, n)) + 1 for b, n in zip(begin, whole, strict=True)]
        x = rng.standard_normal(whole, np.float32)
        part = tuple(slice(b, e) for b, e in zip(begin, end, strict=True))
        expected = masked(x, 0.3, noise_shape=noise, offset=9)[part]
        steps, size = [0] * rank, 1
        for d in reversed(range(rank)):
            steps[d] = size if noise[d] > 1 else 0
            size *= noise[d]
        numbers = sj.mask_numbers(0.3, key(), offset=9).reshape((1,) * rank + (8,))
        y = _primitive._foreign((jnp.asarray(x[part]), numbers, jnp.array(begin, jnp.uint32)), tuple(steps), False)
        same(y, np.ascontiguousarray(expected), (case, whole, noise, part))


WINDOWS: dict[str, Callable[[Any], Any]] = {
    "rows": lambda a: a[1:4],
    "columns": lambda a: a[..., 2:9],
    "every second": lambda a: a[..., ::2],
    "backwards": lambda a: a[::-1, ::-2, ::-1],
    "transposed": lambda a: a.T,
    "one column": lambda a: a[:, 3],
}


@pytest.mark.parametrize("noise_shape", [None, (None, 1, None)], ids=str)
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())
def test_a_window_of_a_mask(window: Callable[[Any], Any], noise_shape: Any, isa: str) -> None:
    del isa
    x = values(SHAPE)
    mask = simdrop.Mask(SHAPE, 0.3, seed=SEED, offset=70, noise_shape=noise_shape)
    expected = np.ascontiguousarray(window(mask.apply(x)))
    piece = jnp.asarray(np.ascontiguousarray(window(x)))
    for form in (sj.apply, jax.jit(sj.apply, static_argnums=0)):
        same(form(window(mask), piece), expected, "a window")
