"""Draws the speeds of all contestants against the size of the array, and holds what all pictures share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window, no display needed

import matplotlib.pyplot as plt
from machine import title
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from report import count_name

PEER_COLOURS = {
    "in-place scaling": "black",
    "Python loop": "tab:gray",
    "NumPy naive": "#9ecae1",
    "NumPy float32": "#4292c6",
    "NumPy bytes": "#2171b5",
    "NumPy bytes, blocked": "#08306b",
    "Numba splitmix64": "#74c476",
    "Numba murmur32": "#238b45",
    "PyTorch": "tab:orange",
    "JAX": "tab:purple",
}
SIMDROP_COLOURS = {"avx512": "#a50f15", "avx2": "#ef3b2c", "neon": "#a50f15", "scalar": "#fc9272"}
DPI = 130


def _style(name: str) -> dict[str, Any]:
    """Return the line style of a contestant: simdrop stands out, the limit is dashed."""
    if name.startswith("simdrop"):
        colour = SIMDROP_COLOURS.get(name.removeprefix("simdrop "), "#a50f15")
        return {"color": colour, "linewidth": 2.6, "marker": "o", "zorder": 3}
    dashed = "--" if name == "in-place scaling" else "-"
    return {"color": PEER_COLOURS.get(name, "tab:brown"), "linewidth": 1.4, "marker": ".", "linestyle": dashed}


def size_axis(axes: Axes, sizes: Sequence[int], label: str = "elements") -> None:
    """Make the x axis logarithmic with the sizes themselves as its ticks, at most eight of them."""
    axes.set_xscale("log", base=2)
    step = -(-len(sizes) // 8)
    axes.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes[::step]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_name(round(value))))
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel(label)


def plain_numbers(value: float, _: Any) -> str:
    """Format a tick without an exponent."""
    return f"{value:g}"


def mark_caches(axes: Axes, caches: dict[str, int], itemsize: int, low: int, high: int) -> None:
    """Draw where an array stops to fit into each cache of one core."""
    for name, size in caches.items():
        elements = size // itemsize
        if low < elements < high:
            axes.axvline(elements, color="0.75", linewidth=1, zorder=0)
            axes.text(
                elements, 0.01, f" {name}", transform=axes.get_xaxis_transform(), color="0.5", fontsize=8, va="bottom"
            )


def save(figure: Figure, path: Path) -> Path:
    """Write the picture, forget the figure and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, bbox_inches="tight")
    plt.close(figure)
    return path


def plot_dropout(content: dict[str, Any], folder: Path, name: str) -> list[Path]:
    """Draw one picture for each data type: a panel for each p, speed against size, a line for each contestant."""
    written = []
    results = content["results"]
    for dtype in dict.fromkeys(r["dtype"] for r in results):
        rows = [r for r in results if r["dtype"] == dtype]
        probabilities = list(dict.fromkeys(r["p"] for r in rows))
        sizes = sorted({r["elements"] for r in rows})
        names = list(dict.fromkeys(r["contestant"] for r in rows))
        width = 4.6 * len(probabilities) + 2.2
        figure, grid = plt.subplots(1, len(probabilities), figsize=(width, 5), sharey=True, squeeze=False)
        for axes, p in zip(grid[0], probabilities, strict=True):
            for contestant in names:
                line = sorted(
                    (r["elements"], r["giga_elements_per_second"])
                    for r in rows
                    if r["contestant"] == contestant and r["p"] == p
                )
                axes.plot([n for n, _ in line], [speed for _, speed in line], label=contestant, **_style(contestant))
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(plain_numbers))
            axes.grid(True, which="major", color="0.9")
            size_axis(axes, sizes)
            itemsize = {"float64": 8, "float32": 4}.get(dtype, 2)
            mark_caches(axes, content["machine"]["caches"], itemsize, sizes[0], sizes[-1])
            axes.set_title(f"p = {p:g}")
        grid[0][0].set_ylabel("billions of elements a second (more is better)")
        handles, labels = grid[0][-1].get_legend_handles_labels()
        speeds = {n: [r["giga_elements_per_second"] for r in rows if r["contestant"] == n] for n in names}
        order = sorted(range(len(labels)), key=lambda i: -geometric_mean(speeds[labels[i]]))
        grid[0][-1].legend(
            [handles[i] for i in order], [labels[i] for i in order], loc="center left", bbox_to_anchor=(1.02, 0.5)
        )
        threads = content["options"]["threads"]
        heading = f"Dropout of {dtype} arrays, {threads} thread{'s' * (threads > 1)}"
        figure.suptitle(f"{heading}\n{title(content['machine'])}")
        figure.tight_layout()
        written.append(save(figure, folder / f"{name}-{dtype}.png"))
    return written
