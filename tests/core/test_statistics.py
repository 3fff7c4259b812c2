"""Are the masks random? Exact distributions, fixed seeds, and checks that are shown to catch broken masks.

Every statistic below is a standard normal deviate, exactly or nearly, if the numbers are independent and uniform. With
fixed seeds a test passes always or never; one deviate in 5e8 lies beyond `LIMIT`, and about 1e5 are looked at.

The numbers u(i) are those of the oracle, which the other tests prove to be those of the kernels. `docs/statistics.md`
has the results of dieharder.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import reference
import simdrop
from numpy.typing import NDArray

LIMIT = 6.0
N = 1 << 16
LAGS = [*range(1, 257), *(128 * k for k in range(3, 33)), 4096, 6144, 12288]
TAIL = np.uint64(2**32 - 1)

U64 = NDArray[np.uint64]
Floats = NDArray[np.float64]


def share_deviate(count: int, n: int, p: float) -> float:
    """How far a binomial count is from n p."""
    return (count - n * p) / math.sqrt(n * p * (1 - p))


def lag_deviates(x: NDArray[Any], p: float, lags: list[int]) -> Floats:
    """Correlations of x, which is 1 with probability p, with itself some elements later.

    The terms of the sum are uncorrelated, overlapping ones too, so its variance is exactly n p^2 (1 - p)^2.
    """
    centred = x - p
    sums = [centred[:-lag] @ centred[lag:] for lag in lags]
    sizes = np.array([x.size - lag for lag in lags])
    return np.asarray(sums / (np.sqrt(sizes) * p * (1 - p)))


def chi_square_deviate(counts: NDArray[Any]) -> float:
    """Pearson's chi-square of counts that should be equal, as a normal deviate.

    E. B. Wilson and M. M. Hilferty, "The distribution of chi-square", PNAS 17, 1931: its cube root is nearly normal.
    """
    expected = counts.sum() / counts.size
    df = counts.size - 1
    chi2 = float(((counts - expected) ** 2).sum() / expected)
    return float(((chi2 / df) ** (1 / 3) - (1 - 2 / (9 * df))) / math.sqrt(2 / (9 * df)))


def correlations(bits: NDArray[Any]) -> Floats:
    """Deviates of all pairs of columns of an array of bits that are 1 half of the time."""
    signs = bits * 2.0 - 1
    matrix = signs.T @ signs / math.sqrt(len(bits))
    return np.asarray(matrix[np.triu_indices(bits.shape[1], 1)])


def bits_of(u: U64, count: int = 40) -> U64:
    return np.asarray((u[:, None] >> np.arange(count, dtype=np.uint64)) & np.uint64(1))


def bit_of(u: U64, bit: int) -> U64:
    return np.asarray((u >> np.uint64(bit)) & np.uint64(1))


def mask_problems(dropped: NDArray[np.bool_], p: float) -> list[str]:
    """What is wrong with a mask that should drop each element with probability p."""
    found = []
    share = share_deviate(int(np.count_nonzero(dropped)), dropped.size, p)
    if abs(share) > LIMIT:
        found.append(f"share of dropped: {share:.1f}")
    lags = lag_deviates(dropped, p, LAGS)
    found += [f"lag {LAGS[k]}: {lags[k]:.1f}" for k in np.flatnonzero(np.abs(lags) > LIMIT)]
    return found


def number_problems(u: U64) -> list[str]:
    """What is wrong with numbers that should be uniform 40-bit integers."""
    found = []
    for byte in range(5):
        values = (u >> np.uint64(8 * byte)) & np.uint64(255)
        deviate = chi_square_deviate(np.bincount(values.astype(np.int64), minlength=256))
        if abs(deviate) > LIMIT:
            found.append(f"byte {byte}: {deviate:.1f}")
    pairs = correlations(bits_of(u))  # across the planes, and the tail
    found += [f"pair of bits number {k}: {pairs[k]:.1f}" for k in np.flatnonzero(np.abs(pairs) > LIMIT)]
    for bit in (39, 38, 32, 31, 16, 0):  # planes 0, 1 and 7; the ends and the middle of the tail word
        lags = lag_deviates(bit_of(u, bit), 0.5, LAGS)
        found += [f"bit {bit}, lag {LAGS[k]}: {lags[k]:.1f}" for k in np.flatnonzero(np.abs(lags) > LIMIT)]
    return found


@pytest.mark.parametrize("p", [1e-6, 1e-5, 1e-4, 1e-3, 1 / 256, 0.01, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("upper", [False, True])
def test_the_share_is_binomial(p: float, upper: bool) -> None:
    # So many elements that even at p = 1e-6 some are dropped: 67.
    mask = simdrop.Mask((1 << 26,), 1 - p if upper else p, seed=2024)
    dropped = mask.size - mask.count_kept()
    assert abs(share_deviate(dropped, mask.size, mask.threshold / 2**40)) < LIMIT


@pytest.mark.parametrize("p", [0.5, 0.25, 0.1, 0.9, 0.003])
@pytest.mark.parametrize("offset", [0, 2**39 - N // 2, 2**58 - N])
def test_masks(p: float, offset: int) -> None:
    mask = simdrop.Mask((N,), p, seed=77, stream=3, offset=offset)
    assert mask_problems(~mask.keep(), mask.threshold / 2**40) == []


@pytest.mark.parametrize(("seed", "stream", "first"), [(0, 0, 0), (1, 0, 2**34 - N // 2), (2**63, 2**40, 2**57)])
def test_numbers(seed: int, stream: int, first: int) -> None:
    assert number_problems(reference.uniform(first, N, seed, stream)) == []


def four_share_a_word(u: U64) -> U64:
    """The mistake of the test below: elements 4 k to 4 k + 3 read the same word of their tail block."""
    return np.asarray((u & ~TAIL) | np.repeat((u & TAIL)[::4], 4))


def test_the_checks_catch_broken_masks() -> None:
    u = reference.uniform(0, N, 5, 0)
    shared = number_problems(four_share_a_word(u))
    assert any("bit 31, lag 1:" in problem for problem in shared), shared
    assert any("bit 31, lag 3:" in problem for problem in shared), shared

    # The same seen in a mask: where only the tail decides, neighbours that tie are dropped together.
    def after_a_tie(numbers: U64) -> NDArray[np.bool_]:
        return np.asarray((numbers & TAIL) < 2**31)

    assert mask_problems(after_a_tie(u), 0.5) == []
    assert mask_problems(after_a_tie(four_share_a_word(u)), 0.5) != []

    # Four neighbours that share all of their number.
    mask = simdrop.Mask((N,), 0.3, seed=1)
    dropped = ~mask.keep()
    p = mask.threshold / 2**40
    assert mask_problems(dropped, p) == []
    assert "lag 1" in str(mask_problems(np.repeat(dropped[::4], 4), p))

    # Other mistakes: a plane used twice, every block twice, a wrong probability, one element in 50 dropped besides.
    plane = np.uint64(1 << 38)
    twice = (u & ~plane) | ((u >> np.uint64(1)) & plane)
    assert number_problems(twice) != []
    assert "lag 128" in str(number_problems(np.repeat(u.reshape(-1, 128)[::2], 2, axis=0).ravel()))
    assert mask_problems(u < np.uint64(int(0.31 * 2**40)), 0.3) != []
    assert "share" in str(mask_problems(dropped | (np.arange(N) % 50 == 0), p))


@pytest.mark.parametrize("p", [0.5, 0.1])
@pytest.mark.parametrize("what", ["seed", "stream"])
@pytest.mark.parametrize("start", [0, 2**32 - 4, 2**63])
def test_neighbouring_seeds_and_streams(what: str, start: int, p: float) -> None:
    # All pairs of eight neighbours, and bit flips of the number.
    numbers = [start + k for k in range(8)] + [start ^ (1 << k) for k in range(3, 64, 6)]
    base: dict[str, Any] = {"seed": 11, "stream": 22}
    masks = [~simdrop.Mask((N,), p, **{**base, what: number}).keep() for number in numbers]
    q = simdrop.Mask(1, p, seed=0).threshold / 2**40
    centred = np.array(masks) - q
    deviates = centred @ centred.T / (math.sqrt(N) * q * (1 - q))
    off_diagonal = deviates[np.triu_indices(len(masks), 1)]
    assert np.abs(off_diagonal).max() < LIMIT
    # A seed and the stream of the same number are no twins either.
    assert np.abs(lag_deviates(masks[0] ^ masks[1], 2 * q * (1 - q), LAGS)).max() < LIMIT


def test_seed_and_stream_do_not_trade_places() -> None:
    a = ~simdrop.Mask((N,), 0.5, seed=3, stream=9).keep()
    b = ~simdrop.Mask((N,), 0.5, seed=9, stream=3).keep()
    assert abs(share_deviate(int(np.count_nonzero(a ^ b)), N, 0.5)) < LIMIT


def test_each_place_of_a_block_is_dropped_alike() -> None:
    # 128 places in a block; at p = 0.1 all nine blocks of an element matter.
    mask = simdrop.Mask((1 << 13, 128), 0.1, seed=6)
    dropped = ~mask.keep()
    counts = np.count_nonzero(dropped, axis=0)
    assert abs(chi_square_deviate(counts)) < LIMIT
    p = mask.threshold / 2**40
    centred = dropped - p
    matrix = centred.T @ centred / (math.sqrt(len(dropped)) * p * (1 - p))
    assert np.abs(matrix[np.triu_indices(128, 1)]).max() < LIMIT, "places of a block are independent"


def test_masks_are_nested_and_differ_by_the_right_share() -> None:
    ps = [1e-6, 1e-3, 0.1, 0.1 + 1e-4, 0.25, 0.5, 0.5 + 2**-20, 0.9, 1 - 1e-6]
    masks = [simdrop.Mask((1 << 22,), p, seed=8) for p in ps]
    before, q = ~masks[0].keep(), masks[0].threshold / 2**40
    for mask in masks[1:]:
        now, p = ~mask.keep(), mask.threshold / 2**40
        assert not np.any(before & ~now), "what a smaller p drops, a larger one drops too"
        more = int(np.count_nonzero(now) - np.count_nonzero(before))
        assert abs(share_deviate(more, mask.size, p - q)) < LIMIT
        before, q = now, p


def test_random_bits() -> None:
    words = simdrop.random_bits(N, rng=simdrop.Stream(4)).astype(np.uint64)
    assert np.abs(correlations(bits_of(words, 32))).max() < LIMIT
    for byte in range(4):
        values = ((words >> np.uint64(8 * byte)) & np.uint64(255)).astype(np.int64)
        assert abs(chi_square_deviate(np.bincount(values, minlength=256))) < LIMIT
    for bit in (0, 15, 31):
        assert np.abs(lag_deviates(bit_of(words, bit), 0.5, LAGS)).max() < LIMIT
    # The words of a stream are not those behind its masks.
    top = bit_of(reference.uniform(0, N, 4, 0), 39)
    assert abs(share_deviate(int(np.count_nonzero(top == bit_of(words, 31))), N, 0.5)) < LIMIT


def test_seeds_of_spawned_streams() -> None:
    seeds = np.array([child.seed for child in simdrop.Stream(4).spawn(20_000)], np.uint64)
    assert len(set(seeds.tolist())) == len(seeds)
    assert np.abs(correlations(bits_of(seeds, 64))).max() < LIMIT
    values = (seeds >> np.uint64(56)).astype(np.int64)
    assert abs(chi_square_deviate(np.bincount(values, minlength=256))) < LIMIT
