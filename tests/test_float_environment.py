"""The floating-point environment of the caller: whatever it is, results are the same, and it is left as it was."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import platform
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import assert_same_bits

# <fenv.h> of glibc: FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO
ROUNDING = {
    "x86_64": {"nearest": 0, "down": 0x400, "up": 0x800, "to zero": 0xC00},
    "aarch64": {"nearest": 0, "up": 0x400000, "down": 0x800000, "to zero": 0xC00000},
}.get(platform.machine(), {})
pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or not ROUNDING, reason="the numbers of the rounding modes are glibc's"
)


@pytest.fixture(params=list(ROUNDING))
def rounding(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Run a function under a rounding mode; everything around it runs in the usual one."""
    libm = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
    mode = ROUNDING[request.param]

    def under(function: Callable[[], Any]) -> Any:
        assert libm.fesetround(mode) == 0
        try:
            result = function()
            assert libm.fegetround() == mode, "the caller's mode was not left alone"
        finally:
            libm.fesetround(0)
        return result

    yield under
    assert libm.fegetround() == 0


N = 2**18 + 77  # two threads get some
CALLS: dict[str, Callable[[Any, int], Any]] = {
    "dropout": lambda x, threads: simdrop.dropout(x, 0.1, rng=1, threads=threads),
    "float16": lambda x, threads: simdrop.dropout(x.astype(np.float16), 0.3, rng=1, threads=threads),
    "strided": lambda x, threads: simdrop.dropout(x[::2], 0.3, rng=1, threads=threads),
    "transposed": lambda x, threads: simdrop.dropout(x[: 512 * 512].reshape(512, 512).T, 0.3, rng=1, threads=threads),
    "classic": lambda x, threads: simdrop.dropout(x, 0.3, training=False, scaling="classic", threads=threads),
    "select": lambda x, threads: simdrop.Mask(x.shape, 0.3, seed=1).select(
        x, scale=1.1, shift=0.1, dropped=-0.3, threads=threads
    ),
    "channels": lambda x, threads: simdrop.dropout(x[:-77].reshape(64, -1), 0.3, rng=1, noise_shape=(None, 1)),
    "bias": lambda x, threads: simdrop.bias_dropout_add(x, None, x, 0.3, rng=1, threads=threads),
    "noise": lambda x, threads: simdrop.gaussian_noise(x, 0.3, rng=1, threads=threads),
    "normal": lambda x, threads: simdrop.normal(x.shape, rng=1, threads=threads),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CALLS)
def test_the_rounding_mode_reaches_no_result(
    isa: str, rounding: Callable[[Callable[[], Any]], Any], name: str, threads: int
) -> None:
    x = np.linspace(-3, 3, N).astype(np.float32)
    expected = CALLS[name](x, 1)
    assert_same_bits(rounding(lambda: CALLS[name](x, threads)), expected, name)


def test_the_rounding_mode_reaches_no_threshold(rounding: Callable[[Callable[[], Any]], Any]) -> None:
    for p in (0.1, 0.3, 1 / 3, 0.7):
        expected = simdrop.Mask(8, p, seed=1)
        got = rounding(functools.partial(simdrop.Mask, 8, p, seed=1))
        assert (got.threshold, got.scale) == (expected.threshold, expected.scale)


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_survive_a_caller_that_flushes_them(isa: str, threads: int) -> None:
    """PyTorch sets the bits of the calling thread; its workers and ours keep their own."""
    torch = pytest.importorskip("torch")
    x = np.full(N, 1e-40, np.float32)
    expected = simdrop.dropout(x, 0.1, rng=1, threads=1)
    assert np.count_nonzero(expected) > N // 2
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormals")
    try:
        got = simdrop.dropout(x, 0.1, rng=1, threads=threads)
    finally:
        torch.set_flush_denormal(False)
    assert_same_bits(got, expected)
