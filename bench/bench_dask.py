"""Times dropout of a Dask array against dropout made of Dask's own random numbers, and what the scheduler costs.

Run `python bench/bench_dask.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import distributed
import numpy as np
import psutil
import simdrop.dask
from machine import usable_cpus
from report import Result, WrongAnswerError, conduct, progress, read_options, result
from timing import spread

P = 0.1


def peak_memory(workers: Sequence[psutil.Process], work: Callable[[], Any]) -> tuple[float, int]:
    """Return seconds, and the most bytes that the workers held together meanwhile, looked at every 10 ms."""
    future = work()
    start, most = time.perf_counter(), 0
    while not future.done():
        most = max(most, sum(worker.memory_info().rss for worker in workers))
        time.sleep(0.01)
    future.result()
    return time.perf_counter() - start, most


def measure(options: argparse.Namespace) -> tuple[list[Result], dict[str, Any]]:
    """Sum dropout of an array that the workers make, so that nothing large leaves them."""
    rows, columns, chunk = (256, 4096, 64) if options.quick else (16384, 16384, 1024)
    with (
        distributed.LocalCluster(
            n_workers=options.threads, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        x = da.ones((rows, columns), chunks=(chunk, columns), dtype=np.float32)

        def ours() -> Any:
            return simdrop.dask.dropout(x, P, rng=1)

        def theirs() -> Any:
            keep = da.random.default_rng(1).random(x.shape, dtype=np.float32, chunks=x.chunks) >= P
            return da.where(keep, x * np.float32(1 / (1 - P)), np.float32(0))

        contestants: dict[str, Callable[[], Any]] = {"dask.array.random": theirs, "simdrop": ours, "x alone": lambda: x}
        whole = ours().sum(dtype=np.float64).compute()
        kept = simdrop.Mask(x.shape, P, seed=1).count_kept()
        if abs(whole - kept / (1 - P)) > 1e-4 * whole:
            raise WrongAnswerError(f"the sum is {whole}, {kept} elements are kept")
        taken: dict[str, list[tuple[float, int]]] = {name: [] for name in contestants}
        for _ in progress(range(2 if options.quick else 7), str):
            for name, make in contestants.items():
                y = make().sum(dtype=np.float64)
                taken[name].append(peak_memory(workers, partial(client.compute, y)))
    results = [
        result(f"{rows} x {columns}, sum", spread([seconds for seconds, _ in found]), contestant=name)
        for name, found in taken.items()
    ]
    times = {name: [seconds for seconds, _ in found] for name, found in taken.items()}
    rounds = list(zip(*times.values(), strict=True))
    results.append(
        result(
            "time, against dask.array.random",
            spread([theirs / ours for theirs, ours, _ in rounds]),
            unit="ratio",
            better="higher",
            target=5.0,
            reference="dask.array.random",
        )
    )
    for name, found in taken.items():
        most = float(max(memory for _, memory in found))
        results.append(result("memory of the workers", spread([most]), contestant=name, unit="bytes"))
    return results, {"chunks": rows // chunk, "chunk_bytes": chunk * columns * 4}


def main(words: Sequence[str] | None = None) -> int:
    """Measure, show and write."""
    options = read_options(__doc__, words, threads=usable_cpus())
    return conduct("dask", options, lambda out: measure(options))


if __name__ == "__main__":
    sys.exit(main())
