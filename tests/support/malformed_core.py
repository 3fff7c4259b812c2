"""Every entry of the extension module, called as no caller of ours does: it answers or refuses, and nothing crashes.

    python malformed_core.py

Each argument of a valid call is exchanged for each of many odd values, all alone and in pairs of two. What is returned
does not matter here, only that the process lives, that what is raised is an exception meant for callers, and that an
input which is not the output is left alone. Addresses of memory that is not there cannot be recognised by anyone: of
those only 0 is tried.
"""

from __future__ import annotations

import ctypes
import faulthandler
import inspect
import itertools
import re
import sys
from typing import Any

import numpy as np
import simdrop
from simdrop import _core

REFUSALS = (TypeError, ValueError, OverflowError, IndexError, BufferError, MemoryError, OSError)
N = 1000
X = np.arange(N, dtype=np.float32)
OUT = np.zeros_like(X)
IMAGES = (2, 2, 10, 25)  # and the places of blocks of 3 by 3
BLOCKS = (IMAGES, 3, (2, 2, 8, 23), 0.1, 1, 2, 3, None)
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 2**40, 2**58, 2**63 - 1, 2**64, -(2**63), 0.5, -0.5, float("nan"), float("inf"), 1e308,
    "", "x", b"", b"12345678", (), [], (1,), (-1,), (N, 1), (2**32, 2**32), (2**62,), (1,) * 70, ("a",), {}, object(),
    np.zeros(3), np.zeros((2, 2), np.float32)[:, ::2], np.zeros(N, np.int32), simdrop.Stream(1),
)  # fmt: skip
STREAM = (1, 2, 3)


class Lent(ctypes.Structure):
    """What DLPack says of memory."""

    _fields_ = (
        ("data", ctypes.c_void_p), ("device", ctypes.c_int32 * 2), ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )  # fmt: skip


def lend(x: Any, lent: Any) -> int:
    """Lend float32 arrays of one dimension."""
    if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim != 1:
        return -1
    shape = ctypes.addressof(NUMBERS)
    lent[0] = Lent(x.ctypes.data, (1, 0), 1, 2, 32, 1, shape, shape + 8, 0)
    return 0


LEND = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(Lent))(lend)
NUMBERS = (ctypes.c_int64 * 2)(N, 1)  # its shape and its strides
TABLE = (ctypes.c_uint64 * 7)(1, 0, 0, 0, 0, ctypes.cast(LEND, ctypes.c_void_p).value or 0, 0)  # version 1.0
new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype, new_capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
EXCHANGE = new_capsule(ctypes.addressof(TABLE), b"dlpack_exchange_api", None)
NOT_OURS = ("__init__", "_pybind11_conduit_v1_")  # called as the class; of pybind11 itself
# A valid call of every entry; those without arguments have nothing to be wrong.
VALID: dict[str, tuple[Any, ...]] = {
    "Stream": (1, 2),
    "Stream.__eq__": (simdrop.Stream(1),),
    "Stream.__reduce__": (),
    "Stream.__repr__": (),
    "Stream.next": (),
    "Stream.restore": ((1, 2),),
    "Stream.spawn": (3,),
    "active_isa": (),
    "apply": (X, OUT, 0.5, 1, 2, 3, "inverted", 2, (N,)),
    "ask_for_large_pages": (X.ctypes.data, X.nbytes),
    "as_shape": ("shape", (2, 3)),
    "available_isas": (),
    "bias_dropout_add": (X, np.ones(N, np.float32), X, OUT, 0.5, STREAM, 2.0, 2, "x", "residual"),
    "blend": (X, X, OUT, 0.5, STREAM, 2),
    "block_bytes": (*BLOCKS, 2),
    "cache_bytes": (),
    "check_operands": (X, OUT, 2),
    "check_threads": (2,),
    "count_kept": ((10, 100), 0.5, 1, 2, 3, (200, 1), 2),
    "cpu_name": (),
    "draw": (X, OUT, 0.5, simdrop.Stream(1), "inverted", 2, True),
    "draw_shared": (X, OUT, 0.5, simdrop.Stream(1), "inverted", (2.0, 0.0, 0.0), 2, (1,), True, "x"),
    "drop_small": (EXCHANGE, np.empty_like, X, 0.5, 1),
    "drop_blocks": (X.reshape(IMAGES), OUT.reshape(IMAGES), *BLOCKS, 2, "x"),
    "dropout_pointers": (X.ctypes.data, OUT.ctypes.data, N, 2, 2, 0.5, 1, 2, 2.0, 0.0, 0.0, 3),
    "dropout_window_pointers": (
        X.ctypes.data, OUT.ctypes.data, (10, 100), (200, 2), 2, 2, 0.5, 1, 2, 2.0, 0.0, 0.0, 3,
    ),
    "embed": (np.ones((9, 3), np.float32), np.arange(4), 0.5, simdrop.Stream(1), 2),
    "embed_backward": (np.ones((4, 3), np.float32), np.arange(4), 9, 0.5, 1, 2, 3, 2.0, 2),
    "get_num_threads": (),
    "in_usual_mode": (abs, -1),
    "infer": (X, OUT, 0.5, "classic", 2, "x"),
    "is_small": (EXCHANGE, X),
    "keep_bits": ((10, 100), 0.5, 1, 2, 3, (0, -1), False, 2),
    "keep_bytes": ((10, 100), 0.5, 1, 2, 3, (1, 10), False, 2),
    "kept_scale": (0.5, "inverted", True),
    "mask_numbers": ((2, 3), 0.5, 1, 2, 3),
    "noise": (X, OUT, 1, 0.5, STREAM, 2, "x"),
    "plane_words": (N, 16, 1, 2, 2, 5),
    "pointer_calls": (),
    "select": (X, OUT, 0.5, STREAM, 2.0, 1.0, -1.0, 2, (N,), (3,), "x"),
    "set_num_threads": (2,),
    "shape_of": (X, "x"),
    "shown": (1,),
    "token_places": (4, 6, 3, 1, True, 1, 2, True),
    "threshold": (0.5, "p"),
    "unsigned_integer": ("n", 1, 10, 0),
    "use_isa": (simdrop.active_isa(),),
}  # fmt: skip
# Arguments that are addresses, or the number of elements that lie there: larger ones are lies.
ADDRESSES = {
    "ask_for_large_pages": (0,), "dropout_pointers": (0, 1), "dropout_window_pointers": (0, 1),
}  # fmt: skip
DTYPES = {"dropout_pointers": 3, "dropout_window_pointers": 4}
LENGTHS = {
    "dropout_pointers": (2,),
    "dropout_window_pointers": (2,),
    "count_kept": (0,),
    "keep_bits": (0,),
    "keep_bytes": (0,),
    "plane_words": (0,),
    "embed_backward": (2,),
    "token_places": (0, 1, 2, 3),
}  # or it takes hours


