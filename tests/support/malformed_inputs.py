"""What malformed calls are made of: wrong numbers, wrong memory, objects that contradict themselves."""

from __future__ import annotations

import array
import collections
import ctypes
import decimal
import fractions
import random
from collections.abc import Callable, Iterable
from typing import Any

import ml_dtypes
import numpy as np
from broken_tensors import DLTensor, Raises, Tensor

N = 24


class Answers:
    """Gives the wrong kind of answer everywhere."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __float__(self) -> Any:
        return self.answer

    def __index__(self) -> Any:
        return self.answer

    def __repr__(self) -> Any:
        return self.answer


class Interface:
    """An ``__array_interface__`` of any kind."""

    def __init__(self, interface: Any, memory: Any = None) -> None:
        self.__array_interface__ = interface
        self.memory = memory


def bad_interface(pick: random.Random) -> Interface:
    memory = np.ones(N, np.float32)
    good: dict[str, Any] = {
        "version": 3, "shape": (N,), "typestr": "<f4", "data": (memory.ctypes.data, False), "strides": None,
    }  # fmt: skip
    way = pick.randrange(9)
    if way == 0:
        return Interface(pick.choice([None, 3, "text", [], {}, (), Raises()]))
    if way == 1:
        del good[pick.choice(["version", "shape", "typestr"])]
        if "version" not in good:
            good["typestr"] = ">f4"
    elif way == 2:
        good["shape"] = pick.choice([None, -1, (-1,), ("a",), (1.5,), [3, "b"], (2**63,), (2**40, 2**40), Raises()])
    elif way == 3:
        good["typestr"] = pick.choice([None, 4, "", "<f3", ">f4", "<i4", "|O8", "<U4", "<c8", "nonsense", "\u20ac4"])
    elif way == 4:
        good["data"] = pick.choice([(0, False), (0, True), (None,), ("address", False), (2**70, False), "data", (1,)])
    elif way == 5:
        good["strides"] = pick.choice([(4, 4), ("a",), 7, (2**70,), (1.5,)])
    elif way == 6:
        good["shape"], good["data"] = (2**61,), (0, False)
    elif way == 7:
        good["descr"], good["typestr"] = [("a", "<f4")], "|V4"
    else:
        good["data"] = memoryview(b"\0" * 8)  # shorter than the shape says
    return Interface(good, memory)


class SelfMadeBuffer:
    """Python 3.12 lets a class lend a buffer; before that this is an object like any other."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __buffer__(self, flags: int) -> memoryview:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]


def bad_memory(pick: random.Random) -> Any:
    """What no function takes for an array."""
    makers: list[Callable[[], Any]] = [
        lambda: np.zeros(N, pick.choice([np.int8, np.int32, np.uint64, bool, np.complex64, np.longdouble, object])),
        lambda: np.zeros(N, pick.choice([">f2", ">f4", ">f8", "S4", "U3", "M8[s]", "m8", "V4", "f4,f4"])),
        lambda: np.zeros(N, pick.choice([ml_dtypes.float8_e4m3fn, ml_dtypes.int4, ml_dtypes.float8_e5m2])),
        lambda: pick.choice([1.5, 3, True, "text", b"bytes", Ellipsis, NotImplemented, 1j, float, np, len]),
        lambda: pick.choice([[1.0], (1.0,), {1.0}, {"a": 1.0}, range(3), iter([1.0]), collections.deque([1.0])]),
        lambda: memoryview(b"\0" * 8 * N).cast(pick.choice("bBhHiIqQ")),  # type: ignore[call-overload]
        lambda: memoryview(b"\0" * 8 * N).cast("?"),
        lambda: bytearray(4 * N),
        lambda: array.array(pick.choice("bBhHiIlLqQ"), [1, 2, 3]),
        lambda: pick.choice([(ctypes.c_int * N)(), (ctypes.c_char * N)(), (ctypes.c_void_p * N)(), DLTensor()]),
        lambda: ctypes.c_float,
        lambda: bad_interface(pick),
        lambda: bad_interface(pick),
        lambda: Tensor(pick),
        lambda: Tensor(pick),
        lambda: Tensor(pick),
        Raises,
        lambda: Answers(pick.choice([None, "x", -1, 2.5])),
        lambda: SelfMadeBuffer(pick.choice([ValueError("no"), None, 3, memoryview(b"abcd"), bytes(4)])),
        lambda: decimal.Decimal(1),
        lambda: np.dtype("f4"),
        lambda: memoryview(b"abcd"),
    ]  # fmt: skip
    return pick.choice(makers)()


