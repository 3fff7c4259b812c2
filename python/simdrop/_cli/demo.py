"""Run scikit-learn's digits through a NumPy layer and dropout in place, check the result, time it.

It is timed against a Python loop and the usual NumPy recipes; a table is printed and a bar chart saved. Takes less
than a minute. Needs the demo extra: python -m pip install "simdrop[demo]".
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

import simdrop
from simdrop._cli._demo_chart import save_chart
from simdrop._cli._demo_contest import Array, contestants, race
from simdrop._cli._errors import SYSTEM_FAILED, CommandError, system_error
from simdrop._cli.info import cpu_name

HELP = "dropout on a real data set, checked, timed against NumPy, with a picture"
_PROBABILITIES = (0.1, 0.5)
_SEED = 2024
_NEEDED = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "rich": "rich", "tqdm": "tqdm"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this command takes."""
    parser.add_argument(
        "--output", metavar="FILE.png", default="simdrop-demo.png", help="the picture (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a small layer and few repeats: works, measures little")


def run(args: argparse.Namespace) -> None:
    """Run the demo."""
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise CommandError(
            f"the demo needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; "
            'the demo extra has everything: python -m pip install "simdrop[demo]" '
            '(in a clone of the repository: python -m pip install ".[demo]")'
        )
    picture = Path(args.output).resolve()
    if not picture.parent.is_dir():
        raise CommandError(f"{args.output}: there is no folder {picture.parent}")
    width, rounds, python_limit = (256, 3, 20_000) if args.quick else (4096, 11, 200_000)
    console: Any = importlib.import_module("rich.console").Console(highlight=False)
    images, labels = load_digits()
    activations = dense_layer(images, width)
    console.print(
        f"[bold]Data[/]  scikit-learn's digits: {len(images)} images of {images.shape[1]} pixels, standardised, "
        f"through a dense layer with relu: activations of shape {activations.shape}, float32, "
        f"{activations.nbytes / 1e6:.1f} MB."
    )
    facts = prove(activations, labels)
    table = _table(f"Dropout in place, p = {_PROBABILITIES[0]:g}", show_header=False)
    for name, (holds, shown) in facts.items():
        table.add_row(name, shown, "[green]ok[/]" if holds else "[bold red]WRONG[/]")
    console.print(table)
    if wrong := [name for name, (holds, _) in facts.items() if not holds]:
        raise CommandError(f"the demo found something wrong: {', '.join(wrong)}", SYSTEM_FAILED)
    seconds = race(contestants(python_limit), activations.reshape(-1), _PROBABILITIES, rounds)
    caption = (
        f"Medians of {rounds} alternated runs, each from a fresh copy of the data. The Python loop did "
        f"{python_limit:,} of the {activations.size:,} elements; its time is scaled to all of them. "
        "Random bytes round p to 1/256. Scaling in place is the limit: one thread can do no dropout faster. "
        "Every answer was checked before it was timed."
    )
    console.print(_time_table(seconds, activations.size, caption))
    rates = {p: {name: 1e-9 / each for name, each in times.items()} for p, times in seconds.items()}
    machine = (
        f"{cpu_name()}, {simdrop.active_isa()}; simdrop {simdrop.__version__}, NumPy {np.__version__}. "
        "Hatched: scaling in place, the limit for one thread"
    )
    try:
        save_chart(picture, rates, f"Dropout on {activations.size / 1e6:.1f} million float32 values", machine)
    except OSError as error:
        raise system_error(str(picture), error) from None
    console.print(f"[bold]Picture[/]  {picture}", soft_wrap=True)
    console.print(f"[bold]Meaning[/]  {_meaning(rates[_PROBABILITIES[0]])}")


def load_digits() -> tuple[Array, Array]:
    """Return scikit-learn's digits as standardised float32 pixels, one row an image, and their labels."""
    pixels, labels = importlib.import_module("sklearn.datasets").load_digits(return_X_y=True)
    return importlib.import_module("sklearn.preprocessing").scale(pixels).astype(np.float32), labels


def _weights(rows: int, columns: int, gain: float, seed: int) -> Array:
    """Return random weights that keep the size of what they multiply."""
    drawn = np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(drawn * np.float32(np.sqrt(gain / rows)))


