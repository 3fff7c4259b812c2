"""DLPack tensors that are broken in one way each, for malformed_inputs.py."""

from __future__ import annotations

import ctypes
import random
from typing import Any

import numpy as np


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
