"""Pictures of bench_torch.py: the operator against its size, training steps, loss curves."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from machine import title
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from plots import mark_caches, plain_numbers, save, size_axis

COLOURS = {"PyTorch": "tab:orange", "simdrop": "#a50f15", "no dropout": "0.6"}


def plot_torch(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw torch.png and torch-training.png, and return their paths."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), gridspec_kw={"width_ratios": [1.2, 1]})
    figure.suptitle(title(content["machine"]) + f", threads: {content['options']['threads']}", fontsize=9)
    _operators(left, content)
    _steps(right, content["results"])
    first = save(figure, folder / "torch.png")
    figure, axes = plt.subplots(figsize=(6, 4))
    _curves(axes, content["training"])
    return [first, save(figure, folder / "torch-training.png")]


def _operators(axes: Axes, content: dict[str, Any]) -> None:
    lines = {("forward+backward", "float32"): "-", ("forward+backward", "bfloat16"): "--", ("forward", "float32"): ":"}
    sizes: set[int] = set()
    for (what, dtype), style in lines.items():
        points = sorted(
            (r["elements"], r["measure"]["median"], r["measure"]["q1"], r["measure"]["q3"])
            for r in content["results"]
            if (r.get("what"), r.get("dtype")) == (what, dtype) and r["measure"]["unit"] == "ratio"
        )
        x, median, low, high = zip(*points, strict=True)
        axes.plot(x, median, style, color=COLOURS["simdrop"], marker=".", label=f"{what}, {dtype}")
        axes.fill_between(x, low, high, color=COLOURS["simdrop"], alpha=0.12, linewidth=0)
        sizes |= set(x)
    axes.axhline(1, color="0.5", linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(plain_numbers))
    size_axis(axes, sorted(sizes))
    mark_caches(axes, content["machine"]["caches"], 4, min(sizes), max(sizes))
    axes.set_ylabel("times faster than PyTorch")
    axes.set_title("torch.nn.functional.dropout, p = 0.1", fontsize=10)
    axes.legend(fontsize=8)


def _steps(axes: Axes, results: list[dict[str, Any]]) -> None:
    steps = [r for r in results if r.get("what") == "step" and r["measure"]["unit"] == "s"]
    models = list(dict.fromkeys(r["model"] for r in steps))
    seconds = {(r["model"], r["contestant"]): r["measure"]["median"] for r in steps}
    for offset, (name, colour) in enumerate(COLOURS.items()):
        shares = [seconds[model, name] / seconds[model, "PyTorch"] for model in models]
        places = [i + 0.27 * (offset - 1) for i in range(len(models))]
        bars = axes.bar(places, shares, 0.25, color=colour, label=name)
        labels = [f"{1 / share:.2f}x" if name == "simdrop" else "" for share in shares]
        axes.bar_label(bars, labels, fontsize=8)
    axes.set_xticks(range(len(models)), models, fontsize=8)
    axes.set_ylabel("time of a training step, PyTorch = 1")
    axes.set_title("Training steps", fontsize=10)
    axes.legend(fontsize=8, loc="lower center", ncol=3, framealpha=1)


def _curves(axes: Axes, training: dict[str, Any]) -> None:
    for name, curves in training["curves"].items():
        epochs = range(1, training["epochs"] + 1)
        values = list(zip(*curves, strict=True))
        mean = [statistics.mean(v) for v in values]
        spread = [statistics.stdev(v) for v in values]
        axes.plot(epochs, mean, color=COLOURS[name], label=name, linestyle="--" if name == "simdrop" else "-")
        low = [m - s for m, s in zip(mean, spread, strict=True)]
        high = [m + s for m, s in zip(mean, spread, strict=True)]
        axes.fill_between(epochs, low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(plain_numbers))
    axes.yaxis.set_minor_formatter(FuncFormatter(plain_numbers))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss")
    axes.set_title(f"Mean and standard deviation over {training['seeds']} seeds", fontsize=10)
    axes.legend(fontsize=8)
