"""Bad memory: one clear error that names the argument, what came and what is accepted, and not a byte changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import Call, OnlyDLPack, OnlyInterface, ordinary, refused
from numpy.typing import NDArray


def x32() -> NDArray[np.float32]:
    return np.asarray(ordinary(100, "float32"))


BAD_DTYPES: tuple[tuple[Any, str], ...] = (
    ("int8", "int8"),
    ("int32", "int32"),
    ("int64", "int64"),
    ("uint8", "uint8"),
    ("uint16", "uint16"),
    ("bool", "bool"),
    ("complex64", "complex64"),
    ("complex128", "complex128"),
    ("longdouble", np.dtype("longdouble").name),
    ("object", "object|'O'"),
    ("S4", "S4|bytes"),
    ("U4", "U4|str"),
    ("datetime64[s]", "datetime64|M8"),
    ([("a", "f4"), ("b", "f4")], "a"),
    (">f2" if np.little_endian else "<f2", "[<>]f2|byte"),
    (">f4" if np.little_endian else "<f4", "[<>]f4|byte"),
    (">f8" if np.little_endian else "<f8", "[<>]f8|byte"),
)


@pytest.mark.parametrize(("dtype", "came"), BAD_DTYPES, ids=str)
def test_dtype(dtype: Any, came: str) -> None:
    if dtype == "longdouble" and np.dtype("longdouble") == np.float64:
        pytest.skip("long double is double here")
    x = np.zeros(4, dtype)
    x.view(np.uint8).fill(1) if x.dtype != object else x.fill(1)
    before = x.tobytes()
    mask = simdrop.Mask(4, 0.5, seed=1)
    calls: tuple[Call, ...] = (
        lambda: simdrop.dropout(x, 0.5, rng=1),
        lambda: simdrop.dropout(x, 0.5, training=False),
        lambda: simdrop.dropout_(x, 0.5, rng=1),
        lambda: simdrop.dropout_(x, 0.5, training=False),
        lambda: mask.apply(x),
        lambda: mask.apply_(x),
    )
    for call in calls:
        refused(call, TypeError, "x", came, r"float32", r"\.astype\(")
    source = np.ones(4, np.float32)
    refused(lambda: simdrop.dropout(source, 0.5, rng=1, out=x), (TypeError, ValueError), "out", came)
    assert x.tobytes() == before


@pytest.mark.parametrize(
    ("x", "came"),
    [
        ([1.0, 2.0], "list"),
        ((1.0, 2.0), "tuple"),
        (1.0, "float"),
        (None, "None"),
        ("text", "str"),
        ({1: 2.0}, "dict"),
        pytest.param(object(), "object", id="object"),
    ],
    ids=repr,
)
def test_in_place_on_what_lends_no_memory(x: Any, came: str) -> None:
    before = repr(x)
    refused(lambda: simdrop.dropout_(x, 0.5, rng=1), TypeError, "x", came)
    refused(lambda: simdrop.Mask(2, 0.5, seed=1).apply_(x), TypeError, "x", came)
    source = np.ones(2, np.float32)
    if x is not None:  # None is the default of out
        refused(lambda: simdrop.dropout(source, 0.5, rng=1, out=x), TypeError, "out", came)
    assert repr(x) == before


class OnAGpu:
    """What a CUDA tensor shows."""

    __cuda_array_interface__ = {"shape": (4,), "typestr": "<f4", "data": (4096, False), "version": 3}  # noqa: RUF012

    def __dlpack__(self, **_: Any) -> Any:
        raise BufferError("this memory is on a GPU")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)  # kDLCUDA


def test_memory_of_a_gpu() -> None:
    for call in (
        lambda: simdrop.dropout(OnAGpu(), 0.5, rng=1),
        lambda: simdrop.dropout_(OnAGpu(), 0.5, rng=1),
    ):
        refused(call, TypeError, "x", r"OnAGpu|\(2, 0\)", "(?i)cpu")
    refused(
        lambda: simdrop.dropout(np.ones(4, np.float32), 0.5, rng=1, out=OnAGpu()),
        TypeError,
        "out",
        r"OnAGpu|\(2, 0\)",
        "(?i)cpu",
    )


class Unwilling:
    """What a PyTorch tensor that requires a gradient shows."""

    def __dlpack__(self, **_: Any) -> Any:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # kDLCPU


def test_memory_that_is_not_lent() -> None:
    # The lender says why; we say of which argument it speaks.
    x = x32()
    refused(lambda: simdrop.dropout_(Unwilling(), 0.5, rng=1), BufferError, "x", "detach")
    refused(lambda: simdrop.dropout(x, 0.5, rng=1, out=Unwilling()), BufferError, "out", "detach")


def test_read_only() -> None:
    x = x32()
    x.flags.writeable = False
    fixed = memoryview(x.tobytes()).cast("f")
    source = x32()
    mask = simdrop.Mask(100, 0.5, seed=1)

    def check(memory: Any) -> None:
        refused(lambda: simdrop.dropout_(memory, 0.5, rng=1), ValueError, "x", "read-only")
        refused(lambda: simdrop.dropout_(memory, 0.5, training=False), ValueError, "x", "read-only")
        refused(lambda: mask.apply_(memory), ValueError, "x", "read-only")
        refused(lambda: simdrop.dropout(source, 0.5, rng=1, out=memory), ValueError, "out", "read-only")
        refused(lambda: simdrop.dropout(source, 0.5, training=False, out=memory), ValueError, "out", "read-only")
        refused(lambda: mask.apply(source, out=memory), ValueError, "out", "read-only")

    before = x.tobytes()
    lenders: list[Any] = [x, fixed, OnlyInterface(x), x[:], x.reshape(-1, 1)[:, 0]]
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":  # before, NumPy itself refused to lend this through DLPack
        lenders.append(OnlyDLPack(x))
    for memory in lenders:
        check(memory)
    assert x.tobytes() == fixed.tobytes() == before


@pytest.mark.parametrize(
    ("out", "pieces"),
    [
        (np.zeros(99, np.float32), (r"\(99,\)", r"\(100,\)")),
        (np.zeros((100, 1), np.float32), (r"\(100, 1\)", r"\(100,\)")),
        (np.zeros((), np.float32), (r"\(\)", r"\(100,\)")),
        (np.zeros(100, np.float64), ("float64", "float32")),
        (np.zeros(100, np.float16), ("float16", "float32")),
    ],
    ids=lambda v: f"{v.dtype}{v.shape}" if isinstance(v, np.ndarray) else "",
)
def test_out_of_another_shape_or_dtype(out: NDArray[Any], pieces: tuple[str, ...]) -> None:
    x = x32()
    mask = simdrop.Mask(100, 0.5, seed=1)
    refused(lambda: simdrop.dropout(x, 0.5, rng=1, out=out), ValueError, "out", *pieces)
    refused(lambda: simdrop.dropout(x, 0.5, training=False, out=out), ValueError, "out", *pieces)
    refused(lambda: mask.apply(x, out=out), ValueError, "out", *pieces)
    assert not out.any()


OVERLAPS: tuple[tuple[str, Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]], ...] = (
    ("one element later", lambda b: (b[:100], b[1:101])),
    ("one element earlier", lambda b: (b[1:101], b[:100])),
    ("one element in common", lambda b: (b[:100], b[99:199])),
    ("the same memory reversed", lambda b: (b[:100], b[99::-1])),
    ("the same memory transposed", lambda b: (b[:100].reshape(10, 10), b[:100].reshape(10, 10).T)),
    ("every second element", lambda b: (b[:100], b[:200:2])),
    ("half an element later", lambda b: (b[:100], b.view(np.uint8)[2:402].view(np.float32))),
)


@pytest.mark.parametrize(("why", "make"), OVERLAPS, ids=[why for why, _ in OVERLAPS])
def test_partial_overlap(why: str, make: Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]) -> None:
    buffer = ordinary(400, "float32")
    before = buffer.tobytes()
    x, out = make(buffer)
    refused(lambda: simdrop.dropout(x, 0.5, rng=1, out=out), ValueError, "out", "overlap", r"\bx\b")
    refused(lambda: simdrop.dropout(x, 0.5, training=False, out=out), ValueError, "out", "overlap")
    refused(lambda: simdrop.Mask(x.shape, 0.5, seed=1).apply(x, out=out), ValueError, "out", "overlap")
    assert buffer.tobytes() == before


@pytest.mark.parametrize(
    ("why", "shape", "strides"),
    [
        ("every row is the same row", (4, 10), (0, 4)),
        ("windows that slide by one element", (10, 3), (4, 4)),
        ("elements that overlap by half", (10,), (2,)),
    ],
)
def test_in_place_where_elements_share_memory(why: str, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    # Writing one would change another that may be dropped, or scale it twice.
    buffer = ordinary(40, "float32")
    before = buffer.tobytes()
    view = np.lib.stride_tricks.as_strided(buffer, shape, strides)
    mask = simdrop.Mask(shape, 0.5, seed=1)
    source = np.ones(shape, np.float32)
    refused(lambda: simdrop.dropout_(view, 0.5, rng=1), ValueError, "x", "overlap|share")
    refused(lambda: mask.apply_(view), ValueError, "x", "overlap|share")
    refused(lambda: mask.apply(source, out=view), ValueError, "out", "overlap|share")
    assert buffer.tobytes() == before


@pytest.mark.parametrize("shape", [(99,), (10, 10), (100, 1), ()], ids=str)
def test_a_mask_of_another_shape(shape: tuple[int, ...]) -> None:
    x = x32()
    before = x.copy()
    mask = simdrop.Mask(shape, 0.5, seed=1)
    refused(lambda: mask.apply(x), ValueError, "x", r"\(100,\)", re.escape(str(shape)))
    refused(lambda: mask.apply_(x), ValueError, "x", r"\(100,\)", re.escape(str(shape)))
    np.testing.assert_array_equal(x, before)