def may_be(name: str, place: int, value: Any) -> bool:
    """Return whether the entry could recognise this value in this place as wrong, or serve it."""
    if place in ADDRESSES.get(name, ()):
        return value is None or isinstance(value, (str, bytes)) or (type(value) is int and value == 0)
    if place == DTYPES.get(name):  # wider elements than there are
        return not (isinstance(value, int) and value == 3)
    if place in LENGTHS.get(name, ()):
        return not (isinstance(value, int) and value in (2**40, 2**58))  # as many as there may be
    return True


def entry(name: str) -> Any:
    method = name.removeprefix("Stream.")
    return getattr(_core, name) if method == name else getattr(simdrop.Stream(5), method)


def entries() -> set[str]:
    methods = {f"Stream.{n}" for n, m in vars(_core.Stream).items() if callable(m) and n not in NOT_OURS}
    return methods | {n for n in dir(_core) if callable(getattr(_core, n)) and not n.startswith("__")}


def parameters(name: str) -> list[str]:
    """Return the parameters of an entry, which pybind11 names in the first line of its documentation."""
    documented = _core.Stream.__init__ if name == "Stream" else entry(name)
    if getattr(documented, "__text_signature__", None):
        return list(inspect.signature(documented).parameters)
    return [p for p in re.findall(r"(\w+): ", (documented.__doc__ or "").partition("\n")[0]) if p != "self"]


def attempt(name: str, arguments: tuple[Any, ...]) -> None:
    try:
        entry(name)(*arguments)
    except REFUSALS:
        pass
    finally:
        _core.use_isa(VALID["use_isa"][0])
        _core.set_num_threads(None)


def main() -> int:
    faulthandler.enable()
    if entries() != set(VALID):
        print(f"without a valid call: {entries() - set(VALID)}, without an entry: {set(VALID) - entries()}")
        return 1
    for name, valid in VALID.items():
        if len(valid) < len(parameters(name)):
            print(f"{name}: arguments {parameters(name)[len(valid) :]} are left to their defaults")
            return 1
    calls = 0
    before = X.tobytes()
    for name, valid in VALID.items():
        attempt(name, valid)
        pairs = [(a,) for a in range(len(valid))] + list(itertools.combinations(range(len(valid)), 2))
        for places in pairs:
            values = ODD if len(places) == 1 else ODD[::5]
            for odd in itertools.product(values, repeat=len(places)):
                if not all(may_be(name, place, value) for place, value in zip(places, odd, strict=True)):
                    continue
                arguments = list(valid)
                for place, value in zip(places, odd, strict=True):
                    arguments[place] = value
                attempt(name, tuple(arguments))
                calls += 1
        if X.tobytes() != before:
            print(f"{name} changed an input")
            return 1
    print(f"{calls} odd calls, {len(VALID)} entries")
    return 0


if __name__ == "__main__":
    sys.exit(main())
