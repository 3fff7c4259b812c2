"""The pictures of bench_torch.py and bench_jax.py: dropout against its size, training steps, loss curves."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator
from plots import BLUE, GREEN, GREY, ORANGE, PLAIN, RED, draw, finish, gain_panel, legend_below, steps_panel

TORCH = {"PyTorch": RED, "simdrop": BLUE, "no dropout": GREY}


def plot_torch(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the operator against its size and the training steps; and the loss curves."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=[1.15, 1])
    ratios = [r for r in content["results"] if r.get("dtype") and r["measure"]["unit"] == "ratio"]
    lines = [
        (
            f"{what.replace('+', ' and ')}, {dtype}",
            {"color": colour, "linestyle": style, "marker": "o"},
            [r for r in ratios if (r["what"], r["dtype"]) == (what, dtype)],
        )
        for what, dtype, colour, style in (
            ("forward+backward", "float32", BLUE, "-"),
            ("forward+backward", "bfloat16", ORANGE, "--"),
            ("forward", "float32", GREEN, ":"),
        )
    ]
    gain_panel(left, lines, content["machine"]["caches"], "times as fast as PyTorch")
    left.set_title("torch.nn.functional.dropout, p = 0.1")
    steps_panel(right, content["results"], TORCH)
    threads = content["options"]["threads"]
    heading = f"PyTorch with its own dropout and with simdrop's, {threads} thread{'s' * (threads > 1)}"
    written = [finish(figure, heading, content, folder / "torch.png")]

    figure, axes = plt.subplots(figsize=(6.4, 4.4))
    training = content["training"]
    for name, curves in training["curves"].items():
        of_epochs = [(statistics.mean(losses), statistics.stdev(losses)) for losses in zip(*curves, strict=True)]
        points = [(epoch, mean, mean - s, mean + s) for epoch, (mean, s) in enumerate(of_epochs, 1)]
        draw(axes, points, name, {"color": TORCH[name], "linestyle": "--" if name == "simdrop" else "-"})
    axes.set(yscale="log", xlabel="epoch", ylabel="training loss")
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_formatter(PLAIN)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(axes)
    heading = f"Digits: mean and standard deviation over {training['seeds']} seeds"
    return [*written, finish(figure, heading, content, folder / "torch-training.png")]


def plot_jax(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw dropout under jit against its size, beside what a multiplication reaches, and the training steps."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=[1.4, 1])
    ratios = [r for r in content["results"] if r.get("elements") and r["measure"]["unit"] == "ratio"]
    lines = []
    for what, short, colour in (("forward", "forward", BLUE), ("forward+backward", "forward and backward", ORANGE)):
        for who, p, style in (("simdrop", 0.1, "-"), ("scaling", 0.1, ":"), ("simdrop", 0.5, "--")):
            label = f"scaling, {short}" if who == "scaling" else f"{short}, p = {p:g}"
            mine = [r for r in ratios if (r["what"], r["p"]) == (what, p) and r["contestant"].startswith(who)]
            lines.append((label, {"color": colour, "linestyle": style, "marker": "." if style == ":" else "o"}, mine))
    caches = content["machine"]["caches"]
    gain_panel(left, lines, caches, "times as fast as flax.nnx.Dropout's arithmetic")
    left.set_title("Dropout under jit, float32")
    steps_panel(right, content["results"], {"JAX": ORANGE, "simdrop": BLUE, "no dropout": GREEN})
    heading = f"JAX with Flax's dropout and with simdrop's, {content['options']['threads']} threads"
    return [finish(figure, heading, content, folder / "jax.png")]
