"""Scaling an array with several threads: the limit for dropout with as many. The fastest way at hand counts."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from contest import Array
from machine import optional
from timing import Statement


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def numpy_scaling(x: Array, threads: int) -> Statement:
    """Return NumPy's scaling in equal parts, one for each thread: NumPy releases the GIL while it multiplies."""
    parts, one, pool = np.array_split(x, threads), x.dtype.type(1), _pool(threads)

    def scale(part: Array) -> None:
        np.multiply(part, one, out=part)

    def call() -> None:
        waiting = [pool.submit(scale, part) for part in parts[1:]]
        scale(parts[0])
        for future in waiting:
            future.result()

    return Statement(f"np.multiply, {threads} threads", call)


@functools.cache
def _numba_loop(numba: Any) -> Any:
    """Return the compiled parallel loop (compiled once; the loop names its own prange, which Numba must see)."""
    prange = numba.prange

    def scale(x: Array, one: Any) -> None:
        for i in prange(x.size):
            x[i] = x[i] * one

    return numba.njit(parallel=True, nogil=True)(scale)


def threaded_scalings(x: Array, threads: int) -> list[Statement]:
    """Return each way to scale `x` in place with `threads` threads that can be had here."""
    one = x.dtype.type(1)
    ways = [numpy_scaling(x, threads)]
    if numba := optional("numba"):
        loop = _numba_loop(numba)

        def limit_numba() -> None:
            numba.set_num_threads(threads)

        ways.append(Statement(f"Numba, {threads} threads", lambda: loop(x, one), before=limit_numba))
    if torch := optional("torch"):
        shared = torch.from_numpy(x)

        def limit_torch() -> None:
            torch.set_num_threads(threads)

        ways.append(Statement(f"torch.mul_, {threads} threads", lambda: shared.mul_(1.0), before=limit_torch))
    return ways
