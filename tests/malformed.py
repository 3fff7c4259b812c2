"""Generated calls of which at least one argument is wrong: each must raise a Python exception and change nothing.

    python malformed.py COUNT [SEED] [--trace]

A call starts as a valid one; one or two of its arguments are then exchanged for something that the function must refuse
and can recognise. (A pointer that lies about its memory cannot be recognised by anyone, so there is none here.) With
``--trace`` every call is shown before it is made: the last line before a crash is the culprit.
"""

from __future__ import annotations

import array
import collections
import ctypes
import decimal
import faulthandler
import fractions
import functools
import random
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import ml_dtypes
import numpy as np
import simdrop

Maker = Callable[[random.Random], Any]

N = 24
# What a malformed call may raise. SystemError and RuntimeError would be a binding that lost track.
EXPECTED = (
    TypeError, ValueError, OverflowError, IndexError, BufferError, AttributeError, MemoryError, KeyError,
    ZeroDivisionError, decimal.DecimalException,
)  # fmt: skip


class Raises:
    """Every way to look at it raises."""

    def __float__(self) -> float:
        raise ValueError("no float here")

    def __index__(self) -> int:
        raise ValueError("no integer here")

    def __len__(self) -> int:
        raise ValueError("no length here")

    def __iter__(self) -> Any:
        raise ValueError("nothing to go through")

    def __repr__(self) -> str:
        raise ValueError("and it cannot be shown")

    @property
    def __array_interface__(self) -> Any:
        raise ValueError("no interface here")

    def __dlpack__(self, **_: Any) -> Any:
        raise ValueError("no tensor here")

    def __dlpack_device__(self) -> Any:
        raise ValueError("no device here")


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


# The structures of DLPack 0 and 1, to be filled with nonsense.
class DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )  # fmt: skip


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    _fields_ = (("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", DELETER))


class ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", DELETER),
        ("flags", ctypes.c_uint64), ("tensor", DLTensor),
    )  # fmt: skip


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

deleted: list[int] = []
delete = DELETER(lambda address: deleted.append(address or 0))


class Tensor:
    """Exports a DLPack capsule that is broken in one way; what it points at lives as long as it does."""

    LABELS = {False: b"dltensor", True: b"dltensor_versioned"}  # noqa: RUF012

    def __init__(self, pick: random.Random) -> None:
        self.memory = np.ones(64, np.float64)
        self.versioned = pick.random() < 0.5
        self.label = self.LABELS[self.versioned]
        managed = (ManagedVersioned if self.versioned else Managed)()
        t = managed.tensor
        self.shape = (ctypes.c_int64 * 3)(2, 3, 4)
        self.strides = (ctypes.c_int64 * 3)(12, 4, 1)
        t.data, t.device_type, t.ndim, t.code, t.bits, t.lanes = self.memory.ctypes.data, 1, 3, 2, 32, 1
        t.shape, t.strides = self.shape, self.strides
        managed.deleter = delete
        if self.versioned:
            managed.major = 1
        self.device: Any = (1, 0)
        self.managed = managed
        self.break_in_one_way(pick)

    def break_in_one_way(self, pick: random.Random) -> None:
        t = self.managed.tensor
        self.way = way = pick.randrange(14)
        if way == 0:
            t.ndim = pick.choice([-1, -(2**31), 65, 2**31 - 1])
        elif way == 1:
            t.shape = None
        elif way == 2:
            self.shape[pick.randrange(3)] = pick.choice([-1, -(2**63)])
        elif way == 3:  # more elements than there can be, some of them as many as none when counted in 64 bits
            self.shape[0] = pick.choice([2**62, 2**63 - 1])
            self.shape[1] = pick.choice([4, 8, 2**32])
        elif way == 4:
            t.data = None
        elif way == 5:
            t.code, t.bits = pick.choice([(0, 32), (1, 8), (5, 64), (2, 8), (2, 128), (4, 32), (6, 8), (255, 255)])
        elif way == 6:
            t.lanes = pick.choice([0, 2, 4, 65535])
        elif way == 7:
            t.device_type = pick.choice([0, 2, 10, -1, 2**31 - 1])
        elif way == 8:
            self.device = pick.choice([None, (), (1,), "cpu", (2, 0), (1.5, 0), ("1", "0"), (2**70, 0), 1, Raises()])
            if self.device == (1,):
                t.ndim = -1
        elif way == 9:
            self.label = pick.choice([b"used_dltensor", b"tensor", b"", b"used_dltensor_versioned"])
        elif way == 10 and self.versioned:
            self.managed.major = pick.choice([0, 2, 2**32 - 1])
        elif way == 11:
            self.strides[0] = pick.choice([2**62, -(2**62), 2**63 - 1, -(2**63)])
        elif way == 12:
            self.label = b"dltensor" if self.versioned else b"dltensor_versioned_"
            if self.versioned:  # an old structure is read where a new one lies: make that one broken too
                self.label = b"dltensor2"
        else:
            t.ndim = 3
            self.shape[2] = -4

    def __dlpack_device__(self) -> Any:
        return self.device

    def __dlpack__(self, **_: Any) -> Any:
        return new_capsule(ctypes.addressof(self.managed), self.label, None)


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
        lambda: memoryview(np.zeros(N, pick.choice(["b", "B", "h", "H", "i", "I", "q", "Q", "?"]))),
        lambda: bytearray(4 * N),
        lambda: array.array(pick.choice("bBhHiIlLqQ"), [1, 2, 3]),
        lambda: pick.choice([ctypes.c_int * N, ctypes.c_char * N, ctypes.c_uint8 * N, ctypes.c_void_p * N, DLTensor])(),
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


