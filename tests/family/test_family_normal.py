"""Normal deviates: the definition to the last bit, known answers, their distribution."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest
import reference_normal
import simdrop
from helpers import assert_same_bits, refused
from places import ROOT

DOCUMENT = ROOT / "docs" / "normal-deviates.md"


def table() -> list[tuple[int, int, list[float]]]:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (`.*`) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return [
        (int(seed), int(stream), [float.fromhex(z) for z in re.findall("`(.*?)`", zs)]) for seed, stream, zs in rows
    ]


@pytest.mark.skipif(not DOCUMENT.is_file(), reason="the documents are not part of this installation")
def test_known_answers(isa: str) -> None:
    rows = table()
    assert len(rows) == 4
    for seed, stream, expected in rows:
        assert_same_bits(simdrop.normal(4, rng=simdrop.Stream(seed, stream)), np.array(expected))
        assert reference_normal.normal(0, 4, seed, stream) == expected


@pytest.mark.parametrize(("first", "count"), [(0, 1), (1, 1), (3, 700), (2**57 - 999, 999), (2**40 - 5, 40)])
def test_the_definition(isa: str, first: int, count: int) -> None:
    noise = simdrop.Noise((count,), 1.0, multiplicative=False, seed=9, stream=3, offset=first)
    expected = np.array(reference_normal.normal(first, count, 9, 3))
    assert_same_bits(noise.apply(np.full(count, -0.0)), expected)


def test_extreme_words() -> None:
    # u = 1 (the logarithm is 0), the smallest u, and the ends of each quarter turn
    last = 2**32 - 1
    for words in ((0, 0, 0, 0), (last, last, last, last), (0, 0, last, 2**30 - 1), (last, last, 0, 2**30)):
        z = reference_normal.pair(words)
        assert all(math.isfinite(value) and abs(value) < 8.5 for value in z)


def test_polynomials_are_accurate() -> None:
    for j in range(1, 2000):
        u = j / 2000
        assert reference_normal.logarithm(u) == pytest.approx(math.log(u), rel=5e-16)
        y = (u - 0.5) * math.pi / 2
        assert reference_normal.sine(y) == pytest.approx(math.sin(y), rel=5e-16, abs=1e-18)
        assert reference_normal.cosine(y) == pytest.approx(math.cos(y), rel=5e-16)


def test_the_distribution() -> None:
    n = 1_000_000
    z = simdrop.normal(n, rng=20240501)
    # Six standard deviations of each estimate.
    assert abs(z.mean()) < 6 / math.sqrt(n)
    assert abs(z.var() - 1) < 6 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 6 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 6 * math.sqrt(96 / n)
    assert abs((z[::2] * z[1::2]).mean()) < 6 / math.sqrt(n / 2)
    # Kolmogorov and Smirnov; 2.3 / sqrt(n) is exceeded once in 20,000.
    ranked = np.sort(z)[:: n // 2000]
    cdf = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in ranked])
    assert np.abs(cdf - np.arange(0, n, n // 2000) / n).max() < 2.3 / math.sqrt(n) + 1 / n


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_each_deviate_is_rounded_once(isa: str, dtype: str) -> None:
    z = simdrop.normal(1001, rng=5)
    wide = np.float64 if dtype == "float64" else np.float32
    assert_same_bits(simdrop.normal(1001, rng=5, dtype=dtype), z.astype(wide).astype(dtype))
    x = np.random.default_rng(1).standard_normal(1001).astype(dtype)
    sd = math.sqrt(0.25 / 0.75)
    expected = (x.astype(wide) * (1 + sd * z).astype(wide)).astype(dtype)
    assert_same_bits(simdrop.gaussian_dropout(x, 0.25, rng=5), expected)


def test_noise_is_a_value() -> None:
    noise = simdrop.Noise((2, 3), 0.5, seed=1, stream=2, offset=3)
    assert eval(repr(noise)) == noise
    assert pickle.loads(pickle.dumps(noise)) == noise
    assert hash(noise) == hash(simdrop.Noise((2, 3), 0.5, seed=1, stream=2, offset=3))
    assert noise != simdrop.Noise((2, 3), 0.5, multiplicative=False, seed=1, stream=2, offset=3)


def test_edges() -> None:
    x = np.array([np.nan, -0.0, np.inf, 1.0], np.float32)
    assert_same_bits(simdrop.gaussian_dropout(x, 0.0, rng=1), x)
    assert_same_bits(simdrop.gaussian_noise(x, 0.0, rng=1), x)
    assert_same_bits(simdrop.gaussian_dropout(x, 0.5, rng=1, training=False), x)
    assert simdrop.gaussian_noise(np.empty((0, 3)), 1.0, rng=1).shape == (0, 3)
    assert simdrop.gaussian_noise(np.array(1.0), 1.0, rng=1).shape == ()
    stream = simdrop.Stream(1)
    simdrop.gaussian_dropout(x, 0.5, rng=stream, training=False)
    assert stream.stream == 0
    refused(lambda: simdrop.gaussian_dropout(x, 1.0), ValueError, "p", "not including")
    refused(lambda: simdrop.gaussian_noise(x, -1.0), ValueError, "sd", "0 and above")
    refused(lambda: simdrop.gaussian_noise(x, float("nan")), ValueError, "sd")
    refused(lambda: simdrop.gaussian_noise(x, "a"), TypeError, "sd")  # type: ignore[call-overload]
    refused(lambda: simdrop.Noise((2,), 1.0, seed=1).apply(np.ones(3)), ValueError, "x", "shape")
    refused(lambda: simdrop.Noise((2,), 1.0, seed=1, offset=2**57), ValueError, "offset")
