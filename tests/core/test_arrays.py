"""Whatever lends its memory is taken as it is: no copy to read it, no copy to write it."""

from __future__ import annotations

import array
import ctypes
import mmap
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import reference
import simdrop
from helpers import DTYPES, OnlyDLPack, OnlyInterface, any_bits, assert_same_bits, ordinary, refused
from numpy.typing import NDArray

P, SEED = 0.3, 12


class OldDLPack:
    """DLPack as it was before version 1.0: no argument but ``stream``, and no word on who may write."""

    def __init__(self, x: NDArray[Any]) -> None:
        self._keep = x

    def __dlpack__(self, stream: None = None) -> Any:
        return self._keep.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._keep.__dlpack_device__()
        return device


class Subclass(np.ndarray[Any, Any]):
    """A subclass of ndarray."""


def from_ctypes(x: Any) -> Any:
    return (ctypes.c_float * x.size).from_buffer(x)


LENDERS: tuple[tuple[str, Any], ...] = (
    ("ndarray", lambda x: x),
    ("memoryview", memoryview),
    ("ctypes array", from_ctypes),
    ("__array_interface__", OnlyInterface),
    ("DLPack", OnlyDLPack),
    ("ndarray subclass", lambda x: x.view(Subclass)),
)


@pytest.mark.parametrize(("name", "lend"), LENDERS, ids=[name for name, _ in LENDERS])
def test_the_memory_itself_is_used(isa: str, name: str, lend: Any) -> None:
    x = ordinary(1001, "float32")
    expected = reference.dropout(x, P, SEED)

    result = simdrop.dropout(lend(x), P, rng=SEED)
    assert isinstance(result, np.ndarray)
    assert_same_bits(np.asarray(result), expected)
    assert not np.shares_memory(result, x)

    target = np.zeros_like(x)
    lent_target = lend(target)
    assert simdrop.dropout(lend(x), P, rng=SEED, out=lent_target) is lent_target
    assert_same_bits(target, expected, "written through to the lender's memory")

    mask = simdrop.Mask((1001,), P, seed=SEED)
    assert_same_bits(np.asarray(mask.apply(lend(x))), expected)
    copy = x.copy()
    lent_copy = lend(copy)
    assert mask.apply_(lent_copy) is lent_copy
    assert_same_bits(copy, expected)

    lent = lend(x)
    assert simdrop.dropout_(lent, P, rng=SEED) is lent
    assert_same_bits(x, expected, "in place means in the lender's memory")


class CopyingDLPack(OnlyDLPack):
    """Lends a copy, as DLPack 1 lets an exporter do that is not told otherwise."""

    def __dlpack__(self, **arguments: Any) -> Any:
        return super().__dlpack__(**arguments, copy=True)


def test_a_copy_by_dlpack_is_read_but_not_written() -> None:
    x = ordinary(100, "float32")
    lent = CopyingDLPack(x)
    assert_same_bits(simdrop.dropout(lent, P, rng=SEED), reference.dropout(x, P, SEED))
    stream = simdrop.Stream(SEED)
    refused(lambda: simdrop.dropout_(lent, P, rng=stream), ValueError, "x", "a copy that __dlpack__ made")
    refused(lambda: simdrop.dropout(x, P, rng=stream, out=lent), ValueError, "out", "a copy")
    assert stream.stream == 0


def test_dlpack_before_1_0_can_be_read(isa: str) -> None:
    x = ordinary(1001, "float32")
    assert_same_bits(simdrop.dropout(OldDLPack(x), P, rng=SEED), reference.dropout(x, P, SEED))


@pytest.mark.parametrize(("code", "dtype"), [("f", "float32"), ("d", "float64")])
def test_array_array(isa: str, code: str, dtype: str) -> None:
    values = ordinary(1001, dtype)
    x = array.array(code, values.tolist())
    address = x.buffer_info()
    expected = reference.dropout(values, P, SEED)
    assert_same_bits(simdrop.dropout(x, P, rng=SEED), expected)
    assert x.tolist() == values.tolist(), "the input stays"
    assert simdrop.dropout_(x, P, rng=SEED) is x
    assert x.buffer_info() == address
    assert_same_bits(np.array(x, dtype), expected)
    x.append(1.0)  # an array that still lends its memory refuses to grow


