"""Every member of the family: against plain NumPy, its gradients, its edges, the same bytes everywhere."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest
import reference
import simdrop
from family_cases import CASES, SEED, Case, arrays
from helpers import assert_same_bits

# Their arithmetic is NumPy's (sums over axes, exponentials), whose order of additions is not ours to fix.
ROUNDED = {"scaled_dot_product_attention", "drop_connect", "drop_connect, per sample", "concrete_dropout"}
by_name = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@by_name
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_a_few_lines_of_numpy(isa: str, case: Case, dtype: str) -> None:
    inputs = arrays(case, dtype)
    before = [x.copy() for x in inputs]
    y, _ = case.forward(*inputs)
    expected = case.plain(*inputs)
    assert y.dtype == np.dtype(dtype)
    if case.name in ROUNDED:
        np.testing.assert_allclose(y, expected, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)
    else:
        assert_same_bits(y, np.ascontiguousarray(expected.astype(dtype)))
    for x, copy in zip(inputs, before, strict=True):
        assert_same_bits(x, copy, "the input was changed")


@by_name
def test_gradients_are_those_of_finite_differences(case: Case) -> None:
    # All members are linear or smooth in each input: central differences are exact to about 1e-9.
    inputs = arrays(case)
    y, backward = case.forward(*inputs)
    weights = np.random.default_rng(1).standard_normal(y.shape)
    gradients = backward(weights)
    assert len(gradients) == len(inputs)
    step = 1e-5
    for which, x in enumerate(inputs):
        numeric = np.empty_like(x)
        for i in np.ndindex(x.shape):
            sums = []
            for change in (step, -step):
                moved = [value.copy() for value in inputs]
                moved[which][i] += change
                sums.append(float((case.forward(*moved)[0] * weights).sum()))
            numeric[i] = (sums[0] - sums[1]) / (2 * step)
        np.testing.assert_allclose(gradients[which], numeric, rtol=1e-6, atol=1e-8)


@by_name
def test_the_bytes_do_not_depend_on_the_instruction_set(case: Case) -> None:
    inputs = arrays(case, "float32")
    active = simdrop.active_isa()
    answers = []
    try:
        for name in simdrop.available_isas():
            simdrop.use_isa(name)
            y, backward = case.forward(*inputs)
            answers.append([y, *backward(np.ones_like(y))])
    finally:
        simdrop.use_isa(active)
    for other in answers[1:]:
        for a, b in zip(other, answers[0], strict=True):
            assert_same_bits(np.asarray(a), np.asarray(b))


LARGE: tuple[tuple[str, tuple[int, ...], Any], ...] = (
    ("rows", (9, 40000), lambda x, n: simdrop.drop_path(x, 0.4, rng=SEED, threads=n)),
    ("channels", (30, 40, 17, 9), lambda x, n: simdrop.dropout2d(x, 0.4, rng=SEED, threads=n)),
    ("long channels", (30, 10, 700), lambda x, n: simdrop.dropout1d(x, 0.4, rng=SEED, threads=n)),
    ("a row for all", (100, 50, 33), lambda x, n: simdrop.dropout(x, 0.4, rng=SEED, broadcast_dims=(0,), threads=n)),
    (
        "channels last",
        (20, 30, 30, 11),
        lambda x, n: simdrop.dropout2d(x, 0.4, rng=SEED, data_format="channels_last", threads=n),
    ),
    ("a long row for all", (3, 30001), lambda x, n: simdrop.dropout(x, 0.4, rng=SEED, broadcast_dims=(0,), threads=n)),
    ("time", (12, 30, 555), lambda x, n: simdrop.locked_dropout(x, 0.4, rng=SEED, threads=n)),
    ("alpha", (300, 701), lambda x, n: simdrop.alpha_dropout(x, 0.4, rng=SEED, threads=n)),
    ("fused", (300, 701), lambda x, n: simdrop.bias_dropout_add(x, x[0].copy(), x, 0.4, rng=SEED, threads=n)),
    ("blend", (300, 701), lambda x, n: simdrop.zoneout(x, -x, 0.4, rng=SEED, threads=n)),
    ("noise", (300, 701), lambda x, n: simdrop.gaussian_dropout(x, 0.4, rng=SEED, threads=n)),
    ("samples", (300, 70), lambda x, n: simdrop.monte_carlo_dropout(x, 0.4, 9, rng=SEED, threads=n)),
)


@pytest.mark.parametrize(("name", "shape", "call"), LARGE, ids=[case[0] for case in LARGE])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_bytes_do_not_depend_on_threads_or_strides(
    isa: str, name: str, shape: tuple[int, ...], call: Any, dtype: str
) -> None:
    x = np.random.default_rng(3).standard_normal(shape).astype(dtype)
    one = call(x, 1)
    for threads in (2, 3, 7):
        assert_same_bits(call(x, threads), one, f"{threads} threads")
    wide = np.zeros(tuple(2 * n for n in shape), dtype)
    view = wide[tuple(slice(None, None, 2) for _ in shape)]
    view[...] = x
    assert_same_bits(np.ascontiguousarray(call(view, 2)), one, "strided")
    assert_same_bits(np.ascontiguousarray(call(np.asfortranarray(x), 2)), one, "Fortran order")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("bits", [(6, 1, 1, 5), (1, 4, 3, 1), (6, 4, 1, 1), (1, 1, 1, 1), (6, 1, 3, 5)])
def test_shared_masks_are_the_small_mask_repeated(isa: str, bits: tuple[int, ...], dtype: str) -> None:
    x = np.random.default_rng(3).standard_normal((6, 4, 3, 5)).astype(dtype)
    mask = simdrop.Mask(x.shape, 0.3, seed=SEED, offset=77, noise_shape=bits)
    small = reference.keep(int(np.prod(bits)), 0.3, SEED, 0, 77).reshape(bits)
    keep = np.broadcast_to(small, x.shape)
    assert (mask.keep() == keep).all()
    assert (np.unpackbits(mask.packed(), bitorder="little", count=x.size) == keep.ravel()).all()
    assert mask.count_kept() == np.count_nonzero(keep)
    scaled = reference.multiply(x.ravel(), 1 / reference.keep_probability(0.3)).reshape(x.shape)
    expected = np.where(keep, scaled, np.zeros(1, dtype))
    assert_same_bits(mask.apply(x), expected)
    changed = x.copy()
    assert mask.apply_(changed) is changed
    assert_same_bits(changed, expected, "in place")
    assert_same_bits(mask[2].apply(x[2]), expected[2], "one item")
    assert_same_bits(mask[1:4].apply(x[1:4]), expected[1:4], "a slice")


@pytest.mark.skipif(sys.platform != "linux", reason="protects memory with mprotect")
def test_dropped_rows_are_never_read(isa: str) -> None:
    row = 4 * mmap.PAGESIZE
    mask = simdrop.Mask((8, row // 4), 0.5, seed=SEED, noise_shape=(None, 1))
    keep = mask.keep()[:, 0]
    assert 0 < keep.sum() < 8
    memory = mmap.mmap(-1, 8 * row)
    x = np.frombuffer(memory, np.float32).reshape(mask.shape)
    x[:] = 1
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    dropped = [x.ctypes.data + int(n) * row for n in np.flatnonzero(~keep)]
    try:
        for address in dropped:
            assert protect(address, row, 0) == 0  # PROT_NONE: a read would end the process
        y = mask.apply(x)
    finally:
        for address in dropped:
            protect(address, row, mmap.PROT_READ | mmap.PROT_WRITE)
    assert_same_bits(y, np.where(mask.keep(), np.float32(2), np.float32(0)))
