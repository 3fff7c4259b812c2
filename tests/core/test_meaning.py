"""What dropout means: the right share is dropped, the mean stays, the gradient is right, and `rng` is the usual one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import reference
import simdrop
from helpers import DTYPES, PROBABILITIES, any_bits, assert_same_bits, dtype_of, ordinary
from numpy.typing import NDArray

# The seeds are fixed, so these tests do not flake: a count whose exact probability is below this would be a defect.
TOO_UNLIKELY = 1e-5


@cache
def log_factorials(n: int) -> NDArray[np.float64]:
    return np.array([math.lgamma(k + 1.0) for k in range(n + 1)])


def binomial_tail(n: int, p: float, count: int) -> float:
    """The exact probability that a binomial count is as far out as `count`, on the side where that is."""
    if p in (0.0, 1.0):
        return 1.0 if count == n * p else 0.0
    k = np.arange(n + 1)
    f = log_factorials(n)
    mass = np.exp(f[n] - f[k] - f[n - k] + k * math.log(p) + (n - k) * math.log1p(-p))
    assert math.isclose(mass.sum(), 1.0, abs_tol=1e-6)
    return float(min(mass[: count + 1].sum(), mass[count:].sum()))


def test_binomial_tail_by_hand() -> None:
    assert math.isclose(binomial_tail(3, 0.5, 3), 1 / 8)
    assert math.isclose(binomial_tail(4, 0.25, 0), 0.75**4)
    assert binomial_tail(100_000, 0.1, 11_000) < TOO_UNLIKELY < binomial_tail(100_000, 0.1, 10_100)


N = 200_000


@pytest.mark.parametrize(("p", "why"), PROBABILITIES)
def test_the_right_share_is_dropped(p: float, why: str) -> None:
    for seed in range(5):
        mask = simdrop.Mask(N, p, seed=seed, stream=seed * 1000, offset=seed * 12345)
        dropped = N - mask.count_kept()
        assert binomial_tail(N, mask.threshold / 2**40, dropped) > TOO_UNLIKELY, (seed, dropped)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"seed": 1}, "the next seed"),
        ({"seed": 2**32}, "the high half of the seed"),
        ({"stream": 1}, "the next stream"),
        ({"stream": 2**32}, "the high half of the stream"),
        ({"offset": 1}, "neighbours"),
        ({"offset": 4}, "the same word of the next tail block"),
        ({"offset": 32}, "the same bit of the next word"),
        ({"offset": 128}, "the same bit of the next block"),
        ({"offset": 2**39}, "the same block, but for the second counter word"),
    ],
)
def test_masks_that_differ_are_independent(p: float, other: dict[str, Any], why: str) -> None:
    dropped = ~simdrop.Mask(N, p, seed=0).keep()
    others = ~simdrop.Mask(N, p, **{"seed": 0, **other}).keep()
    assert binomial_tail(N, p * p, int(np.count_nonzero(dropped & others))) > TOO_UNLIKELY


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_mean_is_preserved(isa: str, dtype: str) -> None:
    # The mean of inverted dropout of ones is kept / n * rounded scale: the count decides, and the count is binomial.
    x = np.ones(N, dtype_of(dtype))
    for p in (0.1, 0.5, 0.75):
        y = simdrop.dropout(x, p, rng=7).astype(np.float64)
        six_sigma = 6 * math.sqrt(p / (1 - p) / N)
        rounding = float(2.0 ** -{"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}[dtype])
        assert abs(y.mean() - 1) < six_sigma + rounding, p


def test_the_sum_over_many_masks_preserves_each_element() -> None:
    x = ordinary(64, "float64")
    stream = simdrop.Stream(3)
    total = np.zeros_like(x)
    for _ in range(4000):
        total += simdrop.dropout(x, 0.2, rng=stream)
    assert np.all(np.abs(total / 4000 - x) < 6 * np.abs(x) * math.sqrt(0.25 / 4000))


def test_backward_is_the_derivative(isa: str) -> None:
    # d/dx of loss(dropout(x)) by central differences against backward of the gradient that reaches dropout.
    x = ordinary(60, "float64").reshape(5, 12)
    _, drawn = simdrop.dropout(x, 0.3, rng=11, return_drawn=True)

    def loss(values: NDArray[Any]) -> float:
        return float(np.sum(np.tanh(drawn.apply(values)) ** 2))

    y = drawn.apply(x)
    gradient = drawn.backward(2 * np.tanh(y) * (1 - np.tanh(y) ** 2))
    assert 0 < drawn.mask.count_kept() < drawn.mask.size
    h = 1e-5
    numeric = np.empty_like(x)
    for i in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[i] = h
        numeric[i] = (loss(x + step) - loss(x - step)) / (2 * h)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-9)
    assert not np.any(gradient[~drawn.mask.keep()])


def test_the_returned_mask_is_the_one_that_was_used(isa: str) -> None:
    x = any_bits(1000, "float32").reshape(10, 100)
    for call in (simdrop.dropout, simdrop.dropout_):
        result, drawn = call(x.copy(), 0.4, return_drawn=True)  # fresh entropy
        mask = drawn.mask
        assert isinstance(mask, simdrop.Mask)
        assert (mask.shape, mask.p, mask.stream, mask.offset) == (x.shape, 0.4, 0, 0)
        assert_same_bits(result, mask.apply(x))


def test_classic_and_inverted_agree_up_to_the_scale(isa: str) -> None:
    x = ordinary(1000, "float64")
    for p in (0.5, 0.75):  # powers of two, so that nothing is rounded
        inverted = simdrop.dropout(x, p, rng=2)
        classic = simdrop.dropout(x, p, rng=2, scaling="classic")
        np.testing.assert_array_equal(inverted * (1 - p), classic)
        np.testing.assert_array_equal(simdrop.dropout(x, p, training=False, scaling="classic"), x * (1 - p))
        np.testing.assert_array_equal(simdrop.dropout(x, p, training=False), x)


def test_not_training_draws_nothing() -> None:
    stream = simdrop.Stream(1, 5)
    generator = np.random.default_rng(1)
    before = generator.bit_generator.state
    x = ordinary(100, "float32")
    for scaling in ("inverted", "classic"):
        for rng in (stream, generator):
            result, drawn = simdrop.dropout(x, 0.5, rng=rng, training=False, scaling=scaling, return_drawn=True)
            assert drawn.mask == simdrop.Mask(x.shape, 0.0, seed=0)
            assert not np.shares_memory(result, x), "a new array all the same"
            simdrop.dropout_(x.copy(), 0.5, rng=rng, training=False, scaling=scaling)
    assert stream.state == (1, 5)
    assert generator.bit_generator.state == before


@pytest.mark.parametrize("dtype", DTYPES)
def test_p_0_and_p_1(isa: str, dtype: str) -> None:
    x = any_bits(3000, dtype)
    for scaling in ("inverted", "classic"):
        assert_same_bits(simdrop.dropout(x, 0.0, scaling=scaling), x, "p = 0 returns the same bits")
        assert_same_bits(simdrop.dropout(x, 1.0, scaling=scaling), np.zeros_like(x), "p = 1 gives +0")
        y = x.copy()
        assert_same_bits(simdrop.dropout_(y, 0.0, scaling=scaling), x)
        assert_same_bits(simdrop.dropout_(y, 1.0, scaling=scaling), np.zeros_like(x))
    everything = simdrop.Mask(10, 1.0, seed=0)
    assert (everything.count_kept(), everything.keep_probability) == (0, 0.0)


def seed_of(rng: Any) -> tuple[int, int]:
    """Seed and stream that a call took from `rng`."""
    _, drawn = simdrop.dropout(np.ones(3, np.float32), 0.5, rng=rng, return_drawn=True)
    return drawn.mask.seed, drawn.mask.stream


def test_rng_seed() -> None:
    for seed in (0, 42, 2**64 - 1, np.int64(5), np.uint64(2**64 - 1)):
        assert seed_of(seed) == (int(seed), 0)


def test_rng_none_is_fresh_each_time() -> None:
    seeds = [seed_of(None) for _ in range(8)]
    assert len(set(seeds)) == 8
    assert {stream for _, stream in seeds} == {0}
    assert max(seed for seed, _ in seeds) > 2**56, "all 64 bits are drawn"


def test_rng_seed_sequence() -> None:
    sequence = np.random.SeedSequence(123)
    expected = int(np.random.SeedSequence(123).generate_state(1, np.uint64)[0])
    assert seed_of(sequence) == (expected, 0)
    assert seed_of(sequence) == (expected, 0), "a seed sequence has no state to advance"


@pytest.mark.parametrize("make", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_rng_generator_and_bit_generator_advance(make: Callable[[int], Any]) -> None:
    twin = np.random.Generator(make(9))
    expected = [int(twin.integers(0, 2**64, dtype=np.uint64)) for _ in range(4)]
    generator = np.random.Generator(make(9))
    bit_generator = make(9)
    assert [seed_of(generator) for _ in range(4)] == [(seed, 0) for seed in expected]
    assert [seed_of(bit_generator) for _ in range(4)] == [(seed, 0) for seed in expected]


def test_rng_stream_takes_the_next_number() -> None:
    stream = simdrop.Stream(4, 10)
    assert [seed_of(stream) for _ in range(3)] == [(4, 10), (4, 11), (4, 12)]
    # Whatever p and the size, a call takes one number, so that changing p moves no later mask.
    simdrop.dropout(np.ones(5), 0.0, rng=stream)
    simdrop.dropout_(np.ones(5), 1.0, rng=stream)
    simdrop.dropout(np.ones(0), 0.5, rng=stream)
    simdrop.bernoulli(0.5, 3, rng=stream)
    simdrop.random_bits(3, rng=stream)
    assert stream.state == (4, 18)


def test_rng_means_the_same_for_every_function() -> None:
    for rng, seed in ((77, 77), (np.random.SeedSequence(1), None), (np.random.default_rng(5), None)):
        twin = np.random.default_rng(5) if isinstance(rng, np.random.Generator) else rng
        for _ in range(2):
            expected = seed if seed is not None else seed_of(twin)[0]
            np.testing.assert_array_equal(simdrop.random_bits(9, rng=rng), reference.random_bits(9, expected))
            expected = seed if seed is not None else seed_of(twin)[0]
            np.testing.assert_array_equal(simdrop.bernoulli(0.3, 9, rng=rng), ~reference.keep(9, 0.3, expected))


@pytest.mark.parametrize("size", [7, (2, 3), (), (0, 4), [2, 2], np.int64(3)])
def test_sizes_of_draws(size: Any) -> None:
    shape = np.empty(size).shape
    n = math.prod(shape)
    np.testing.assert_array_equal(
        simdrop.random_bits(size, rng=3), reference.random_bits(n, 3).reshape(shape), strict=True
    )
    np.testing.assert_array_equal(
        simdrop.bernoulli(0.3, size, rng=3), ~reference.keep(n, 0.3, 3).reshape(shape), strict=True
    )
    packed = simdrop.bernoulli(0.3, size, rng=3, packed=True)
    np.testing.assert_array_equal(packed, reference.pack(~reference.keep(n, 0.3, 3)), strict=True)


def test_classic_inference_at_p_1_is_plus_zero(isa: str) -> None:
    x = np.array([-1.0, np.inf, np.nan, 3.0], np.float32)
    assert simdrop.dropout(x, 1.0, training=False, scaling="classic").tobytes() == bytes(16)


@pytest.mark.parametrize(
    "draw",
    [
        lambda stream: simdrop.bernoulli(0.5, 4, rng=stream, threads=0),
        lambda stream: simdrop.bernoulli(1.5, 4, rng=stream),
        lambda stream: simdrop.random_bits(4, rng=stream, threads=0),
        lambda stream: simdrop.dropout(np.ones(4), 0.5, rng=stream, threads=0),
        lambda stream: simdrop.dropout(np.ones(4, int), 0.5, rng=stream),
    ],
)
def test_a_call_that_fails_takes_no_number(draw: Callable[[simdrop.Stream], object]) -> None:
    stream = simdrop.Stream(5, 3)
    with pytest.raises((TypeError, ValueError)):
        draw(stream)
    assert stream.state == (5, 3)
