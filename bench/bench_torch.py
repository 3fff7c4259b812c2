"""Times PyTorch on the CPU with its own dropout and with simdrop's, side by side in one process.

Operators, attention, training steps, the memory kept for backward, and whether training comes to the same result. Run
`python bench/bench_torch.py --help` for the options and see README.md in this folder. With `--keep` it can be run in
pieces: what the result file has of cases that are not wanted this time stays in it.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import simdrop
import torch
import torch.nn.functional as F
import torch_attention
import torch_compiled
from machine import count_name, usable_cpus
from plot_frameworks import plot_torch
from report import Result, WrongAnswerError, conduct, progress, read_options, result, sides_tables
from timing import SETTLE_SECONDS, Statement, alternate, paired_ratio, spread
from torch_models import P, Step, Switch, encoder, gpt, loss_curve, mlp, saved_bytes, settle_allocator

SIZES = ("64", "256", "1Ki", "4Ki", "16Ki", "64Ki", "256Ki", "1Mi", "4Mi", "16Mi")
SEEDS = 10
# Longer than elsewhere: the first calls after the other side's find the caches and the threads as that one left them.
SAMPLE_SECONDS = 0.02
# Two samples of ten agree when no epoch's difference of means is larger than this many standard errors. With twenty
# epochs, one comparison in a few hundred exceeds it by chance.
AGREE = 4.0

judged = partial(result, contestant="simdrop against PyTorch", reference="PyTorch")


def check(name: str, x: torch.Tensor, g: torch.Tensor) -> None:
    """Raise unless dropout and its gradient are what they must be."""
    y = F.dropout(x, P)
    dropped = y == 0
    (gradient,) = torch.autograd.grad(y, x, g)
    scaled = torch.where(dropped, 0.0, x.detach().double() / (1 - P))
    if abs(int(dropped.sum()) - P * x.numel()) > 6 * math.sqrt(x.numel() * P * (1 - P)):
        raise WrongAnswerError(f"{name} dropped {int(dropped.sum())} of {x.numel()} at p = {P}")
    if not torch.allclose(y.detach().double(), scaled, rtol=1e-5 if x.dtype == torch.float32 else 1e-2):
        raise WrongAnswerError(f"{name}: a kept element is not the scaled input")
    if not torch.equal(gradient == 0, dropped):
        raise WrongAnswerError(f"{name}: the gradient has another mask")


def operators(dtype: str, size: int, options: argparse.Namespace, switch: Switch) -> Iterator[Result]:
    """Time F.dropout alone, and with its backward pass; and how long it takes to do nothing."""
    x = torch.from_numpy(np.random.default_rng(0).uniform(0.5, 1.5, size)).to(getattr(torch, dtype))
    g, leaf = torch.ones_like(x), x.clone().requires_grad_()
    for name, side in switch.sides().items():
        side()
        check(name, leaf, g)
    scope = {"F": F, "grad": torch.autograd.grad, "x": x, "leaf": leaf, "g": g, "p": P}
    codes = {"forward": "F.dropout(x, p)", "forward+backward": "grad(F.dropout(leaf, p), leaf, g)"}
    if (dtype, size) == ("float32", min(options.sizes)):
        codes["evaluation"] = "F.dropout(x, p, False)"
    for what, code in codes.items():
        taken = alternate(
            [Statement(name, code, scope, side) for name, side in switch.sides().items()],
            seconds_each=options.seconds,
            min_rounds=3 if options.quick else 7,
            sample_seconds=SAMPLE_SECONDS / 10 if options.quick else SAMPLE_SECONDS,
        )
        case = f"{what}/{dtype}/{count_name(size)}"
        fields: Result = {"what": what, "dtype": dtype, "elements": size}
        for name, samples in taken.items():
            yield result(case, samples.spread, contestant=name, **fields)
        target = 25.0 if (what, dtype, size) == ("forward+backward", "float32", 1 << 20) else None
        target = 1.0 if what == "evaluation" or (what == "forward+backward" and size < 4096) else target
        gain = paired_ratio(taken["PyTorch"], taken["simdrop"])
        yield judged(case, gain, unit="ratio", better="higher", target=target, **fields)


def steps(name: str, make: Callable[[], Step], options: argparse.Namespace, switch: Switch) -> Iterator[Result]:
    """Time a training step with stock dropout, with simdrop's, and without any."""
    step, sides = make(), switch.sides() | {"no dropout": switch.identity}
    # a step is much longer than a sample, so each round is one step of each side
    taken = alternate(
        [Statement(side, step, before=before) for side, before in sides.items()],
        seconds_each=options.seconds * 5,
        min_rounds=2 if options.quick else 9,
        max_rounds=50,
        pause=0.0 if options.quick else SETTLE_SECONDS,
    )
    case = f"step/{name}"
    fields: Result = {"what": "step", "model": name}
    for side, samples in taken.items():
        yield result(case, samples.spread, contestant=side, **fields)
    aimed = name in ("encoder 256", "encoder 512")
    gain = paired_ratio(taken["PyTorch"], taken["simdrop"])
    yield judged(case, gain, unit="ratio", better="higher", target=1.5 if aimed else None, **fields)
    # medians of medians: the difference of two steps is too small for ratios within a round
    for side, what, target in (("simdrop", "cost left", 5.0 if aimed else None), ("PyTorch", "cost in PyTorch", None)):
        cost = 100 * (1 - taken["no dropout"].spread.median / taken[side].spread.median)
        yield judged(f"{case}/{what}", spread([cost]), unit="percent", target=target, **fields)


