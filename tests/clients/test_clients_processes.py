"""Other processes of PyTorch: workers of a DataLoader, forked and spawned, and DistributedDataParallel over gloo."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

missing = [name for name in ("torch", "sklearn") if importlib.util.find_spec(name) is None]
if missing:
    pytest.skip(f"not installed: {missing}", allow_module_level=True)

import client_ddp  # noqa: E402
import simdrop.torch as st  # noqa: E402
import torch  # noqa: E402
from client_workers import Noisy, install  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Python 3.12 warns of fork in a process with threads


def test_workers_of_both_kinds_load_the_same() -> None:
    def load(seed: int, kind: str, workers: int = 2) -> dict[int, Any]:
        torch.manual_seed(seed)  # of which each worker's own seed comes
        loader = torch.utils.data.DataLoader(
            Noisy(),
            batch_size=2,
            num_workers=workers,
            worker_init_fn=install,
            multiprocessing_context=kind,
            timeout=60,
        )
        found: dict[int, Any] = {}
        for indices, rows, calls in loader:
            assert calls.tolist() == [1, 1]
            found |= dict(zip(indices.tolist(), map(tuple, rows.tolist()), strict=True))
        return found

    assert not st.installed(), "the workers are to install it"
    forked = load(1, "fork")
    assert len(set(forked.values())) == len(forked) == 8
    assert load(1, "fork") == forked
    assert load(2, "fork") != forked
    assert load(1, "spawn") == forked


def test_distributed_data_parallel(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, client_ddp.__file__, tmp_path], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]
    for found in ranks:
        assert found["kernel_calls"] == 2 * client_ddp.STEPS
        assert found["losses"][-1] < found["losses"][0] - 0.2
        assert found["again"] == found["losses"]
        assert found["resumed"] == found["losses"][client_ddp.STEPS // 2 :]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    assert ranks[0]["losses"] != ranks[1]["losses"]
