"""Data parallel training with PyTorch on 1, 2 and 4 processes that gives one and the same network.

Trains a small transformer on scikit-learn's digits with DistributedDataParallel over gloo, all processes on this
machine: once as a rank usually seeds itself, and once with `simdrop.torch.shard`, which gives each rank its part of the
mask of the whole batch. Writes docs/pictures/torch_ranks.png. Needs PyTorch.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import simdrop.torch
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from network import Array, arguments, save
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel

BATCH = 64


class Reader(nn.Module):
    """Reads the eight rows of a digit as a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(8, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.2, batch_first=True)
        self.out = nn.Linear(8 * 32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores of the ten digits."""
        return self.out(self.layer(self.into(x)).flatten(1))  # type: ignore[no-any-return]


def train(rank: int, world: int, parts: bool, steps: int, seed: int, folder: Path) -> None:
    """Train as one of the ranks; the first one writes the losses of the whole batch."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/{world}{parts}", rank=rank, world_size=world)
    simdrop.torch.install()
    digits = load_digits()
    x = torch.tensor(digits.images / 16, dtype=torch.float32)
    y = torch.tensor(digits.target)
    order = torch.tensor(np.random.default_rng(seed).permutation(len(x)))

    torch.manual_seed(seed)
    model = DistributedDataParallel(Reader())
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    if not parts:
        torch.manual_seed(seed + rank)
    losses = torch.zeros(steps)
    for i in range(steps):
        batch = order[torch.arange(i * BATCH, (i + 1) * BATCH) % len(order)]
        mine = batch.chunk(world)[rank]
        with simdrop.torch.shard(index=rank, of=world) if parts else contextlib.nullcontext():
            loss = nn.functional.cross_entropy(model(x[mine]), y[mine])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses[i] = loss.detach()
    dist.all_reduce(losses)
    if rank == 0:
        np.save(folder / "losses.npy", losses.numpy() / world)
    # DistributedDataParallel goes first: if it held the group last, the group's end would wait, with Python's lock, for
    # threads that may want it (seen in PyTorch 2.13: a process that never ends).
    del model, loss, optimizer
    dist.destroy_process_group()


def run(world: int, parts: bool, steps: int, seed: int) -> Array:
    """Return the losses of a number of processes."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (world, parts, steps, seed, Path(folder))
        mp.start_processes(train, arguments, nprocs=world, start_method="fork")  # type: ignore[no-untyped-call]
        losses: Array = np.load(Path(folder) / "losses.npy")
        return losses


def main() -> None:
    options = arguments(__doc__, "torch_ranks.png")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.optim.SGD(Reader().parameters())  # imports what the processes below, which are forked, then need not import
    steps, worlds = (5, (2,)) if options.quick else (150, (2, 4))
    alone = run(1, True, steps, options.seed)
    figure, panel = plt.subplots(figsize=(7, 3.4))
    for parts, title in ((False, "each rank its own seed"), (True, "simdrop.torch.shard")):
        for world, line in zip(worlds, ("-", "--"), strict=False):
            apart = np.abs(run(world, parts, steps, options.seed) - alone)
            print(f"{title}: {world} processes, losses differ from those of one by {apart.max():.1e} at most")
            panel.plot(np.maximum(apart, 1e-9), line, color=f"C{int(parts)}", label=f"{world} processes, {title}")
    panel.set(yscale="log", xlabel="step", ylabel="distance from the loss of one process")
    panel.legend(loc="center right")
    save(figure, options.output)


if __name__ == "__main__":
    main()