def dense_layer(images: Array, width: int) -> Array:
    """Return the relu activations of a dense layer with He's random weights."""
    return np.asarray(np.maximum(images @ _weights(images.shape[1], width, 2, _SEED), 0))


def output_gradient(hidden: Array, labels: Array) -> Array:
    """Return the gradient of the cross entropy of a read-out layer with respect to ``hidden``."""
    weights = _weights(hidden.shape[1], 10, 1, _SEED + 1)
    error: Array = importlib.import_module("scipy.special").softmax(hidden @ weights, axis=1)
    error[np.arange(len(labels)), labels] -= 1
    return np.asarray(error @ weights.T)


def prove(activations: Array, labels: Array, p: float = _PROBABILITIES[0]) -> dict[str, tuple[bool, str]]:
    """Do dropout in place on a copy of the activations, and the way back, and check everything.

    Returns
    -------
    dict
        What was looked at: whether it is as it should be, and what there is to see.
    """
    hidden = activations.copy()
    address = hidden.ctypes.data
    returned, drawn = simdrop.dropout_(hidden, p, rng=simdrop.Stream(_SEED), return_drawn=True)
    stayed = returned is hidden and hidden.ctypes.data == address
    mask = drawn.mask
    keep, n, q = mask.keep(), mask.size, mask.keep_probability

    def masked(values: Array) -> Array:
        return np.asarray(np.where(keep, values * np.float32(mask.scale), np.float32(0)))

    dropped, allowed = 1 - mask.count_kept() / n, 4 * np.sqrt(q * (1 - q) / n)
    before, after = float(activations.mean(dtype=float)), float(hidden.mean(dtype=float))
    # Each kept value is x / q: the mean keeps its expectation and gets the variance sum(x^2) (1 - q) / q / n^2.
    spread = 4 * np.sqrt(float(np.square(activations, dtype=float).sum()) * (1 - q) / q) / n
    near, exact = abs(after - before) < spread, np.array_equal(hidden, masked(activations))
    alike = np.array_equal(simdrop.dropout(activations, p, training=False), activations)
    gradient = output_gradient(hidden, labels)
    backward = drawn.backward(gradient)
    right, zeros = np.array_equal(backward, masked(gradient)), np.count_nonzero(backward == 0) / n
    again = simdrop.Mask(mask.shape, mask.p, seed=mask.seed, stream=mask.stream, offset=mask.offset)
    return {
        "buffer": (stayed, f"at {address:#x} before, at {hidden.ctypes.data:#x} after"),
        "dropped": (abs(dropped - (1 - q)) < allowed, f"{dropped:.4%}, expected {1 - q:.4%} +- {allowed:.4%}"),
        "mean": (near, f"{before:.5f} before, {after:.5f} after, expected the same +- {spread:.5f}"),
        "values": (exact, f"every kept one is x * {mask.scale:.6g}, every dropped one is 0"),
        "inference": (alike, "dropout(x, training=False) returns the same values"),
        "backward": (right, f"drawn.backward(gradient): {zeros:.4%} of the gradient is 0"),
        "again": (np.array_equal(again.keep(), keep), f"{again!r}: the same {n:,} decisions, nothing stored"),
    }


def _table(title: str, **options: Any) -> Any:
    box = importlib.import_module("rich.box").SIMPLE_HEAD
    looks = {"title_justify": "left", "caption_justify": "left", "title_style": "bold", "pad_edge": False}
    return importlib.import_module("rich.table").Table(title=title, box=box, **looks, **options)


def _time_table(seconds: dict[float, dict[str, float]], elements: int, caption: str) -> Any:
    table = _table("Time for the whole array, billion elements a second (G/s), speed over naive", caption=caption)
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


def _meaning(rate: dict[str, float]) -> str:
    ours = rate["simdrop, 1 thread"]
    best = max(value for name, value in rate.items() if name.startswith("NumPy"))
    return (
        f"At p = {_PROBABILITIES[0]:g} one thread of simdrop did dropout {ours / rate['NumPy, naive']:.0f} times as "
        f"fast as the naive NumPy recipe and {ours / best:.1f} times as fast as the best one here, at "
        f"{ours / rate['scaling, 1 thread']:.0%} of the speed of merely scaling the array. The mask is a handful of "
        "numbers, so the backward pass, a restart or another machine gets the same one without storing a bit."
    )