class Campaign:
    """Valid calls, and what may be wrong in each argument of them."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)
        self.arrays = [np.arange(1, N + 1).astype(d) for d in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)]
        self.before = [x.tobytes() for x in self.arrays]
        self.stream = simdrop.Stream(5, 7)
        self.mask = simdrop.Mask(N, 0.3, seed=1)
        bad_keywords: dict[str, Maker] = {"rng": bad_rng, "threads": bad_threads}
        memory_keywords = {**bad_keywords, "scaling": bad_scaling}
        # function, its valid positional arguments with what may be wrong in each, and its keywords
        self.calls: list[Any] = []
        for x in self.arrays:
            out: Maker = functools.partial(bad_output, x)
            self.calls += [
                (simdrop.dropout, [(x, bad_memory), (0.5, bad_p)], {**memory_keywords, "out": out}),
                (self.infer, [(x, bad_memory), (0.5, bad_p)], {"threads": bad_threads, "out": out}),
                (simdrop.dropout_, [(x, bad_memory), (0.5, bad_p)], memory_keywords),
                (self.mask.apply, [(x, bad_memory)], {"threads": bad_threads, "scaling": bad_scaling, "out": out}),
                (self.mask.apply_, [(x, bad_memory)], {"threads": bad_threads, "scaling": bad_scaling}),
            ]
        integers = dict.fromkeys(("seed", "stream", "offset"), bad_integer)
        self.calls += [
            (self.make_mask, [(3, bad_shape), (0.5, bad_p)], integers),
            (simdrop.bernoulli, [(0.5, bad_p), (9, bad_shape)], bad_keywords),
            (simdrop.random_bits, [(9, bad_shape)], bad_keywords),
            (simdrop.Stream, [(1, bad_integer), (2, bad_integer)], {}),
            (self.stream.restore, [((1, 2), bad_state)], {}),
            (self.stream.spawn, [(1, bad_integer)], {}),
            (self.mask.keep, [], {"threads": bad_threads}),
            (self.mask.packed, [], {"threads": bad_threads}),
            (self.mask.count_kept, [], {"threads": bad_threads}),
            (simdrop.set_num_threads, [(1, bad_threads)], {}),
            (simdrop.use_isa, [("scalar", bad_scaling)], {}),
            (self.mask.__getitem__, [(0, self.bad_index)], {}),
        ]

    @staticmethod
    def bad_index(pick: random.Random) -> Any:
        return pick.choice([None, 1.0, "a", (0,), N, -N - 1, 2**70, slice(0, 5, 2), slice("a", None), slice(None, 1.5)])

    @staticmethod
    def infer(x: Any, p: Any, **keywords: Any) -> Any:
        return simdrop.dropout(x, p, training=False, **keywords)

    @staticmethod
    def make_mask(shape: Any, p: Any, **numbers: Any) -> Any:
        return simdrop.Mask(shape, p, **{"seed": 1, **numbers})

    def make(self) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
        function, positional, keywords = self.pick.choice(self.calls)
        arguments = [valid for valid, _ in positional]
        given: dict[str, Any] = {}
        places: list[int | str] = [*range(len(positional)), *keywords]
        for place in self.pick.sample(places, min(len(places), self.pick.choice([1, 1, 1, 2]))):
            if isinstance(place, int):
                arguments[place] = positional[place][1](self.pick)
            else:
                given[place] = keywords[place](self.pick)
                if place == "rng" and given[place] is None:
                    given[place] = "none"
        if self.pick.random() < 0.01:
            given["no_such_keyword"] = 1
        return function, arguments, given

    def changed(self) -> bool:
        same = all(x.tobytes() == b for x, b in zip(self.arrays, self.before, strict=True))
        return not same or self.stream.state != (5, 7)


def shown(value: Any) -> str:
    if isinstance(value, Interface):
        return shown(value.__array_interface__)
    if isinstance(value, Tensor):
        return f"DLPack, way {value.way}"
    try:
        return repr(value)[:200]
    except BaseException:
        return f"<{type(value).__name__}>"


def main(count: int, seed: int = 1, trace: bool = False) -> int:
    faulthandler.enable()
    warnings.simplefilter("ignore")
    isa = simdrop.active_isa()
    threads = simdrop.get_num_threads()
    campaign = Campaign(seed)
    raised: collections.Counter[str] = collections.Counter()
    wrong = 0
    for number in range(count):
        function, arguments, keywords = campaign.make()
        tensors = [v for v in (*arguments, *keywords.values()) if isinstance(v, Tensor)]
        deleted.clear()
        if trace:
            print(
                number, function, [shown(a) for a in arguments], {k: shown(v) for k, v in keywords.items()}, flush=True
            )
        problem = ""
        try:
            function(*arguments, **keywords)
            problem = "was accepted"
        except EXPECTED as error:
            raised[type(error).__name__] += 1
        except Exception as error:
            problem = f"raised {type(error).__name__}: {error}"
        if len(deleted) != len(set(deleted)) or not set(deleted) <= {ctypes.addressof(t.managed) for t in tensors}:
            problem += "; a tensor was released twice"
        if campaign.changed():
            problem += "; something changed"
            campaign = Campaign(seed + number)
        if simdrop.active_isa() != isa or simdrop.get_num_threads() != threads:
            problem += "; a setting changed"
            simdrop.use_isa(isa)
            simdrop.set_num_threads(None)
        if problem:
            wrong += 1
            if wrong <= 20:
                print(f"call {number}: {function} {[shown(a) for a in arguments]} {keywords.keys()} "
                      f"{[shown(v) for v in keywords.values()]} {problem}")  # fmt: skip
    print(f"{count} malformed calls, {wrong} not refused properly; raised: {dict(raised.most_common())}")
    return 1 if wrong else 0


if __name__ == "__main__":
    count, seed = ([int(a) for a in sys.argv[1:] if a != "--trace"] + [1])[:2]
    sys.exit(main(count, seed, "--trace" in sys.argv))
