"""Apply dropout to the array of an .npy file (float16, float32 or float64) and write the result to another .npy file.

The input is mapped into memory and processed piece by piece, so it may be larger than the memory.
The mask is simdrop.Mask(shape, P, seed=S, stream=N, offset=K): the same numbers give the same result everywhere.
A new output appears under its name only when it is complete; an interrupted run leaves the input as it was.
While it runs, a progress bar is shown on a terminal if tqdm is installed (it comes with the demo extra), else a
plain line.
"""

from __future__ import annotations

import argparse
import functools
import math
import operator
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np

import simdrop
from simdrop._cli._errors import SYSTEM_FAILED, CommandError, human_size, stoppable, system_error
from simdrop._cli._npy import Header, map_data, open_input, read_header
from simdrop._cli._output import new_file, reserve, write_all
from simdrop._cli._progress import progress
from simdrop._mask import Scaling

HELP = "apply dropout to an .npy file, also one larger than memory"
CHUNK_BYTES = 8 << 20  # large enough for every core to have work, small beside any memory
# Neighbours in the mask lie far apart in a Fortran-ordered file: large blocks use more of each page they touch.
FORTRAN_CHUNK_BYTES = 64 << 20


@dataclass
class _Job:
    """What to do with which array, and how much of it is done."""

    header: Header
    mask: simdrop.Mask
    scaling: Scaling
    threads: int | None
    done: int = 0  # elements, in C order

    def partly(self) -> str:
        """Return what an interrupted run in place leaves."""
        return f"the file is partly processed: about {self.done} of its {self.header.size} elements, in C order"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this command takes."""
    add = parser.add_argument
    add("input", metavar="IN.npy", help="the file to read")
    add("--p", type=float, required=True, help="probability that an element is dropped, 0 to 1")
    add("--seed", type=_integer, required=True, metavar="S", help="seed of the mask, below 2**64")
    add("--stream", type=_integer, default=0, metavar="N", help="stream of the mask (default: 0)")
    add("--offset", type=_integer, default=0, metavar="K", help="index in the mask of the first element (default: 0)")
    add(
        "--scaling",
        choices=("inverted", "classic"),
        default="inverted",
        help="inverted (default): kept elements are multiplied by 1/(1-p); classic: they stay as they are",
    )
    add("--threads", type=_integer, metavar="T", help="threads to use (default: all that are allowed)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", metavar="OUT.npy", help="the file to write (default: IN.dropped.npy, beside the input)")
    where.add_argument(
        "--in-place",
        action="store_true",
        help="change the input file itself; an interrupted run leaves a partly processed file",
    )
    add("--force", action="store_true", help="replace the output file if it exists")


def _integer(text: str) -> int:
    """Read a decimal integer, or one with a prefix, so that seeds can be given in hexadecimal."""
    try:
        return int(text)
    except ValueError:
        return int(text, 0)


_integer.__name__ = "integer"  # argparse names the type in its message


def run(args: argparse.Namespace) -> None:
    """Apply dropout as the arguments say."""
    target = None if args.in_place else _target(args)
    started = time.perf_counter()
    with stoppable(), open_input(args.input, writable=args.in_place) as source:
        header = read_header(source, args.input)
        try:
            mask = simdrop.Mask(header.shape, args.p, seed=args.seed, stream=args.stream, offset=args.offset)
            job = _Job(header, mask, args.scaling, args.threads)
            if target is None:
                _change_in_place(job, source, args.input)
            else:
                with new_file(target, header.file_size, overwrite=args.force) as sink:
                    write_all(sink, header.raw)
                    _process(job, source, sink)
        except OSError as error:
            raise system_error(args.input, error) from None
        except (ValueError, TypeError, OverflowError) as error:  # what the library refuses, such as --threads 0
            raise CommandError(str(error)) from None
    seconds = time.perf_counter() - started
    done = f"changed {args.input}" if target is None else f"wrote {target}"
    print(f"{done}: {header.dtype} {header.shape}, {human_size(header.nbytes)} in {seconds:.2f} s")
    print(f"mask: {mask!r}, {args.scaling} scaling")


def _target(args: argparse.Namespace) -> Path:
    """Return where to write, after refusing what should not be written to."""
    source = Path(args.input)
    default = source.parent / (source.name.removesuffix(".npy") + ".dropped.npy")
    target = default if args.out is None else Path(args.out)
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


def _change_in_place(job: _Job, file: FileIO, name: str) -> None:
    status = os.fstat(file.fileno())
    # st_blocks counts 512 bytes, wherever the field exists.
    if getattr(status, "st_blocks", status.st_size) * 512 < job.header.file_size:
        try:
            reserve(file, job.header.file_size)  # while nothing is changed yet, rather than at the first hole
        except OSError as error:
            raise system_error(name, error, needed=job.header.file_size) from None
    try:
        _process(job, file, file)
        os.fsync(file.fileno())
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}; {job.partly()}", SYSTEM_FAILED) from None
    except KeyboardInterrupt as stop:
        # The same exception goes on, with the state of the file in its message.
        stop.args = (f"{str(stop) or 'interrupted'}; {name}: {job.partly()}",)
        raise


def _process(job: _Job, source: FileIO, sink: FileIO) -> None:
    """Apply the mask piece by piece, from ``source`` to ``sink``, which may be the same file."""
    with progress(job.header.nbytes, os.path.basename(source.name), unit="B", scaled=True) as advance:
        for elements in _pieces(job, source, sink):
            job.done += elements
            advance(elements * job.header.dtype.itemsize)


def _pieces(job: _Job, source: FileIO, sink: FileIO) -> Iterator[int]:
    """Process piece after piece, yielding the number of elements of each."""
    strided = job.header.fortran_order and job.header.size > 1
    return (_strided if strided else _contiguous)(job, source, sink)


def _contiguous(job: _Job, source: FileIO, sink: FileIO) -> Iterator[int]:
    """Process data whose order in the file is the order of the mask.

    Results are written, not mapped: a write to a disk that is full after all is an error, in a mapping it is a SIGBUS.
    """
    data, mask = map_data(source, job.header, writable=False).reshape(-1), job.mask.ravel()
    sink.seek(len(job.header.raw))
    step = max(1, CHUNK_BYTES // data.itemsize)
    buffer = np.empty(min(step, data.size), data.dtype)
    for start in range(0, data.size, step):
        piece = data[start : start + step]
        result = buffer[: piece.size]
        mask[start : start + step].apply(piece, out=result, scaling=job.scaling, threads=job.threads)
        write_all(sink, result.data)
        yield piece.size


def _strided(job: _Job, source: FileIO, sink: FileIO) -> Iterator[int]:
    """Process a Fortran-ordered file, whose order is not that of the mask, in blocks along the leading axes."""
    data = map_data(source, job.header, writable=sink is source)
    result = data if sink is source else map_data(sink, job.header, writable=True)
    for index in blocks(job.header.shape, max(1, FORTRAN_CHUNK_BYTES // data.itemsize)):
        part: simdrop.Mask = functools.reduce(operator.getitem, index, job.mask)
        part.apply(data[index], out=result[index], scaling=job.scaling, threads=job.threads)
        yield part.size
    result.flush()  # writing to a mapping alone does not hand it to the system everywhere


def blocks(shape: tuple[int, ...], limit: int) -> Iterator[tuple[int | slice, ...]]:
    """Yield indices that cut an array into blocks, each a run in C order.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array, with at least one axis and no empty one.
    limit : int
        Largest number of elements of a block.
    """
    inner = math.prod(shape[1:])
    if inner > limit:
        for row in range(shape[0]):
            yield from ((row, *index) for index in blocks(shape[1:], limit))
    else:
        rows = limit // inner
        yield from ((slice(row, row + rows),) for row in range(0, shape[0], rows))