def bad_output(x: Any, pick: random.Random) -> Any:
    """What cannot be the result of an array like x."""
    makers: list[Callable[[], Any]] = [
        lambda: bad_memory(pick),
        lambda: np.ones(pick.choice([0, 1, N - 1, N + 1, (N, 1), (1, N), ()]), x.dtype),
        lambda: np.ones(N, np.float64 if x.dtype != np.float64 else np.float32),
        lambda: np.frombuffer(bytes(N * x.itemsize), x.dtype),
        lambda: np.broadcast_to(np.ones(1, x.dtype), (N,)),
        lambda: np.lib.stride_tricks.as_strided(np.ones(2 * N, x.dtype), (N,), (x.itemsize // 2,)),
        lambda: np.concatenate([x, x])[1 : N + 1].view(np.ma.MaskedArray)[:-1],
        lambda: x[::-1],
        lambda: memoryview(bytes(N * x.itemsize)),
    ]
    return pick.choice(makers)()


def number_kinds(pick: random.Random) -> Any:
    """What is no number at all, or an odd one."""
    return pick.choice(
        [
            "1", b"1", [1], (1,), {}, object(), 1j, Raises(), Answers("x"), Answers(None), Answers([]), np.ones(2),
            np.array("a"), lambda: 1, type, float("nan"), float("inf"), -1, -(2**64), 2**64 + 1, 10**400, 10**5000,
            -(10**5000), np.int64(-1), np.float64("nan"), "\ud800", "\u20ac" * 100, Answers(2**2000),
        ]
    )  # fmt: skip


def bad_p(pick: random.Random) -> Any:
    return pick.choice(
        [
            None, True, np.nan, -0.1, 1.5, 2, -5e-324, 1 + 2**-52, decimal.Decimal("NaN"), decimal.Decimal("sNaN"),
            decimal.Decimal("1e999"), fractions.Fraction(3, 2), np.float32(1.5), Answers(float("nan")), Answers(7.0),
            number_kinds(pick),
        ]
    )  # fmt: skip


def bad_integer(pick: random.Random) -> Any:
    return pick.choice([None, False, 1.0, np.float64(3), fractions.Fraction(3), decimal.Decimal(3), number_kinds(pick)])


def bad_rng(pick: random.Random) -> Any:
    rng = bad_integer(pick)
    if isinstance(rng, list | tuple):  # sequences and large integers are seeds, but not negative ones
        return [*rng, -1]
    if isinstance(rng, int) and rng > 1:
        return -rng
    if isinstance(rng, Answers) and isinstance(rng.answer, int):
        return Answers(-rng.answer)
    return np.random.RandomState(1) if rng is None else rng


def bad_threads(pick: random.Random) -> Any:
    threads = bad_integer(pick)
    return pick.choice([0, 4097, 2**31, 2**63]) if threads is None else threads


def bad_scaling(pick: random.Random) -> Any:
    return pick.choice([None, 1, b"classic", "Classic", "", "inverted ", "\ud800", ["classic"], number_kinds(pick)])


def bad_shape(pick: random.Random) -> Any:
    def raising() -> Iterable[int]:
        yield 3
        raise ValueError("no more")

    return pick.choice(
        [
            None, 1.5, "3", b"a", (1.5,), ("a",), -1, (-1,), (3, -4), 2**58 + 1, (2**40, 2**40), 2**64, 10**400,
            (2**64, 0.5), {1: "a"}.values(), raising(), Raises(), [[1]], (None,), np.ones((2, 2)), Answers("x"),
        ]
    )  # fmt: skip


def bad_state(pick: random.Random) -> Any:
    return pick.choice(
        [None, 3, (), (1,), (1, 2, 3), "ab", b"a", {1: 2}, (1, -1), (-1, 1), (1, 2**64 + 1), (2**64, 0), (1.0, 2),
         (None, None), [Raises(), 1], ("a", 1), Raises(), (10**5000, 0), {3, 4}]
    )  # fmt: skip
