"""What all pictures of the benchmarks share, and the picture of the contestants."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window, no display needed

import matplotlib.pyplot as plt
from machine import count_name, title
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from report import Result

plt.style.use("simdrop.pictures")
BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK, GREY = plt.rcParams["axes.prop_cycle"].by_key()["color"]
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
Look = dict[str, Any]
Point = tuple[float, float, float, float]  # x, median, quartiles

# A colour for each library; its contestants differ in the line and the marker.
CONTESTANTS: dict[str, tuple[str, Look]] = {
    "in-place scaling": ("scaling in place: the limit", {"color": BLACK, "linestyle": "--"}),
    "Python loop": ("Python, a loop", {"color": GREY, "marker": "."}),
    "NumPy naive": ("NumPy, the usual line", {"color": GREEN, "marker": "o"}),
    "NumPy float32": ("NumPy, float32 uniforms", {"color": GREEN, "marker": "s", "linestyle": ":"}),
    "NumPy bytes": ("NumPy, random bytes", {"color": GREEN, "marker": "^", "linestyle": "--"}),
    "NumPy bytes, blocked": ("NumPy, random bytes in blocks", {"color": GREEN, "marker": "D", "linestyle": "-."}),
    "Numba splitmix64": ("Numba, 64-bit hash", {"color": ORANGE, "marker": "o"}),
    "Numba murmur32": ("Numba, 32-bit hash (repeats)", {"color": ORANGE, "marker": "s", "linestyle": "--"}),
    "PyTorch": ("PyTorch", {"color": RED, "marker": "v"}),
    "JAX": ("JAX, jitted", {"color": PINK, "marker": "P"}),
    "simdrop scalar": ("simdrop, plain C++", {"color": SKY, "marker": "^", "linestyle": "-."}),
    "simdrop avx2": ("simdrop, AVX2", {"color": BLUE, "marker": "s", "linestyle": "--", "linewidth": 2}),
    "simdrop neon": ("simdrop, NEON", {"color": BLUE, "marker": "o", "linewidth": 2.6}),
    "simdrop avx512": ("simdrop, AVX-512", {"color": BLUE, "marker": "o", "linewidth": 2.6}),
}


def finish(figure: Figure, heading: str, content: dict[str, Any], path: Path) -> Path:
    """Add what was measured and where, write the picture and return its path."""
    figure.suptitle(heading)
    figure.supxlabel(title(content["machine"]), fontsize=8, color="#555555")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    return path


def draw(axes: Axes, points: Iterable[Point], label: str, look: Look) -> None:
    """Draw medians as a line and their quartiles as a band."""
    x, median, low, high = zip(*sorted(points), strict=True)
    axes.plot(x, median, label=label, **look)
    axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)


def legend_below(axes: Axes, columns: int = 3, **options: Any) -> None:
    """Put the legend below the axis label, where it hides nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=columns, **options)


def size_axis(axes: Axes, sizes: Sequence[int], caches: dict[str, int], itemsize: int = 4) -> None:
    """Make the x axis logarithmic, at most eight sizes as its ticks, and mark where an array outgrows each cache."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes[:: -(-len(sizes) // 8)]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_name(round(value))))
    axes.set_xlabel("elements")
    for name, size in caches.items():
        if sizes[0] < size // itemsize < sizes[-1]:
            axes.axvline(size // itemsize, color="0.75", linewidth=1, zorder=0)
            axes.text(
                size // itemsize, 0.01, f" {name}", transform=axes.get_xaxis_transform(), color="0.45", fontsize=8
            )


def gain_panel(axes: Axes, lines: Iterable[tuple[str, Look, list[Result]]], caches: dict[str, int], label: str) -> None:
    """Draw how many times faster something is against the number of elements: a label, a look and ratios a line."""
    sizes = set()
    for name, look, ratios in lines:
        draw(axes, [(r["elements"], *(r["measure"][q] for q in ("median", "q1", "q3"))) for r in ratios], name, look)
        sizes |= {r["elements"] for r in ratios}
    axes.axhline(1, color="0.5", linewidth=1)
    axes.set(yscale="log", ylabel=label)
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_formatter("")
    size_axis(axes, sorted(sizes), caches)
    legend_below(axes)


def steps_panel(axes: Axes, results: list[Result], colours: dict[str, str]) -> None:
    """Draw bars of training steps, each model's by the first side's time; `colours` names the sides."""
    steps = [r for r in results if r.get("what") == "step" and r["measure"]["unit"] == "s"]
    models = list(dict.fromkeys(r["model"] for r in steps))
    seconds = {(r["model"], r["contestant"]): r["measure"]["median"] for r in steps}
    stock = next(iter(colours))
    for offset, (name, colour) in enumerate(colours.items()):
        shares = [seconds[model, name] / seconds[model, stock] for model in models]
        bars = axes.bar([i + 0.27 * (offset - 1) for i in range(len(models))], shares, 0.25, color=colour, label=name)
        texts = [f"{1 / share:.2f} x as fast" if name == "simdrop" else "" for share in shares]
        axes.bar_label(bars, texts, label_type="center", rotation=90, color="white", fontsize=9)
    axes.set_xticks(range(len(models)), [model.replace(" ", "\n") for model in models])
    axes.set(ylabel=f"time of a training step, {stock} = 1", title="Training steps, times as medians")
    axes.grid(visible=False, axis="x")
    legend_below(axes)


def plot_dropout(content: dict[str, Any], folder: Path, name: str = "dropout") -> list[Path]:
    """Draw one picture for each data type: a panel for each p, speed against size, a line for each contestant."""
    written, threads = [], content["options"]["threads"]
    for dtype in dict.fromkeys(r["dtype"] for r in content["results"]):
        rows = [r for r in content["results"] if r["dtype"] == dtype]
        panels, sizes = list(dict.fromkeys(r["p"] for r in rows)), sorted({r["elements"] for r in rows})
        speeds = {c: [r["giga_elements_per_second"] for r in rows if r["contestant"] == c] for c in CONTESTANTS}
        figure, grid = plt.subplots(1, len(panels), figsize=(4 * len(panels) + 2.6, 4.8), sharey=True, squeeze=False)
        for axes, p in zip(grid[0], panels, strict=True):
            for contestant in sorted(filter(speeds.get, speeds), key=lambda c: -statistics.geometric_mean(speeds[c])):
                line = [(r["elements"], r["measure"]) for r in rows if (r["contestant"], r["p"]) == (contestant, p)]
                points = [(n, *(n / m[key] / 1e9 for key in ("median", "q3", "q1"))) for n, m in line]
                draw(axes, points, *CONTESTANTS[contestant])
            axes.set(yscale="log", title=f"p = {p:g}")
            axes.yaxis.set_major_formatter(PLAIN)
            size_axis(axes, sizes, content["machine"]["caches"], {"float64": 8, "float32": 4}.get(dtype, 2))
        grid[0][0].set_ylabel("billions of elements a second (more is better)")
        grid[0][-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
        heading = f"Dropout of {dtype} arrays, {threads} thread{'s' * (threads > 1)}"
        written.append(finish(figure, heading, content, folder / f"{name}-{dtype}.png"))
    return written
