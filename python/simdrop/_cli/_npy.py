"""Reading the head of an ``.npy`` file, and mapping its data into memory."""

from __future__ import annotations

import math
import mmap
import os
import stat
import warnings
from dataclasses import dataclass
from io import FileIO
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from simdrop import _core
from simdrop._cli._errors import CommandError, human_size, system_error

Array = np.ndarray[Any, np.dtype[Any]]

_ACCEPTED = tuple(name for name in _core.DTYPES if hasattr(np, name))


@dataclass(frozen=True)
class Header:
    """What the head of an ``.npy`` file says."""

    raw: bytes  # everything before the data, so that an output can start with the very same bytes
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Number of elements (a Python int, which a malicious shape cannot overflow)."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of data."""
        return self.size * self.dtype.itemsize

    @property
    def file_size(self) -> int:
        """Bytes of header and data."""
        return len(self.raw) + self.nbytes


def open_input(path: str, *, writable: bool) -> FileIO:
    """Open an existing regular file; anything else is an error in one line."""
    try:
        # Asked first, because opening a pipe would wait for its writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CommandError(f"{path}: is not a regular file")
        return FileIO(path, "r+b" if writable else "rb")
    except FileNotFoundError:
        raise CommandError(f"{path}: no such file") from None
    except OSError as error:
        raise system_error(path, error) from None


def read_header(file: FileIO, name: str) -> Header:
    """Read and check the head of an ``.npy`` file, and that the data behind it is complete."""
    file_size = os.fstat(file.fileno()).st_size
    if file_size == 0:
        raise CommandError(f"{name}: is empty, not an .npy file")
    magic = file.read(npy_format.MAGIC_LEN)
    if not magic.startswith(npy_format.MAGIC_PREFIX[: len(magic)]):
        hint = " (it looks like an .npz archive: save one array with numpy.save)" if magic[:4] == b"PK\x03\x04" else ""
        raise CommandError(f"{name}: not an .npy file{hint}")
    file.seek(0)
    try:
        version = npy_format.read_magic(file)
        if version not in {(1, 0), (2, 0), (3, 0)}:
            raise CommandError(
                f"{name}: .npy version {version[0]}.{version[1]} is unknown; accepted are 1.0, 2.0 and 3.0"
            )
        # Version 3 differs from 2 in the encoding of the names of fields, and arrays with fields are not taken.
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header written by Python 2 is slow to read, not wrong
            head = read(file)
    except (CommandError, OSError):
        raise
    except Exception as error:  # NumPy evaluates the header as Python and makes a dtype of it: that can end in anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if reason.startswith("EOF"):
            raise CommandError(f"{name}: truncated: the file ends inside the .npy header") from None
        raise CommandError(f"{name}: damaged .npy header: {reason}") from None
    start = file.tell()
    file.seek(0)
    header = Header(file.read(start), *head)
    if refusal := _refusal(header.dtype):
        raise CommandError(f"{name}: {refusal}")
    if any(length < 0 or isinstance(length, bool) for length in header.shape):
        raise CommandError(f"{name}: damaged .npy header: shape {header.shape} has a negative length or a bool")
    if file_size < header.file_size:
        raise CommandError(
            f"{name}: truncated: shape {header.shape} of {header.dtype} needs {human_size(header.file_size)} "
            f"({header.file_size} bytes), the file has {file_size}"
        )
    try:
        np.broadcast_to(np.empty((), header.dtype), header.shape)  # which allocates nothing
    except (ValueError, OverflowError) as error:
        raise CommandError(f"{name}: damaged .npy header: shape of {len(header.shape)} dimensions: {error}") from None
    return header


def _refusal(dtype: np.dtype[Any]) -> str | None:
    """Return why the kernels do not take a type, with the way out."""
    accepted = "accepted are " + ", ".join(_ACCEPTED)
    if dtype.hasobject:
        return f"holds pickled Python objects (dtype {dtype}); {accepted}"
    if dtype.names is not None:
        return f"holds a structured dtype with fields {', '.join(dtype.names)}; {accepted}"
    if dtype == np.dtype("V2"):
        return (
            "holds raw two-byte values (dtype |V2). NumPy saves bfloat16 that way, without saying in the file "
            f"that it is bfloat16; {accepted}. In Python: "
            "simdrop.Mask(x.shape, P, seed=S).apply(x) with x = numpy.load(NAME).view(ml_dtypes.bfloat16)"
        )
    if dtype.name not in _ACCEPTED or dtype.subdtype is not None:
        return f"dtype {dtype} is not supported; {accepted}; convert with .astype(numpy.float32)"
    if not dtype.isnative:
        return (
            f"dtype {dtype.str} has swapped bytes; {accepted} in this machine's byte order; "
            f"convert with .astype(numpy.{dtype.name})"
        )
    return None


def map_data(file: FileIO, header: Header, *, writable: bool) -> Any:
    """Map the data of an open ``.npy`` file, so that it need not fit into memory; this moves the file's position."""
    order: Any = "F" if header.fortran_order else "C"
    if header.size == 0:  # nothing can be mapped
        return np.empty(header.shape, header.dtype, order=order)
    mode: Any = "r+" if writable else "r"
    data = np.memmap(file, header.dtype, mode, offset=len(header.raw), shape=header.shape, order=order)
    if hasattr(mmap, "MADV_SEQUENTIAL") and isinstance(data.base, mmap.mmap) and not header.fortran_order:
        data.base.madvise(mmap.MADV_SEQUENTIAL)
    return data