def memory(options: argparse.Namespace, switch: Switch) -> Iterator[Result]:
    """Count the bytes that one dropout keeps for its backward pass."""
    for name, side in switch.sides().items():
        side()
        for size in options.sizes:
            kept = spread([float(saved_bytes(lambda x: F.dropout(x, P), torch.ones(size, requires_grad=True)))])
            target = 64.0 if name == "simdrop" else None
            case = f"saved/{count_name(size)}"
            yield result(case, kept, contestant=name, unit="bytes", target=target, elements=size)


def training(options: argparse.Namespace, switch: Switch) -> tuple[list[Result], dict[str, Any]]:
    """Train from ten seeds on each side and compare the loss curves."""
    epochs, seeds = (2, 3) if options.quick else (20, SEEDS)
    digits = importlib.import_module("sklearn.datasets").load_digits(return_X_y=True)
    images, labels = (torch.from_numpy(array) for array in digits)
    curves = {}
    for name, side in switch.sides().items():
        side()
        curves[name] = [loss_curve(images.float() / 16, labels, seed, epochs) for seed in range(seeds)]
    # seeds, epochs: mean and standard deviation of each epoch
    means = {name: np.mean(runs, axis=0) for name, runs in curves.items()}
    spreads = {name: np.std(runs, axis=0, ddof=1) for name, runs in curves.items()}
    errors = np.hypot(spreads["PyTorch"], spreads["simdrop"]) / math.sqrt(seeds)
    largest = float(np.max(np.abs(means["PyTorch"] - means["simdrop"]) / errors))
    ratio = float(spreads["simdrop"][-1] / spreads["PyTorch"][-1])
    return [
        judged("training/difference of means", spread([largest]), unit="standard errors", target=AGREE),
        judged("training/ratio of spreads, last epoch", spread([ratio]), unit=""),
    ], {"epochs": epochs, "seeds": seeds, "curves": curves}


def measure(options: argparse.Namespace) -> tuple[list[Result], dict[str, Any]]:
    """Run everything; PyTorch's own dropout is back afterwards."""
    torch.set_num_threads(options.threads)
    importlib.import_module("tqdm").tqdm.monitor_interval = 0  # no thread of its own: see Switch.stock
    torch.manual_seed(0)
    settle_allocator()
    switch = Switch()
    models: dict[str, Callable[[], Step]] = {
        **{f"encoder {n}": partial(encoder, n) for n in ((16,) if options.quick else (128, 256, 512))},
        "GPT 256": partial(gpt, 16 if options.quick else 256),
        "MLP": partial(mlp, 16 if options.quick else 256),
    }
    work: dict[str, Callable[[], Iterable[Result]]] = {}
    for dtype in ("float32", "bfloat16"):
        for size in sorted(options.sizes):
            work[f"operator/{dtype}/{count_name(size)}"] = partial(operators, dtype, size, options, switch)
    for name, make in models.items():
        work[f"step/{name}"] = partial(steps, name, make, options, switch)
    work["saved"] = partial(memory, options, switch)
    work |= torch_attention.cases(options, switch)
    curves: dict[str, Any] = {}

    def train() -> Iterable[Result]:
        judgements, kept = training(options, switch)
        curves.update(training=kept)
        return judgements

    work["training"] = train
    work |= torch_compiled.cases(options, switch)  # last, because Inductor leaves threads alive: see Switch.stock
    results: list[Result] = []
    try:
        for name in progress(filter(options.wanted, work), str):
            results += work[name]()
    finally:
        switch.stock()
    return results, {"training": {}, **curves, "isa": simdrop.active_isa()}


def draw(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the pictures, unless `--only` has left out what they show."""
    kinds = {r["case"].partition("/")[0] for r in content["results"]}
    whole = content["training"] and kinds >= {"forward", "forward+backward", "step"}
    return plot_torch(content, folder) if whole else []


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when a side gave a wrong answer."""
    quick = ("1Ki", "64Ki")
    options = read_options(__doc__, words, sizes=SIZES, quick_sizes=quick, seconds=1, threads=usable_cpus())
    return conduct(
        "torch",
        options,
        lambda out: measure(options),
        tables=partial(sides_tables, names=("PyTorch", "simdrop", "no dropout")),
        draw=draw,
    )


if __name__ == "__main__":
    sys.exit(main())
