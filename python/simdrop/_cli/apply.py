"""``simdrop apply``: dropout on an ``.npy`` file of any size."""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

import simdrop
from simdrop._cli._errors import CommandError, human_size, stoppable, system_error
from simdrop._cli._npy import Array, Header, flush, map_data, open_input, read_header
from simdrop._cli._output import new_file, reserve, write_all
from simdrop._cli._progress import progress
from simdrop._mask import Scaling

CHUNK_BYTES = 8 << 20  # large enough for every core to have work, small beside any memory
# Neighbours in the mask lie far apart in a Fortran-ordered file: large blocks use more of each page they touch.
FORTRAN_CHUNK_BYTES = 64 << 20

_Counter = Callable[[int], None]

_DESCRIPTION = """\
Apply dropout to the array of an .npy file (float16, float32 or float64) and write the result to another .npy file.
The input is mapped into memory and processed piece by piece, so it may be larger than the memory.
The mask is simdrop.Mask(shape, P, seed=S, stream=N, offset=K): the same numbers give the same result everywhere.
A new output appears under its name only when it is complete; an interrupted run leaves the input as it was.
While it runs, a progress bar is shown on a terminal if tqdm is installed (it comes with the demo extra), else a
plain line."""


@dataclass(frozen=True)
class _Job:
    """The numbers of the mask, and how to apply it."""

    mask: simdrop.Mask
    scaling: Scaling
    threads: int | None

    def part(self, start: int, shape: tuple[int, ...]) -> simdrop.Mask:
        """Return the mask of ``shape`` whose elements are those from ``start`` on, in C order."""
        whole = self.mask
        return simdrop.Mask(shape, whole.p, seed=whole.seed, stream=whole.stream, offset=whole.offset + start)


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add this command to the command line."""
    parser = commands.add_parser(
        "apply",
        help="apply dropout to an .npy file, also one larger than memory",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("input", metavar="IN.npy", help="the file to read")
    parser.add_argument("--p", type=float, required=True, help="probability that an element is dropped, 0 to 1")
    parser.add_argument("--seed", type=_integer, required=True, metavar="S", help="seed of the mask, below 2**64")
    parser.add_argument("--stream", type=_integer, default=0, metavar="N", help="stream of the mask (default: 0)")
    parser.add_argument(
        "--offset", type=_integer, default=0, metavar="K", help="index in the mask of the first element (default: 0)"
    )
    parser.add_argument(
        "--scaling",
        choices=("inverted", "classic"),
        default="inverted",
        help="inverted (default): kept elements are multiplied by 1/(1-p); classic: they stay as they are",
    )
    parser.add_argument("--threads", type=_integer, metavar="T", help="threads to use (default: all that are allowed)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", metavar="OUT.npy", help="the file to write (default: IN.dropped.npy, beside the input)")
    where.add_argument(
        "--in-place",
        action="store_true",
        help="change the input file itself; an interrupted run leaves a partly processed file",
    )
    parser.add_argument("--force", action="store_true", help="replace the output file if it exists")
    parser.set_defaults(run=run)


def _integer(text: str) -> int:
    """Read a decimal integer, or one with a prefix, so that seeds can be given in hexadecimal."""
    try:
        return int(text)
    except ValueError:
        return int(text, 0)


_integer.__name__ = "integer"  # argparse names the type in its message


def run(args: argparse.Namespace) -> int:
    """Apply dropout as the arguments say."""
    target = None if args.in_place else _target(args)
    started = time.perf_counter()
    with stoppable(), open_input(args.input, writable=args.in_place) as source:
        header = read_header(source, args.input)
        job = _Job(_mask(header, args), args.scaling, args.threads)
        try:
            if target is None:
                _change_in_place(job, header, source, args.input)
            else:
                _write_new(job, header, source, target, overwrite=args.force)
        except OSError as error:
            raise system_error(args.input, error) from None
        except (ValueError, TypeError) as error:  # what the library itself refuses, such as --threads 0
            raise CommandError(str(error)) from None
    seconds = time.perf_counter() - started
    done = f"changed {args.input}" if target is None else f"wrote {target}"
    print(f"{done}: {header.dtype} {header.shape}, {human_size(header.nbytes)} in {seconds:.2f} s")
    print(f"mask: {job.mask!r}, {args.scaling} scaling")
    return 0


def _mask(header: Header, args: argparse.Namespace) -> simdrop.Mask:
    try:
        return simdrop.Mask(header.shape, args.p, seed=args.seed, stream=args.stream, offset=args.offset)
    except (ValueError, TypeError, OverflowError) as error:
        raise CommandError(str(error)) from None


def _target(args: argparse.Namespace) -> Path:
    """Return where to write, after refusing what should not be written to."""
    source = Path(args.input)
    stem = source.name[:-4] if source.suffix == ".npy" else source.name
    target = source.with_name(stem + ".dropped.npy") if args.out is None else Path(args.out)
    try:
        if not os.path.isdir(os.path.realpath(target.parent)):
            raise CommandError(f"{target}: there is no folder {target.parent}")
        if not target.exists():
            return target
        if source.exists() and os.path.samefile(source, target):
            raise CommandError(f"{target}: is the input itself; to change it ask for --in-place")
        if not target.is_file():
            raise CommandError(f"{target}: is not a regular file")
        if not args.force:
            raise CommandError(f"{target}: exists; give another --out, or --force to replace it")
    except OSError as error:
        raise system_error(str(target), error) from None
    return target


def _write_new(job: _Job, header: Header, source: FileIO, target: Path, *, overwrite: bool) -> None:
    with new_file(target, header.file_size, overwrite=overwrite) as file:
        write_all(file, header.raw)
        _process(job, header, source, file)


def _change_in_place(job: _Job, header: Header, file: FileIO, name: str) -> None:
    done = 0

    def keep_count(elements: int) -> None:
        nonlocal done
        done += elements

    if _is_sparse(file, header):
        try:
            reserve(file, header.file_size)  # while nothing is changed yet, rather than at the first hole
        except OSError as error:
            raise system_error(name, error, needed=header.file_size) from None
    try:
        file.seek(len(header.raw))
        _process(job, header, file, file, keep_count)
        os.fsync(file.fileno())
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}; {_partly(done, header)}", 1) from None
    except KeyboardInterrupt as stop:
        # The same exception goes on, with the state of the file in its message.
        stop.args = (f"{str(stop) or 'interrupted'}; {name}: {_partly(done, header)}",)
        raise


def _is_sparse(file: FileIO, header: Header) -> bool:
    blocks = getattr(os.fstat(file.fileno()), "st_blocks", None)  # of 512 bytes, wherever the field exists
    return blocks is not None and blocks * 512 < header.file_size


def _partly(done: int, header: Header) -> str:
    return f"the file is partly processed: about {done} of its {header.size} elements, in C order"


def _process(job: _Job, header: Header, source: FileIO, sink: FileIO, count: _Counter | None = None) -> None:
    """Apply the mask piece by piece, from ``source`` to ``sink``, which may be the same file."""
    with progress(header.nbytes, os.path.basename(source.name), unit="B", scaled=True) as advance:
        for elements in _pieces(job, header, source, sink):
            advance(elements * header.dtype.itemsize)
            if count is not None:
                count(elements)


def _pieces(job: _Job, header: Header, source: FileIO, sink: FileIO) -> Iterator[int]:
    """Process piece after piece, yielding the number of elements of each."""
    if header.fortran_order and header.size > 1:
        return _strided(job, header, source, sink)
    return _contiguous(job, header, source, sink)


def _contiguous(job: _Job, header: Header, source: FileIO, sink: FileIO) -> Iterator[int]:
    """Process data whose order in the file is the order of the mask.

    Results are written, not mapped: a write to a disk that is full after all is an error, in a mapping it is a SIGBUS.
    """
    data = map_data(source, header, writable=False).reshape(-1)
    mask = job.mask.ravel()
    step = max(1, CHUNK_BYTES // header.dtype.itemsize)
    buffer = np.empty(min(step, data.size), data.dtype)
    for start in range(0, data.size, step):
        stop = min(start + step, data.size)
        piece = buffer[: stop - start]
        mask[start:stop].apply(data[start:stop], out=piece, scaling=job.scaling, threads=job.threads)
        write_all(sink, piece.data)
        yield stop - start


def _strided(job: _Job, header: Header, source: FileIO, sink: FileIO) -> Iterator[int]:
    """Process a Fortran-ordered file, whose order is not that of the mask, in blocks along the leading axes."""
    data: Array = map_data(source, header, writable=sink is source)
    result = data if sink is source else map_data(sink, header, writable=True)
    limit = max(1, FORTRAN_CHUNK_BYTES // header.dtype.itemsize)
    for index, start in blocks(header.shape, limit):
        block = data[index]
        job.part(start, block.shape).apply(block, out=result[index], scaling=job.scaling, threads=job.threads)
        yield block.size
    flush(result)


def blocks(shape: tuple[int, ...], limit: int, start: int = 0) -> Iterator[tuple[tuple[int | slice, ...], int]]:
    """Cut an array into blocks that are runs in C order.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array, with at least one axis and no empty one.
    limit : int
        Largest number of elements of a block.
    start : int
        C-order index of the array's first element.

    Yields
    ------
    tuple
        The index of a block, and the C-order index of its first element.
    """
    inner = math.prod(shape[1:])
    if inner > limit:
        for row in range(shape[0]):
            for index, first in blocks(shape[1:], limit, start + row * inner):
                yield (row, *index), first
        return
    rows = limit // inner
    for row in range(0, shape[0], rows):
        yield (slice(row, row + rows),), start + row * inner
