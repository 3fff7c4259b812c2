"""Reading the head of an ``.npy`` file, and mapping its data into memory.

The layout is NumPy's: magic string and version (8 bytes), length of the header (2 bytes in version 1, 4 in
versions 2 and 3), the header (a Python literal), then the data. See ``numpy.lib.format``.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
import struct
import sys
import tokenize
import warnings
from dataclasses import dataclass
from io import FileIO
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from simdrop._cli._errors import CommandError, human_size, system_error

Array = np.ndarray[Any, np.dtype[Any]]

_ACCEPTED = ("float16", "float32", "float64")
# NumPy evaluates the header as a Python literal and makes a dtype of it: a damaged one can end in any of these.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)
_LENGTH_FIELD = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}


@dataclass(frozen=True)
class Header:
    """What the head of an ``.npy`` file says."""

    raw: bytes  # everything before the data, so that an output can start with the very same bytes
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

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
    raw, version = _raw_header(file, name, file_size)
    file.seek(npy_format.MAGIC_LEN)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header written by Python 2 is slow to read, not wrong
            shape, fortran_order, dtype = read(file)
    except _DAMAGED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CommandError(f"{name}: damaged .npy header: {reason}") from None
    header = Header(raw, shape, dtype, fortran_order)
    _check_dtype(dtype, name)
    if any(length < 0 for length in shape):
        raise CommandError(f"{name}: damaged .npy header: shape {shape} has a negative length")
    if file_size < header.file_size:
        raise CommandError(
            f"{name}: truncated: shape {shape} of {dtype} needs {human_size(header.file_size)} "
            f"({header.file_size} bytes), the file has {file_size}"
        )
    return header


def _raw_header(file: FileIO, name: str, file_size: int) -> tuple[bytes, tuple[int, int]]:
    """Return everything before the data, and the version of the format."""
    if file_size == 0:
        raise CommandError(f"{name}: is empty, not an .npy file")
    magic = file.read(npy_format.MAGIC_LEN)
    if not magic.startswith(npy_format.MAGIC_PREFIX[: len(magic)]):
        hint = " (it looks like an .npz archive: save one array with numpy.save)" if magic[:4] == b"PK\x03\x04" else ""
        raise CommandError(f"{name}: not an .npy file{hint}")
    truncated = CommandError(f"{name}: truncated: the file ends inside the .npy header")
    if len(magic) < npy_format.MAGIC_LEN:
        raise truncated
    version = (magic[-2], magic[-1])
    if version not in _LENGTH_FIELD:
        raise CommandError(f"{name}: .npy version {version[0]}.{version[1]} is unknown; accepted are 1.0, 2.0 and 3.0")
    field = _LENGTH_FIELD[version]
    length_bytes = file.read(struct.calcsize(field))
    if len(length_bytes) < struct.calcsize(field):
        raise truncated
    (length,) = struct.unpack(field, length_bytes)
    start = npy_format.MAGIC_LEN + len(length_bytes) + length
    if file_size < start:
        raise truncated
    file.seek(0)
    return file.read(start), version


def _check_dtype(dtype: np.dtype[Any], name: str) -> None:
    """Refuse, with the way out, what the kernels do not take."""
    accepted = "accepted are " + ", ".join(_ACCEPTED)
    if dtype.hasobject:
        raise CommandError(f"{name}: holds pickled Python objects (dtype {dtype}); {accepted}")
    if dtype.names is not None:
        raise CommandError(f"{name}: holds a structured dtype with fields {', '.join(dtype.names)}; {accepted}")
    if dtype == np.dtype("V2"):
        raise CommandError(
            f"{name}: holds raw two-byte values (dtype |V2). NumPy saves bfloat16 that way, without saying in the file "
            f"that it is bfloat16; {accepted}. In Python: "
            "simdrop.Mask(x.shape, P, seed=S).apply(x) with x = numpy.load(NAME).view(ml_dtypes.bfloat16)"
        )
    if dtype.name not in _ACCEPTED or dtype.subdtype is not None:
        raise CommandError(f"{name}: dtype {dtype} is not supported; {accepted}; convert with .astype(numpy.float32)")
    if not dtype.isnative:
        raise CommandError(
            f"{name}: dtype {dtype.str} has swapped bytes; {accepted} in this machine's byte order; "
            f"convert with .astype(numpy.{dtype.name})"
        )


def map_data(file: FileIO, header: Header, *, writable: bool) -> Array:
    """Map the data of an open ``.npy`` file, so that it need not fit into memory.

    The mapping lives as long as the array.
    """
    order: Any = "F" if header.fortran_order else "C"
    if header.size == 0:
        return np.empty(header.shape, header.dtype, order=order)
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
    mapping = mmap.mmap(file.fileno(), header.file_size, access=access)
    if sys.platform != "win32" and hasattr(mmap, "MADV_SEQUENTIAL") and not header.fortran_order:
        mapping.madvise(mmap.MADV_SEQUENTIAL)
    data: Array = np.ndarray(header.shape, header.dtype, buffer=mapping, offset=len(header.raw), order=order)
    return data


def flush(data: Array) -> None:
    """Hand what was written through a mapping to the system, where writing to a mapping alone does not."""
    if isinstance(data.base, mmap.mmap):
        data.base.flush()