def test_memoryview_of_several_dimensions(isa: str) -> None:
    raw = bytearray(ordinary(24, "float64").tobytes())
    values = np.frombuffer(bytes(raw)).reshape(2, 3, 4)
    view = memoryview(raw).cast("d", (2, 3, 4))
    assert_same_bits(simdrop.dropout(view, P, rng=SEED), reference.dropout(values, P, SEED))
    reverse = memoryview(raw).cast("d")[::-1]
    simdrop.dropout_(reverse, P, rng=SEED)
    expected = reference.dropout(values.ravel()[::-1], P, SEED)
    assert_same_bits(np.frombuffer(raw)[::-1].copy(), expected)
    half: Any = any_bits(50, "float16")
    assert memoryview(half).format == "e"
    assert_same_bits(simdrop.dropout(memoryview(half), P, rng=SEED), reference.dropout(half, P, SEED))


def test_mmap(isa: str, tmp_path: Path) -> None:
    values = ordinary(5000, "float32")
    path = tmp_path / "x.bin"
    path.write_bytes(values.tobytes())
    expected = reference.dropout(values, P, SEED)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        with memoryview(mapped) as octets, octets.cast("f") as floats:
            simdrop.dropout_(floats, P, rng=SEED)
        mapped.flush()
    assert path.read_bytes() == expected.tobytes(), "the file itself was changed"

    onto_file = np.memmap(path, np.float32, "r+")
    again = reference.dropout(expected, P, SEED + 1)
    assert simdrop.dropout_(onto_file, P, rng=SEED + 1) is onto_file
    onto_file.flush()
    assert path.read_bytes() == again.tobytes()
    read_only = np.memmap(path, np.float32, "r")
    assert_same_bits(simdrop.dropout(read_only, 0.0), again, "a read-only map can be read")


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place_keeps_the_address_and_copies_nothing(isa: str, dtype: str) -> None:
    x = ordinary(4096, dtype).reshape(64, 64)
    address, view = x.ctypes.data, x[3:5, ::7]
    expected = reference.dropout(x, P, SEED)
    assert simdrop.dropout_(x, P, rng=SEED) is x
    assert x.ctypes.data == address
    assert_same_bits(x, expected)
    assert_same_bits(view, expected[3:5, ::7], "another view of the memory sees it")


def test_nothing_as_large_as_the_input_is_allocated() -> None:
    # NumPy reports its memory to tracemalloc.
    x = np.ones(2**20, np.float32)
    cases: tuple[NDArray[Any], ...] = (x, x[::2], x.reshape(1024, 1024).T, x[::-1], np.ones(2**19)[1::3])
    simdrop.dropout_(x, 0.5, rng=1)
    tracemalloc.start()
    try:
        for case in cases:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            simdrop.dropout_(case, 0.5, rng=1)
            simdrop.dropout(case, 0.5, rng=1, out=case)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < 2**16, case.strides
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (1, 1, 1), (2, 3, 4, 5)], ids=str)
def test_shapes(isa: str, dtype: str, shape: tuple[int, ...]) -> None:
    x = ordinary(int(np.prod(shape, dtype=int)), dtype).reshape(shape)
    expected = reference.dropout(x, 0.5, SEED)
    assert_same_bits(simdrop.dropout(x, 0.5, rng=SEED), expected)
    assert simdrop.dropout_(x, 0.5, rng=SEED) is x
    assert_same_bits(x, expected)
    assert simdrop.Mask(shape, 0.5, seed=SEED).keep().shape == shape


