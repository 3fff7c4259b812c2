"""Times PyTorch on the CPU with its own dropout and with simdrop's, side by side in one process.

Operators, training steps, the memory kept for backward, and whether training comes to the same result. Run
`python bench/bench_torch.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import importlib
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simdrop
import torch
import torch.nn.functional as F
from machine import ROOT, describe, load_warning, title, usable_cpus
from plots_torch import plot_torch
from report import console, count_name, parse_count, payload, progress, write_json
from report_torch import torch_tables
from timing import SETTLE_SECONDS, Samples, Statement, alternate, paired_ratio
from torch_models import P, Step, Switch, encoder, gpt, loss_curve, mlp, saved_bytes

SIZES = ("1Ki", "2Ki", "4Ki", "16Ki", "64Ki", "256Ki", "1Mi", "4Mi", "16Mi")
QUICK_SIZES = ("1Ki", "64Ki")
SEEDS = 10
# Longer than elsewhere: the first calls after the other side's find the caches and the threads as that one left them.
SAMPLE_SECONDS = 0.02
# Two samples of ten agree when no epoch's difference of means is larger than this many standard errors. With twenty
# epochs, one comparison in a few hundred exceeds it by chance.
AGREE = 4.0


class WrongAnswerError(Exception):
    """One side does not compute dropout."""


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything works")
    parser.add_argument("--sizes", nargs="+", metavar="N", help="numbers of elements, such as 1000, 64Ki, 16Mi")
    parser.add_argument("--threads", type=int, default=usable_cpus(), help="threads, for both sides")
    parser.add_argument("--seconds", type=float, help="time for each side of each case (1, or 0.02 when quick)")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "bench" / "results", help="folder for the results")
    options = parser.parse_args(words)
    try:
        options.sizes = [parse_count(text) for text in options.sizes or (QUICK_SIZES if options.quick else SIZES)]
    except ValueError as error:
        parser.error(f"--sizes: {error}")
    if not 1 <= options.threads <= usable_cpus():
        parser.error(f"--threads: {options.threads} is not within 1 .. {usable_cpus()}, the CPUs of this process")
    if options.seconds is None:
        options.seconds = 0.02 if options.quick else 1.0
    return options


def settle_allocator() -> None:
    """Bring glibc's malloc to where any training process has it.

    What it gives back to the system, to be had again page by page, depends on the largest block that was ever freed
    (mallopt(3), M_MMAP_THRESHOLD, at most 32 MiB). A process that has only seen the 4 MiB of a small case pays more for
    pages than for dropout, on either side.
    """
    for _ in range(2):
        torch.zeros(31 << 18)  # 31 MiB


def check(name: str, x: torch.Tensor, g: torch.Tensor) -> None:
    """Raise unless dropout and its gradient are what they must be."""
    y = F.dropout(x, P)
    dropped = y == 0
    (gradient,) = torch.autograd.grad(y, x, g)
    deviation = math.sqrt(x.numel() * P * (1 - P))
    tolerance = 1e-5 if x.dtype == torch.float32 else 1e-2
    scaled = torch.where(dropped, 0.0, x.detach().double() / (1 - P))
    if abs(int(dropped.sum()) - P * x.numel()) > 6 * deviation:
        raise WrongAnswerError(f"{name} dropped {int(dropped.sum())} of {x.numel()} at p = {P}")
    if not torch.allclose(y.detach().double(), scaled, rtol=tolerance):
        raise WrongAnswerError(f"{name}: a kept element is not the scaled input")
    if not torch.equal(gradient == 0, dropped):
        raise WrongAnswerError(f"{name}: the gradient has another mask")


def timed(case: str, contestant: str, samples: Samples, **more: Any) -> dict[str, Any]:
    """Return the time of one side."""
    measure = {"unit": "s", "better": "lower", **samples.spread.as_json()}
    return {"case": case, "contestant": contestant, "measure": measure, "target": None, "reached": None, **more}


def judged(case: str, value: Any, target: float | None, unit: str, better: str, **more: Any) -> dict[str, Any]:
    """Return a comparison of both sides with its target."""
    spread = value.as_json() if hasattr(value, "as_json") else {"median": value, "q1": value, "q3": value, "samples": 1}
    good = value.median if hasattr(value, "median") else value
    reached = None if target is None else good >= target if better == "higher" else good <= target
    measure = {"unit": unit, "better": better, **spread}
    return {
        "case": case,
        "contestant": "simdrop against PyTorch",
        "measure": measure,
        "target": target,
        "reached": reached,
        **more,
    }


def operators(dtype: str, size: int, options: argparse.Namespace, switch: Switch) -> Iterator[dict[str, Any]]:
    """Time F.dropout alone, and with its backward pass."""
    x = torch.from_numpy(np.random.default_rng(0).uniform(0.5, 1.5, size)).to(getattr(torch, dtype))
    g = torch.ones_like(x)
    leaf = x.clone().requires_grad_()
    for name, side in (("PyTorch", switch.stock), ("simdrop", switch.simdrop)):
        side()
        check(name, leaf, g)
    scope = {"F": F, "grad": torch.autograd.grad, "x": x, "leaf": leaf, "g": g, "p": P}
    for what, code in (("forward", "F.dropout(x, p)"), ("forward+backward", "grad(F.dropout(leaf, p), leaf, g)")):
        case = f"{what}/{dtype}/{count_name(size)}"
        sides = [
            Statement("PyTorch", code, scope, switch.stock),
            Statement("simdrop", code, scope, switch.simdrop),
        ]
        taken = alternate(
            sides,
            seconds_each=options.seconds,
            min_rounds=3 if options.quick else 7,
            sample_seconds=SAMPLE_SECONDS / 10 if options.quick else SAMPLE_SECONDS,
        )
        fields = {"what": what, "dtype": dtype, "elements": size}
        for name, samples in taken.items():
            yield timed(case, name, samples, **fields)
        target = 25.0 if (what, dtype, size) == ("forward+backward", "float32", 1 << 20) else None
        target = 1.0 if size == 2048 else target
        yield judged(case, paired_ratio(taken["PyTorch"], taken["simdrop"]), target, "ratio", "higher", **fields)


def steps(name: str, step: Step, options: argparse.Namespace, switch: Switch) -> Iterator[dict[str, Any]]:
    """Time a training step with stock dropout, with simdrop's, and without any."""
    sides = [
        Statement("PyTorch", step, before=switch.stock),
        Statement("simdrop", step, before=switch.simdrop),
        Statement("no dropout", step, before=switch.identity),
    ]
    # a step is much longer than a sample, so each round is one step of each side
    taken = alternate(
        sides,
        seconds_each=options.seconds * 5,
        min_rounds=2 if options.quick else 9,
        max_rounds=50,
        pause=0.0 if options.quick else SETTLE_SECONDS,
    )
    case, fields = f"step/{name}", {"what": "step", "model": name}
    for side, samples in taken.items():
        yield timed(case, side, samples, **fields)
    aimed = name in ("encoder 256", "encoder 512")
    gain = paired_ratio(taken["PyTorch"], taken["simdrop"])
    yield judged(case, gain, 1.5 if aimed else None, "ratio", "higher", **fields)
    # medians of medians: the difference of two steps is too small for ratios within a round
    left = 100 * (1 - taken["no dropout"].spread.median / taken["simdrop"].spread.median)
    yield judged(f"{case}/cost left", left, 5.0 if aimed else None, "percent", "lower", **fields)
    stock = 100 * (1 - taken["no dropout"].spread.median / taken["PyTorch"].spread.median)
    yield judged(f"{case}/cost in PyTorch", stock, None, "percent", "lower", **fields)


