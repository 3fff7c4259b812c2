"""Times training steps of real libraries' models with PyTorch's dropout and with simdrop's, in one process.

Random weights and random tokens: nothing is downloaded. Run `python bench/bench_clients.py --help` for the options and
see README.md in this folder.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import simdrop
import torch
from machine import ROOT, usable_cpus
from report import Result, WrongAnswerError, conduct, progress, read_options, result, sides_tables
from timing import SETTLE_SECONDS, Statement, alternate, paired_ratio
from torch_models import Switch, settle_allocator

sys.path.append(str(ROOT / "tests" / "support"))  # the models are those of the tests, larger
from client_models import CLASSES, CLIENTS, LEVELS, SMALL, Client, Size

LARGE = Size(width=256, layers=4, heads=4, side=16)
CHOSEN = ("bert-sdpa", "gpt2-sdpa", "t5-eager", "vit-sdpa", "bert-lora", "timm-vit")


def steps(client: Client, options: argparse.Namespace, switch: Switch) -> Iterator[Result]:
    """Time a training step (forward, backward, AdamW) with stock dropout, with simdrop's, and without any."""
    size, batch = (SMALL, 2) if options.quick else (LARGE, 4)
    torch.manual_seed(0)
    model = client.make(size).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    images = torch.randint(0, LEVELS, (batch, size.side, size.side))
    labels = torch.randint(0, CLASSES, (batch,))

    def step() -> float:
        optimizer.zero_grad()
        loss = client.loss(model, images, labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    switch.simdrop()
    calls = simdrop.torch.kernel_calls()
    step()
    if simdrop.torch.kernel_calls() == calls:
        raise WrongAnswerError(f"{client} called no kernel")
    taken = alternate(
        [
            Statement(side, step, before=before)
            for side, before in (switch.sides() | {"no dropout": switch.identity}).items()
        ],
        seconds_each=options.seconds,
        min_rounds=2 if options.quick else 5,
        max_rounds=30,
        pause=0.0 if options.quick else SETTLE_SECONDS,
    )
    fields: Result = {"what": "step", "model": client.name}
    for side, samples in taken.items():
        yield result(f"step/{client}", samples.spread, contestant=side, **fields)
    gain = paired_ratio(taken["PyTorch"], taken["simdrop"])
    compared = partial(result, contestant="simdrop against PyTorch", reference="PyTorch")
    yield compared(f"step/{client}", gain, unit="ratio", better="higher", **fields)


def measure(options: argparse.Namespace) -> tuple[list[Result], dict[str, Any]]:
    """Run everything; PyTorch's own dropout is back afterwards."""
    torch.set_num_threads(options.threads)
    importlib.import_module("tqdm").tqdm.monitor_interval = 0  # no thread of its own: see Switch.stock
    settle_allocator()
    switch = Switch()
    results: list[Result] = []
    chosen = [client for client in CLIENTS if client.name in CHOSEN and options.wanted(client.name)]
    try:
        for client in progress(chosen, str):
            results += steps(client, options, switch)
    finally:
        switch.stock()
    return results, {"isa": simdrop.active_isa()}


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when a model called no kernel."""
    options = read_options(__doc__, words, seconds=3, threads=usable_cpus())
    return conduct(
        "clients",
        options,
        lambda out: measure(options),
        tables=partial(sides_tables, names=("PyTorch", "simdrop", "no dropout")),
    )


if __name__ == "__main__":
    sys.exit(main())
