"""Dask arrays: whatever the chunks, the scheduler and the workers, the result is that of the whole."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import simdrop
from helpers import refused

pytest.importorskip("dask.array")
import dask
import dask.array as da
import simdrop.dask as sd
from places import ROOT

X = np.random.default_rng(1).standard_normal((60, 50, 7)).astype(np.float32)
CHUNKS: list[Any] = [(60, 50, 7), (13, 50, 7), (60, 11, 3), (1, 50, 7), ((5, 0, 55), (20, 30), (7,)), (17, 9, 2)]


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("noise_shape", [None, (None, 1, None), (1, None, None)], ids=str)
def test_chunks_do_not_matter(chunks: Any, noise_shape: Any) -> None:
    x = da.from_array(X, chunks=chunks)
    y = sd.dropout(x, 0.3, rng=5, noise_shape=noise_shape)
    assert (y.shape, y.dtype, y.chunks) == (x.shape, x.dtype, x.chunks)
    assert type(y._meta) is np.ndarray
    expected = simdrop.dropout(X, 0.3, rng=5, noise_shape=noise_shape)
    assert y.compute(scheduler="sync").tobytes() == expected.tobytes()
    part = y[3:40:2, 7, ::-1].compute(scheduler="sync")
    assert part.tobytes() == expected[3:40:2, 7, ::-1].tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(dtype: str) -> None:
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    x = X.astype(kind)
    y = sd.dropout(da.from_array(x, chunks=(7, 20, 7)), 0.5, rng=1)
    assert y.dtype == kind
    assert y.compute(scheduler="sync").tobytes() == simdrop.dropout(x, 0.5, rng=1).tobytes()


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_schedulers(scheduler: str) -> None:
    y = sd.dropout(da.from_array(X, chunks=(13, 20, 7)), 0.1, rng=7)
    assert y.compute(scheduler=scheduler, num_workers=2).tobytes() == simdrop.dropout(X, 0.1, rng=7).tobytes()


def test_what_is_drawn_is_drawn_once() -> None:
    stream = simdrop.Stream(3)
    x = da.from_array(X, chunks=(20, 20, 7))
    first, second = sd.dropout(x, rng=stream), sd.dropout(x, rng=stream)
    assert stream.state == (3, 2)
    expected = simdrop.Stream(3)
    for y in (first, second):
        whole = simdrop.dropout(X, rng=expected)
        for _ in range(2):  # computing again is no other draw
            assert y.compute().tobytes() == whole.tobytes()
    with pytest.raises(ValueError, match=r"^p"):
        sd.dropout(x, 1.5, rng=stream)
    assert stream.state == (3, 2), "a call that fails draws nothing"
    assert sd.dropout(x, rng=3).name == sd.dropout(x, rng=3).name, "equal calls are one task to Dask"
    assert sd.dropout(x, rng=3).name != sd.dropout(x, rng=4).name


def test_members() -> None:
    x = da.from_array(X, chunks=(13, 20, 3))
    mask = simdrop.Mask(X.shape, 0.4, seed=1, offset=9)
    for scaling in ("inverted", "classic"):
        assert sd.apply(mask, x, scaling=scaling).compute().tobytes() == mask.apply(X, scaling=scaling).tobytes()
        inference = sd.dropout(x, 0.4, training=False, scaling=scaling).compute()
        assert inference.tobytes() == simdrop.dropout(X, 0.4, training=False, scaling=scaling).tobytes()
    assert sd.apply(mask[::-1], x).compute().tobytes() == mask[::-1].apply(X).tobytes()
    assert sd.apply(mask.T, x.T).compute().tobytes() == mask.T.apply(X.T).tobytes()
    for scale_by_keep in (True, False):
        path = sd.drop_path(x, 0.5, rng=2, scale_by_keep=scale_by_keep).compute()
        assert path.tobytes() == simdrop.drop_path(X, 0.5, rng=2, scale_by_keep=scale_by_keep).tobytes()


@pytest.mark.parametrize("options", [{}, {"scaling": "classic"}, {"training": False, "scaling": "classic"}], ids=str)
def test_the_gradient(options: dict[str, Any]) -> None:
    y, drawn = sd.dropout(da.from_array(X, chunks=(13, 20, 3)), 0.25, rng=2, return_drawn=True, **options)
    whole, same = simdrop.dropout(X, 0.25, rng=2, return_drawn=True, **options)
    assert y.compute().tobytes() == whole.tobytes()
    assert drawn == same
    grad = np.cos(X)
    found = sd.backward(drawn, da.from_array(grad, chunks=(60, 7, 7))).compute()
    assert found.tobytes() == same.backward(grad).tobytes()


def test_nothing_of_the_input_is_written() -> None:
    before = X.copy()
    x = da.from_array(X, chunks=(13, 20, 3))
    held = x.persist(scheduler="sync")
    sd.dropout(held, 0.5, rng=1).compute(scheduler="threads")
    np.testing.assert_array_equal(held.compute(), before)
    np.testing.assert_array_equal(X, before)


def test_bad_input() -> None:
    stream = simdrop.Stream(1)
    x = da.from_array(X, chunks=(20, 20, 7))
    mask = simdrop.Mask((3,), 0.5, seed=1)
    unknown = x[x[:, 0, 0] > 0]
    refused(lambda: sd.dropout(X, rng=stream), TypeError, "x", "ndarray", "dask.array.Array")
    refused(lambda: sd.dropout(x.astype(int), rng=stream), TypeError, "x", "int64", "float32")
    refused(lambda: sd.dropout(x.astype(">f4"), rng=stream), TypeError, "x", ">f4")
    refused(lambda: sd.dropout(unknown, rng=stream), ValueError, "x", "unknown sizes", "compute_chunk_sizes")
    refused(lambda: sd.dropout(x, noise_shape=(2, 1, 1), rng=stream), ValueError, "noise_shape")
    refused(lambda: sd.dropout(x, scaling="x", rng=stream), ValueError, "scaling")  # type: ignore[call-overload]
    refused(lambda: sd.apply(mask, x), ValueError, "x", "60, 50, 7", "3,")
    refused(lambda: sd.apply(X, x), TypeError, "mask", "simdrop.Mask")  # type: ignore[arg-type]
    refused(lambda: sd.backward(mask, x), TypeError, "drawn", "AffineDrawn")  # type: ignore[arg-type]
    refused(lambda: sd.drop_path(da.ones(()), rng=stream), ValueError, "x", "one dimension")
    assert stream.state == (1, 0)


def test_the_graph_stays_small() -> None:
    """10,000 chunks: what is kept for them is no more than their sums, and what Dask itself keeps."""
    x = da.ones((10_000, 8), chunks=(1, 8), dtype=np.float32)

    def peak(build: Any) -> int:
        tracemalloc.start()
        build().__dask_graph__()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(lambda: x + 1)
    assert peak(lambda: sd.dropout(x, rng=1)) < peak(lambda: x + 1) + 2_000_000


@pytest.fixture(scope="module")
def cluster() -> Any:
    distributed = pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.worker.daemon": True, "distributed.comm.timeouts.connect": "60s"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit="400MiB"
        ) as workers,
        distributed.Client(workers) as client,
    ):
        yield client


def test_two_worker_processes(cluster: Any) -> None:
    y = sd.dropout(da.from_array(X, chunks=(13, 20, 7)), 0.1, rng=7)
    assert cluster.compute(y).result(timeout=60).tobytes() == simdrop.dropout(X, 0.1, rng=7).tobytes()


def _die_once(block: np.ndarray[Any, Any], flag: str) -> np.ndarray[Any, Any]:
    """End the worker that comes here first."""
    try:
        with open(flag, "x"):
            os._exit(1)
    except FileExistsError:
        return block


def test_a_worker_that_dies_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    flag = str(tmp_path / "died")
    x = da.from_array(X, chunks=(5, 50, 7))
    y = sd.dropout(sd.dropout(x, 0.1, rng=7).map_blocks(_die_once, flag, dtype=X.dtype, meta=X[:0]), 0.3, rng=8)
    expected = simdrop.dropout(simdrop.dropout(X, 0.1, rng=7), 0.3, rng=8)
    assert cluster.compute(y, retries=3).result(timeout=120).tobytes() == expected.tobytes()
    assert os.path.exists(flag), "no worker died"


def test_more_than_a_worker_holds(cluster: Any, tmp_path: Path) -> None:
    """Files of 800 MiB together, where a worker may have 400: they are mapped, and pass through piece by piece."""
    rows, columns, files = 1 << 14, 1 << 12, 3  # 256 MiB each
    paths = []
    for k in range(files):
        np.lib.format.open_memmap(tmp_path / f"{k}.npy", "w+", np.float32, (rows, columns))  # zeros, a sparse file
        paths.append(str(tmp_path / f"{k}.npy"))
    per_file = 16

    def load(path: str, piece: int) -> Any:
        whole = np.load(path, mmap_mode="r")
        return np.asarray(whole[piece * rows // per_file : (piece + 1) * rows // per_file]) + np.float32(1)

    pieces = [
        da.from_delayed(dask.delayed(load)(path, piece), (rows // per_file, columns), np.float32)
        for path in paths
        for piece in range(per_file)
    ]
    x = da.concatenate(pieces)
    kept = (sd.dropout(x, 0.25, rng=3, scaling="classic")).sum(dtype=np.float64)
    mask = simdrop.Mask(x.shape, 0.25, seed=3)
    assert cluster.compute(kept).result(timeout=240) == mask.count_kept()


def test_xarray() -> None:
    xarray = pytest.importorskip("xarray")
    x = xarray.DataArray(X, dims=("time", "place", "kind")).chunk({"time": 13})
    y = xarray.apply_ufunc(sd.dropout, x, 0.5, dask="allowed", kwargs={"rng": 4})
    assert y.dims == x.dims
    np.testing.assert_array_equal(y.compute().values, simdrop.dropout(X, 0.5, rng=4))


def test_the_benchmark_runs_at_a_tiny_size(tmp_path: Path) -> None:
    script = ROOT / "bench" / "bench_dask.py"
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "--output-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {r["contestant"] for r in json.loads((tmp_path / "dask.json").read_text())["results"]} >= {"simdrop"}


def test_the_example_runs(tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    script, picture = ROOT / "examples" / "one_mask.py", tmp_path / "picture.png"
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "--output", str(picture)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("equal to the whole: True") == 3
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The code of docs/distributed.md that has NumPy in it, its assertions and what it says is printed."""
    page = (ROOT / "docs" / "distributed.md").read_text()
    blocks = [b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "numpy" in b]
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})
        for printed in re.findall(r"print\(.*\)  # (.*)", block):
            assert printed in capsys.readouterr().out
