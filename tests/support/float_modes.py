"""The modes of the floating-point unit, by way of ``fenv_t``, and a call in one of them."""

from __future__ import annotations

import ctypes
import ctypes.util
import itertools
import platform
from collections.abc import Callable
from typing import Any


class Environment86(ctypes.Structure):
    """``fenv_t`` of x86-64: the state of the x87, then MXCSR."""

    _fields_ = (("x87", ctypes.c_uint8 * 28), ("control", ctypes.c_uint32))
    # bits 13 and 14 are the rounding mode, 15 flushes results, 6 reads denormals as zeros, 0 to 5 are flags
    MODES = {  # noqa: RUF012 (ctypes' classes)
        (rounding, flush): 0x1F80 | number << 13 | bits
        for (number, rounding), (flush, bits) in itertools.product(
            enumerate(("nearest", "down", "up", "to zero")), (("kept", 0), ("flushed", 0x8040))
        )
    }
    FLAGS = 0x3F


class EnvironmentArm(ctypes.Structure):
    """``fenv_t`` of AArch64: FPCR and FPSR."""

    _fields_ = (("control", ctypes.c_uint32), ("flags", ctypes.c_uint32))
    MODES = {  # noqa: RUF012 (ctypes' classes)
        (rounding, flush): number << 22 | bits
        for (number, rounding), (flush, bits) in itertools.product(
            enumerate(("nearest", "up", "down", "to zero")), (("kept", 0), ("flushed", 1 << 24))
        )
    }
    FLAGS = 0


Environment: Any = {"x86_64": Environment86, "aarch64": EnvironmentArm}.get(platform.machine())
MODES = Environment.MODES if Environment else {}


def under(control: int, function: Callable[[], Any]) -> Any:
    """Run a function in another environment and prove that it was left alone; all around it runs in the usual one."""
    libm = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
    here = Environment()
    assert libm.fegetenv(ctypes.byref(here)) == 0
    usual = here.control
    here.control = control
    assert libm.fesetenv(ctypes.byref(here)) == 0
    try:
        result = function()
    finally:
        libm.fegetenv(ctypes.byref(here))
        found, here.control = here.control, usual
        libm.fesetenv(ctypes.byref(here))
    assert found & ~Environment.FLAGS == control, "the caller's environment was not left alone"
    return result
