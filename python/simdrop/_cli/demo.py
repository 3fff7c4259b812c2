"""``simdrop demo``: the main job on real data, with its proof, its timings and a picture."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import simdrop
from simdrop._cli._demo_chart import save_chart
from simdrop._cli._demo_contest import Array, check, contestants, seconds_each
from simdrop._cli._errors import CommandError, system_error
from simdrop._cli._progress import progress
from simdrop._cli.info import cpu_name

_PROBABILITIES = (0.1, 0.5)
_SEED = 2024
_NEEDED = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "rich": "rich", "tqdm": "tqdm"}


@dataclass(frozen=True)
class _Size:
    width: int  # of the dense layer
    rounds: int  # of the timing
    python_limit: int  # elements for the Python loop


_FULL = _Size(width=4096, rounds=11, python_limit=200_000)
_QUICK = _Size(width=256, rounds=3, python_limit=20_000)


@dataclass(frozen=True)
class _Fact:
    """One thing the demo shows, and whether it is as it should be."""

    name: str
    shown: str
    holds: bool


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add this command to the command line."""
    parser = commands.add_parser(
        "demo",
        help="dropout on a real data set, checked, timed against NumPy, with a picture",
        description="Run scikit-learn's digits through a NumPy layer and dropout in place, check the result, time it "
        "against a Python loop and the usual NumPy recipes, print a table and save a bar chart. Takes less than a "
        'minute. Needs the demo extra: python -m pip install "simdrop[demo]".',
    )
    parser.add_argument(
        "--output", metavar="FILE.png", default="simdrop-demo.png", help="the picture (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a small layer and few repeats: works, measures little")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    _require_extra()
    picture = Path(args.output).resolve()
    if not picture.parent.is_dir():
        raise CommandError(f"{args.output}: there is no folder {picture.parent}")
    size = _QUICK if args.quick else _FULL
    console: Any = importlib.import_module("rich.console").Console()
    images, labels = load_digits()
    activations = dense_layer(images, size.width)
    console.print(
        f"[bold]Data[/]  scikit-learn's digits: {len(images)} images of {images.shape[1]} pixels, standardised, "
        f"through a dense layer with relu: activations of shape {activations.shape}, float32, "
        f"{activations.nbytes / 1e6:.1f} MB.",
        highlight=False,
    )
    facts = prove(activations, labels)
    console.print(_fact_table(facts))
    wrong = [fact.name for fact in facts if not fact.holds]
    if wrong:
        raise CommandError(f"the demo found something wrong: {', '.join(wrong)}", 1)
    seconds = _race(activations.reshape(-1), size)
    console.print(_time_table(seconds, activations.size, size))
    rates = {p: {name: 1e-9 / each for name, each in times.items()} for p, times in seconds.items()}
    machine = (
        f"{cpu_name()}, {simdrop.active_isa()}; simdrop {simdrop.__version__}, NumPy {np.__version__}. "
        "Hatched: scaling in place, the limit for one thread"
    )
    try:
        save_chart(picture, rates, f"Dropout on {activations.size / 1e6:.1f} million float32 values", machine)
    except OSError as error:
        raise system_error(str(picture), error) from None
    console.print(f"[bold]Picture[/]  {picture}", highlight=False, soft_wrap=True)
    console.print(f"[bold]Meaning[/]  {_meaning(rates)}", highlight=False)
    return 0


def _require_extra() -> None:
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise CommandError(
            f"the demo needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; "
            'the demo extra has everything: python -m pip install "simdrop[demo]" '
            '(in a clone of the repository: python -m pip install ".[demo]")'
        )


def load_digits() -> tuple[Array, Array]:
    """Return scikit-learn's digits as standardised float32 pixels, one row an image, and their labels."""
    pixels, labels = importlib.import_module("sklearn.datasets").load_digits(return_X_y=True)
    spread = pixels.std(axis=0)
    standardised = (pixels - pixels.mean(axis=0)) / np.where(spread > 0, spread, 1)  # some pixels are always white
    return standardised.astype(np.float32), labels


def dense_layer(images: Array, width: int) -> Array:
    """Return the relu activations of a dense layer with He's random weights."""
    weights = np.random.default_rng(_SEED).standard_normal((images.shape[1], width), dtype=np.float32)
    weights *= np.float32(np.sqrt(2 / images.shape[1]))
    hidden: Array = images @ weights
    return np.maximum(hidden, 0, out=hidden)


def output_gradient(hidden: Array, labels: Array) -> Array:
    """Return the gradient of the cross entropy of a read-out layer with respect to ``hidden``."""
    weights = np.random.default_rng(_SEED + 1).standard_normal((hidden.shape[1], 10), dtype=np.float32)
    weights *= np.float32(np.sqrt(1 / hidden.shape[1]))
    logits = hidden @ weights
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = odds / odds.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    gradient: Array = error @ weights.T
    return gradient


