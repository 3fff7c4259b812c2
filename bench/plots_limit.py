"""Draws the targets and what was reached, the cost against the size, and the speed against the threads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from machine import title
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from plots import mark_caches, plain_numbers, save, size_axis

REACHED, SHORT, NEUTRAL = "tab:green", "tab:red", "tab:gray"
CURVES = {"simdrop, p = 0.1": "#a50f15", "simdrop, p = 0.5": "#fb6a4a", "np.multiply": "black"}


def _colour(result: dict[str, Any]) -> str:
    return {True: REACHED, False: SHORT, None: NEUTRAL}[result["reached"]]


def _draw_targets(axes: Axes, results: Sequence[dict[str, Any]]) -> None:
    """Draw one line for each case: the median as a dot, its quartiles as a bar, the target as a tick."""
    for line, result in enumerate(results):
        measure = result["measure"]
        axes.plot([measure["q1"], measure["q3"]], [line, line], color=_colour(result), linewidth=5, alpha=0.35)
        axes.plot(measure["median"], line, "o", color=_colour(result), markersize=6)
        if line and result["row"] != results[line - 1]["row"]:
            axes.axhline(line - 0.5, color="0.85", linewidth=1)
        if result["target"] is not None:
            axes.plot(result["target"], line, "|", color="black", markersize=12, markeredgewidth=2)
    axes.set_yticks(range(len(results)), [result["case"] for result in results], fontsize=8)
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.grid(True, axis="x", color="0.9")


def _ratios(content: dict[str, Any], peers: bool) -> list[dict[str, Any]]:
    """Return the measured speed ratios: those to the peers, or those to a limit."""
    measured = [r for r in content["results"] if r["measure"]["unit"] == "ratio" and not r["skipped"]]
    return [r for r in measured if not r["case"].startswith("cost/") and r["case"].startswith("peers/") == peers]


def _plot_targets(content: dict[str, Any], rows: Sequence[dict[str, Any]], peers: bool, path: Path) -> list[Path]:
    """Draw one picture of targets; peers on a logarithmic axis, since they are from 1.5 to 100 times as slow."""
    if not rows:
        return []
    figure, axes = plt.subplots(figsize=(9, 0.235 * len(rows) + 1.7))
    _draw_targets(axes, rows)
    if peers:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(plain_numbers))
        axes.set_xlabel("times as fast as the peer, one thread, float32, p = 0.1 (tick: target)")
    else:
        axes.axvline(1, color="0.4", linestyle="--", linewidth=1)
        axes.set_xlim(left=0)
        axes.set_xlabel("speed over the reference's speed (tick: target; dashed: as fast as the reference)")
    axes.set_title("Targets reached (green) and not reached (red)\n" + title(content["machine"]), fontsize=10)
    figure.tight_layout()
    return [save(figure, path)]


def plot_cost(content: dict[str, Any], path: Path) -> list[Path]:
    """Draw the time of a call, which grows linearly, and the time of an element, which shows the caches."""
    points = content["cost"]
    if not points:
        return []
    sizes = sorted({point["elements"] for point in points})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 4.6))
    for name, colour in CURVES.items():
        line = sorted((p["elements"], p["seconds"]) for p in points if p["contestant"] == name)
        counts = [count for count, _ in line]
        dashed = "--" if name == "np.multiply" else "-"
        label = name + (" (in-place scaling)" if name == "np.multiply" else "")
        left.plot(counts, [s["median"] * 1e3 for _, s in line], dashed, color=colour, marker="o", label=label)
        right.plot(counts, [s["median"] / n * 1e9 for n, s in line], dashed, color=colour, marker="o", label=label)
        low, high = ([s[key] / n * 1e9 for n, s in line] for key in ("q1", "q3"))
        right.fill_between(counts, low, high, color=colour, alpha=0.2, linewidth=0)
    left.set_yscale("log")
    left.yaxis.set_major_formatter(FuncFormatter(plain_numbers))
    left.set_ylabel("time of a call in ms")
    left.legend()
    right.set_ylabel("time of an element in ns (less is better)")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        size_axis(axes, sizes, "float32 elements")
        axes.grid(True, color="0.9")
        mark_caches(axes, content["machine"]["caches"], 4, sizes[0], sizes[-1])
    figure.suptitle("Cost of in-place dropout against the size, one thread\n" + title(content["machine"]), fontsize=11)
    figure.tight_layout()
    return [save(figure, path)]


def plot_threads(content: dict[str, Any], path: Path) -> list[Path]:
    """Draw the speed against the number of threads, in the caches and from memory."""
    points = content["thread_scaling"]
    counts = sorted({point["threads"] for point in points})
    if len(counts) < 2:
        return []
    places = list(dict.fromkeys(point["place"] for point in points))
    figure, grid = plt.subplots(1, len(places), figsize=(5.6 * len(places), 4.6), squeeze=False)
    for axes, place in zip(grid[0], places, strict=True):
        for name, colour in CURVES.items():
            line = sorted(
                (p["threads"], p["elements"] / p["seconds"]["median"] / 1e9)
                for p in points
                if p["place"] == place and p["contestant"] == name
            )
            dashed = "--" if name == "np.multiply" else "-"
            axes.plot([t for t, _ in line], [speed for _, speed in line], dashed, color=colour, marker="o", label=name)
            axes.plot(counts, [line[0][1] * t / line[0][0] for t in counts], ":", color=colour, linewidth=1, alpha=0.6)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator([float(count) for count in counts]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(plain_numbers))
        axes.set_ylim(bottom=0)
        axes.grid(True, color="0.9")
        axes.set_title(place)
        axes.set_xlabel("threads (dotted: as if each thread added as much as the first)")
    grid[0][0].set_ylabel("billions of float32 elements a second")
    grid[0][0].legend()
    figure.suptitle("Threads\n" + title(content["machine"]), fontsize=11)
    figure.tight_layout()
    return [save(figure, path)]


def plot_limit(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw every picture of a limit result for which there are data; return their paths."""
    return [
        *_plot_targets(content, _ratios(content, peers=False), False, folder / "limit-ratios.png"),
        *_plot_targets(content, _ratios(content, peers=True), True, folder / "limit-peers.png"),
        *plot_cost(content, folder / "limit-cost.png"),
        *plot_threads(content, folder / "limit-threads.png"),
    ]
