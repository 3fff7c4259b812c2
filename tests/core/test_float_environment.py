"""The floating-point environment of the caller: whatever it is, results are the same, and it is left as it was."""

from __future__ import annotations

import functools
import itertools
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simdrop
from float_modes import MODES, Environment, under
from helpers import assert_same_bits
from places import SUPPORT

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or Environment is None, reason="fenv_t is that of Linux on x86-64 and AArch64"
)
N = 2**18 + 77  # two threads get some
TINY = 5e-324
# Numbers that round, the same as denormals, and denormals that only a float64 can be.
LINE = np.linspace(-3, 3, N)
X32 = np.concatenate([LINE, LINE * 1e-39]).astype(np.float32)[N // 2 : N // 2 + N]
X16 = (LINE * 1e-5).astype(np.float16)
X64 = np.where(np.arange(N) % 2 == 0, LINE, TINY)
SQUARE = X32[: 512 * 512].reshape(512, 512)
SQUARE64 = SQUARE.astype(np.float64)
IMAGES = LINE[: 8 * 4 * 16 * 16].reshape(8, 4, 16, 16)
SHARES = [k / 97 for k in range(98)]  # Python's division rounds too
MASK = simdrop.Mask(X64.shape, 0.3, seed=1)
CALLS: dict[str, Callable[[int], Any]] = {
    "dropout": lambda threads: simdrop.dropout(X32, 0.1, rng=1, threads=threads),
    "float16": lambda threads: simdrop.dropout(X16, 0.3, rng=1, threads=threads),
    "float64": lambda threads: simdrop.dropout(X64, 0.3, rng=1, threads=threads),
    "strided": lambda threads: simdrop.dropout(X32[::2], 0.3, rng=1, threads=threads),
    "transposed": lambda threads: simdrop.dropout(SQUARE.T, 0.3, rng=1, threads=threads),
    "classic": lambda threads: simdrop.dropout(X32, 0.3, training=False, scaling="classic", threads=threads),
    "select": lambda threads: MASK.select(X32, scale=1.1, shift=0.1, dropped=-0.3, threads=threads),
    "denormals": lambda threads: MASK.select(X64, scale=1.0, shift=TINY, dropped=TINY, threads=threads),
    "all kept": lambda threads: simdrop.Mask(X64.shape, 0.0, seed=1).select(X64, shift=TINY, threads=threads),
    "channels": lambda threads: simdrop.dropout(SQUARE, 0.3, rng=1, noise_shape=(None, 1), threads=threads),
    "rows": lambda threads: simdrop.Mask(SQUARE.shape, 0.3, seed=1, noise_shape=(512, 1)).select(
        SQUARE64, shift=TINY, dropped=TINY, threads=threads
    ),
    "bias": lambda threads: simdrop.bias_dropout_add(X32, None, X32, 0.3, rng=1, threads=threads),
    "zoneout": lambda threads: simdrop.zoneout(X32, X32[::-1], 0.3, rng=1, threads=threads),
    "alpha": lambda threads: simdrop.alpha_dropout(X64, 0.3, rng=1, threads=threads),
    "gaussian": lambda threads: simdrop.gaussian_dropout(X64, 0.15, rng=1, threads=threads),
    "blocks": lambda threads: simdrop.drop_block2d(IMAGES, 0.1, 3, rng=1, threads=threads),
    "noise": lambda threads: simdrop.gaussian_noise(X32, 0.3, rng=1, threads=threads),
    "normal": lambda threads: simdrop.normal(N, rng=1, threads=threads),
    "bits": lambda threads: simdrop.bernoulli(0.3, N, rng=1, threads=threads),
    "count": lambda threads: np.array(MASK.count_kept(threads=threads)),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_environment_reaches_no_result(isa: str, name: str) -> None:
    expected = CALLS[name](1)
    for (mode, control), threads in itertools.product(MODES.items(), (1, 2)):
        got = under(control, functools.partial(CALLS[name], threads))
        assert_same_bits(got, expected, f"{name}, {mode}, {threads} threads")


def test_the_environment_reaches_no_number() -> None:
    def numbers() -> list[Any]:
        return [(m.threshold, m.p, m.scale) for m in (simdrop.Mask(8, p, seed=1) for p in SHARES)] + [
            (d.scale, d.shift, d.dropped)
            for _, d in (simdrop.alpha_dropout(X32[:8], p, rng=1, return_drawn=True) for p in SHARES)
        ]

    expected = numbers()
    for mode, control in MODES.items():
        assert under(control, numbers) == expected, mode


def test_a_denormal_below_zero_is_refused_where_it_reads_as_zero() -> None:
    def refused() -> bool:
        with pytest.raises(ValueError, match="p: got -"):
            simdrop.Mask(8, -TINY, seed=1)
        return True

    assert all(under(control, refused) for control in MODES.values())


def test_workers_that_start_in_another_environment() -> None:
    """A thread inherits the environment of the one that starts it, and keeps it."""
    code = """
import numpy as np, simdrop
from float_modes import MODES, under
x = np.linspace(-3, 3, 2**18 + 77).astype(np.float32) * np.float32(1e-38)  # many are denormal
for control in MODES.values():
    call = lambda threads: simdrop.dropout(x, 0.1, rng=1, threads=threads)
    expected = call(1)
    for _ in range(20):
        assert under(control, lambda: call(2)).tobytes() == expected.tobytes()
        assert call(2).tobytes() == expected.tobytes()
"""
    folder = str(SUPPORT)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)


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