def prove(activations: Array, labels: Array, p: float = _PROBABILITIES[0]) -> list[_Fact]:
    """Do dropout in place on a copy of the activations, and the way back, and check everything."""
    hidden = activations.copy()
    address = hidden.ctypes.data
    returned, drawn = simdrop.dropout_(hidden, p, rng=simdrop.Stream(_SEED), return_drawn=True)
    moved = returned is not hidden or hidden.ctypes.data != address
    facts = [_Fact("buffer", f"at {address:#x} before, at {hidden.ctypes.data:#x} after", not moved)]

    mask = drawn.mask
    keep = mask.keep()
    n, q = mask.size, mask.keep_probability
    dropped, allowed = 1 - mask.count_kept() / n, 4 * np.sqrt(q * (1 - q) / n)
    shown = f"{dropped:.4%}, expected {1 - q:.4%} +- {allowed:.4%}"
    facts.append(_Fact("dropped", shown, abs(dropped - (1 - q)) < allowed))

    before, after = float(activations.mean(dtype=float)), float(hidden.mean(dtype=float))
    # Each kept value is x / q: the mean keeps its expectation and gets the variance sum(x^2) (1 - q) / q / n^2.
    spread = 4 * np.sqrt(float(np.square(activations, dtype=float).sum()) * (1 - q) / q) / n
    shown = f"{before:.5f} before, {after:.5f} after, expected the same +- {spread:.5f}"
    facts.append(_Fact("mean", shown, abs(after - before) < spread))

    exact = np.array_equal(hidden, np.where(keep, activations * np.float32(mask.scale), np.float32(0)))
    facts.append(_Fact("values", f"every kept one is x * {mask.scale:.6g}, every dropped one is 0", exact))

    same = np.array_equal(simdrop.dropout(activations, p, training=False), activations)
    facts.append(_Fact("inference", "dropout(x, training=False) returns the same values", same))

    gradient = output_gradient(hidden, labels)
    backward = drawn.backward(gradient)
    right = np.array_equal(backward, np.where(keep, gradient * np.float32(mask.scale), np.float32(0)))
    shown = f"mask.apply(gradient): {np.count_nonzero(backward == 0) / n:.4%} of the gradient is 0"
    facts.append(_Fact("backward", shown, right))

    again = simdrop.Mask(mask.shape, mask.p, seed=mask.seed, stream=mask.stream, offset=mask.offset)
    shown = f"{again!r}: the same {n:,} decisions, nothing stored"
    facts.append(_Fact("again", shown, np.array_equal(again.keep(), keep)))
    return facts


def _fact_table(facts: list[_Fact]) -> Any:
    table = _table(f"Dropout in place, p = {_PROBABILITIES[0]:g}")
    table.show_header = False
    for fact in facts:
        table.add_row(fact.name, fact.shown, "[green]ok[/]" if fact.holds else "[bold red]WRONG[/]")
    return table


def _table(title: str, caption: str | None = None) -> Any:
    box = importlib.import_module("rich.box").SIMPLE_HEAD
    return importlib.import_module("rich.table").Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        box=box,
        pad_edge=False,
    )


def _race(data: Array, size: _Size) -> dict[float, dict[str, float]]:
    """Return, for each p, the seconds per element of each contestant."""
    entrants = contestants(size.python_limit)
    seconds: dict[float, dict[str, float]] = {}
    with progress(len(_PROBABILITIES) * (size.rounds + 1) * len(entrants), "timing", unit="run") as step:
        for p in _PROBABILITIES:
            for entrant in entrants:
                check(entrant, data, p)
                step(1)
            seconds[p] = seconds_each(entrants, data, p, size.rounds, step)
    return seconds


def _time_table(seconds: dict[float, dict[str, float]], elements: int, size: _Size) -> Any:
    table = _table(
        "Time for the whole array, billion elements a second (G/s), speed over naive",
        f"Medians of {size.rounds} alternated runs, each from a fresh copy of the data. The Python loop did "
        f"{size.python_limit:,} of the {elements:,} elements; its time is scaled to all of them. "
        "Random bytes round p to 1/256. Scaling in place is the limit: one thread can do no dropout faster. "
        "Every answer was checked before it was timed.",
    )
    table.add_column("")
    for p in seconds:
        for heading in (f"p = {p:g}\nms", "\nG/s", "\nx naive"):
            table.add_column(heading, justify="right", no_wrap=True)
    for name in next(iter(seconds.values())):
        cells = [name]
        for times in seconds.values():
            speed_up = times["NumPy, naive"] / times[name]
            cells += [f"{times[name] * elements * 1e3:.3g}", f"{1e-9 / times[name]:.3g}", f"{speed_up:.3g}"]
        table.add_row(*cells, style="bold" if name.startswith("simdrop") else None)
    return table


def _meaning(rates: dict[float, dict[str, float]]) -> str:
    p = _PROBABILITIES[0]
    rate = rates[p]
    ours = rate["simdrop, 1 thread"]
    best = max(value for name, value in rate.items() if name.startswith("NumPy"))
    limit = rate["scaling, 1 thread"]
    return (
        f"At p = {p:g} one thread of simdrop did dropout {ours / rate['NumPy, naive']:.0f} times as fast as the naive "
        f"NumPy recipe and {ours / best:.1f} times as fast as the best one here, at {ours / limit:.0%} of the speed of "
        "merely scaling the array. The mask is a handful of numbers, so the backward pass, a restart or another "
        "machine gets the same one without storing a bit."
    )