def memory(options: argparse.Namespace, switch: Switch) -> Iterator[dict[str, Any]]:
    """Count the bytes that one dropout keeps for its backward pass."""
    for name, side in (("PyTorch", switch.stock), ("simdrop", switch.simdrop)):
        side()
        for size in options.sizes:
            kept = saved_bytes(lambda x: F.dropout(x, P), torch.ones(size, requires_grad=True))
            case = f"saved/{count_name(size)}"
            target = 64.0 if name == "simdrop" else None
            yield {**judged(case, float(kept), target, "bytes", "lower", elements=size), "contestant": name}


def training(options: argparse.Namespace, switch: Switch) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Train from ten seeds on each side and compare the loss curves."""
    epochs, seeds = (2, 3) if options.quick else (20, SEEDS)
    digits = importlib.import_module("sklearn.datasets").load_digits(return_X_y=True)
    images, labels = (torch.from_numpy(array) for array in digits)
    images = images.float() / 16
    curves = {}
    for name, side in (("PyTorch", switch.stock), ("simdrop", switch.simdrop)):
        side()
        curves[name] = [loss_curve(images, labels, seed, epochs) for seed in range(seeds)]
    largest, means, spreads = 0.0, {}, {}
    for epoch in range(epochs):
        values = {name: [curve[epoch] for curve in runs] for name, runs in curves.items()}
        means = {name: statistics.mean(v) for name, v in values.items()}
        spreads = {name: statistics.stdev(v) for name, v in values.items()}
        error = math.hypot(*spreads.values()) / math.sqrt(seeds)
        largest = max(largest, abs(means["PyTorch"] - means["simdrop"]) / error)
    result = judged("training/difference of means", largest, AGREE, "standard errors", "lower")
    ratio = judged("training/ratio of spreads, last epoch", spreads["simdrop"] / spreads["PyTorch"], None, "", "lower")
    return [result, ratio], {"epochs": epochs, "seeds": seeds, "curves": curves}


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when a side gave a wrong answer."""
    options = arguments(words)
    torch.set_num_threads(options.threads)
    importlib.import_module("tqdm").tqdm.monitor_interval = 0  # no thread of its own: see Switch.stock
    torch.manual_seed(0)
    settle_allocator()
    out, machine, switch = console(), describe(options.threads), Switch()
    out.print(f"{title(machine)}, torch {torch.__version__}, threads: {options.threads}")
    if warning := load_warning(machine):
        out.print(f"[yellow]{warning}[/yellow]")
    models: list[tuple[str, Callable[[], Step]]] = [
        *((f"encoder {n}", lambda n=n: encoder(n)) for n in ((16,) if options.quick else (128, 256, 512))),
        ("GPT 256", lambda: gpt(16 if options.quick else 256)),
        ("MLP", lambda: mlp(16 if options.quick else 256)),
    ]
    results: list[dict[str, Any]] = []
    try:
        cases = [(dtype, size) for dtype in ("float32", "bfloat16") for size in sorted(options.sizes)]
        for dtype, size in progress(cases, lambda case: f"{case[0]} {count_name(case[1])}"):
            results += operators(dtype, size, options, switch)
        for name, make in progress(models, lambda model: model[0]):
            results += steps(name, make(), options, switch)
        results += memory(options, switch)
        judgements, curves = training(options, switch)
        results += judgements
    except WrongAnswerError as error:
        print(f"wrong answer, nothing is written: {error}", file=sys.stderr)
        return 1
    finally:
        switch.stock()
    shown = {name: getattr(options, name) for name in ("quick", "sizes", "threads", "seconds")}
    content = payload("torch", machine, {**shown, "p": P}, results, training=curves, isa=simdrop.active_isa())
    for table in torch_tables(content):
        out.print(table)
    path = options.output_dir / "torch.json"
    write_json(path, content)
    for written in (path, *plot_torch(content, options.output_dir)):
        out.print(f"wrote {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
