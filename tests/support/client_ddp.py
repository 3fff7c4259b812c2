"""Two processes train one model by DistributedDataParallel over gloo, and write what came of it as JSON to a folder."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import simdrop.torch as st
import torch
import torch.distributed
from sklearn.datasets import load_digits

RANKS, STEPS, BATCH = 2, 8, 32


def run(ddp: Any, optimizer: Any, rank: int, first: int, steps: int) -> list[float]:
    data = load_digits()
    losses = []
    for step in range(first, first + steps):
        mine = slice((step * RANKS + rank) * BATCH, (step * RANKS + rank + 1) * BATCH)
        images, labels = torch.from_numpy(data.data[mine]).float() / 16, torch.from_numpy(data.target[mine])
        loss = torch.nn.functional.cross_entropy(ddp(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def training(rank: int) -> tuple[Any, Any]:
    torch.manual_seed(0)
    linear, relu = torch.nn.Linear, torch.nn.ReLU
    model = torch.nn.Sequential(linear(64, 64), relu(), torch.nn.Dropout(0.3), linear(64, 10))
    ddp = torch.nn.parallel.DistributedDataParallel(model)
    torch.manual_seed(100 + rank)  # each its own masks
    return ddp, torch.optim.AdamW(ddp.parameters(), lr=1e-2)


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS)
    st.install()
    ddp, optimizer = training(rank)
    losses = run(ddp, optimizer, rank, 0, STEPS // 2)
    path = folder / f"checkpoint-{rank}.pt"
    state = {"model": ddp.state_dict(), "optimizer": optimizer.state_dict(), "generator": torch.get_rng_state()}
    torch.save(state, path)
    losses += run(ddp, optimizer, rank, STEPS // 2, STEPS // 2)
    kernel_calls = st.kernel_calls()
    weights = [float(p.detach().double().sum()) for p in ddp.parameters()]
    again = run(*training(rank), rank, 0, STEPS)
    ddp, optimizer = training(rank)
    state = torch.load(path)
    ddp.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["generator"])
    resumed = run(ddp, optimizer, rank, STEPS // 2, STEPS // 2)
    found = {"losses": losses, "again": again, "resumed": resumed, "weights": weights, "kernel_calls": kernel_calls}
    (folder / f"rank-{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    del ddp, optimizer  # before the group; see examples/torch_ranks.py
    torch.distributed.destroy_process_group()


def main() -> int:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=work, args=(rank, Path(sys.argv[1]))) for rank in range(RANKS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        process.kill()
    return max(process.exitcode or 0 for process in processes)


if __name__ == "__main__":
    sys.exit(main())