def test_fortran_order(isa: str) -> None:
    x = np.asfortranarray(ordinary(60, "float32").reshape(3, 4, 5))
    expected = reference.dropout(x, P, SEED)
    assert_same_bits(simdrop.dropout(x, P, rng=SEED), expected, "elements are numbered in C order all the same")
    assert simdrop.dropout_(x, P, rng=SEED) is x
    assert x.flags.f_contiguous
    assert_same_bits(x, expected)


def test_an_object_that_is_read_only_can_still_be_read(isa: str) -> None:
    x = ordinary(100, "float32")
    expected = reference.dropout(x, P, SEED)
    x.flags.writeable = False
    assert_same_bits(simdrop.dropout(x, P, rng=SEED), expected)
    assert_same_bits(simdrop.dropout(OnlyInterface(x), P, rng=SEED), expected)
    assert_same_bits(simdrop.dropout(memoryview(x.tobytes()).cast("f"), P, rng=SEED), expected)


@pytest.mark.parametrize(
    ("why", "make"),
    [
        ("a memoryview of it", lambda a: (a, memoryview(a))),
        ("DLPack of it", lambda a: (OnlyDLPack(a), a)),
        ("an axis of length 1, whose stride means nothing", lambda a: (a[None, :], a.reshape(1, -1))),
        ("the same in the last place", lambda a: (a[:, None], np.lib.stride_tricks.as_strided(a, (200, 1), (4, 999)))),
    ],
)
def test_out_may_be_x_by_another_name(isa: str, why: str, make: Any) -> None:
    a = ordinary(200, "float32")
    expected = reference.dropout(a, P, SEED)
    x, out = make(a)
    assert simdrop.dropout(x, P, rng=SEED, out=out) is out, why
    assert_same_bits(a, expected, why)


def test_out_may_lie_between_the_elements_of_x(isa: str) -> None:
    # The two share an address range, but not one byte.
    both = ordinary(200, "float32")
    before = both.copy()
    simdrop.dropout(both[0::2], P, rng=SEED, out=both[1::2])
    assert_same_bits(both[1::2].copy(), reference.dropout(before[0::2], P, SEED))
    assert_same_bits(both[0::2].copy(), before[0::2])


def test_bfloat16_needs_no_package_to_be_recognised(isa: str) -> None:
    x = any_bits(999, "bfloat16")
    assert x.dtype == ml_dtypes.bfloat16
    result = simdrop.dropout(x, P, rng=SEED)
    assert result.dtype == ml_dtypes.bfloat16
    assert_same_bits(result, reference.dropout(x, P, SEED))


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch(isa: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    values = ordinary(1001, dtype)
    expected = reference.dropout(values, P, SEED)
    if dtype == "bfloat16":
        tensor = torch.from_numpy(values.view(np.int16).copy()).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(values.copy())

    def content(t: Any) -> NDArray[Any]:
        raw = t.view(torch.int16).numpy() if dtype == "bfloat16" else t.numpy()
        return np.asarray(raw).view(values.dtype)

    address = tensor.data_ptr()
    out = torch.zeros_like(tensor)
    assert simdrop.dropout(tensor, P, rng=SEED, out=out) is out
    assert_same_bits(content(out), expected)
    assert_same_bits(content(tensor), values, "the input stays")
    assert simdrop.dropout_(tensor, P, rng=SEED) is tensor
    assert tensor.data_ptr() == address
    assert_same_bits(content(tensor), expected)

    matrix = torch.ones(30, 40, dtype=tensor.dtype).t()
    simdrop.dropout_(matrix, P, rng=SEED)
    assert_same_bits(
        content(matrix.contiguous()),
        reference.dropout(np.ones((40, 30), values.dtype), P, SEED),
        "strides of a tensor are followed",
    )


def test_jax_can_be_read_but_not_written() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.arange(100, dtype="float32")
    before = np.array(x)
    assert_same_bits(simdrop.dropout(x, P, rng=SEED), reference.dropout(before, P, SEED))
    with pytest.raises((TypeError, ValueError), match=r"\bx\b.*read-only"):
        simdrop.dropout_(x, P, rng=SEED)
    np.testing.assert_array_equal(np.array(x), before)
