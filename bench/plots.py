"""All pictures of the benchmarks, in the style of the project; as a script it draws them again from the results."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window, no display needed

import matplotlib.pyplot as plt
from machine import ROOT, count_name, title
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

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
CURVES: dict[str, tuple[str, Look]] = {
    "simdrop, p = 0.1": ("simdrop, p = 0.1", {"color": BLUE, "marker": "o"}),
    "simdrop, p = 0.5": ("simdrop, p = 0.5", {"color": ORANGE, "marker": "s"}),
    "np.multiply": ("scaling in place: the limit", {"color": BLACK, "marker": ".", "linestyle": "--"}),
}
TORCH = {"PyTorch": RED, "simdrop": BLUE, "no dropout": GREY}
VERDICTS = {True: (BLUE, "o", "target reached"), False: (RED, "D", "target missed"), None: (GREY, "o", "no target")}


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


def case_name(result: dict[str, Any]) -> str:
    """Return what a case of bench_limit.py is, in words."""
    first, *middle, last = result["case"].replace("level 2", "the L2 cache").split("/")
    if first == "peers":
        return f"{CONTESTANTS.get(last, (last,))[0]}, {'from' if middle == ['memory'] else 'in'} {middle[0]}"
    words = [word for word in middle if word not in result["row"]]
    against = " (against AVX-512)" if result["reference"] == "simdrop avx512" else ""
    return ", ".join([result["row"].replace("level 2", "the L2 cache"), *words, last.replace("p=", "p = ")]) + against


def plot_targets(content: dict[str, Any], peers: bool, path: Path) -> list[Path]:
    """Draw one line for each speed ratio: the median, its quartiles as a bar, the target as a tick."""
    measured = [r for r in content["results"] if r["measure"]["unit"] == "ratio" and not r["skipped"]]
    rows = [r for r in measured if not r["case"].startswith("cost/") and r["case"].startswith("peers/") == peers]
    if not rows:
        return []
    figure, axes = plt.subplots(figsize=(9, 0.23 * len(rows) + 2))
    for line, r in enumerate(rows):
        colour, marker, _ = VERDICTS[r["reached"]]
        axes.plot([r["measure"]["q1"], r["measure"]["q3"]], [line, line], color=colour, linewidth=5, alpha=0.35)
        axes.plot(r["measure"]["median"], line, marker, color=colour, markersize=6)
        axes.plot(r["target"] or [], line if r["target"] else [], "|", color=BLACK, markersize=12, markeredgewidth=2)
        if line and r["row"] != rows[line - 1]["row"]:
            axes.axhline(line - 0.5, color="0.7", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [case_name(r) for r in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.axvline(1, color="0.4", linestyle="--", linewidth=1)
    if peers:  # they are from once to a hundred times as slow
        axes.set(xscale="log", xlabel="times as fast as the peer, one thread, float32, p = 0.1")
        axes.xaxis.set_major_formatter(PLAIN)
    else:
        axes.set(xlim=(0, None), xlabel="speed over that of the reference; 1 (dashed) is as fast")
    kinds = [look for verdict, look in VERDICTS.items() if verdict in {r["reached"] for r in rows}]
    handles = [Line2D([], [], color=colour, marker=m, linestyle="", label=text) for colour, m, text in kinds]
    handles.append(Line2D([], [], color="0.6", linewidth=5, alpha=0.5, label="quartiles"))
    handles.append(Line2D([], [], color=BLACK, marker="|", linestyle="", markersize=12, label="target"))
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(handles))
    heading = "simdrop against its peers" if peers else "simdrop against NumPy's scaling of the same array, unless said"
    return [finish(figure, heading, content, path)]


def plot_curves(
    points: Sequence[dict[str, Any]], axes: Axes, x: str, value: Callable[[dict[str, Any], float], float]
) -> None:
    """Draw simdrop and the limit: `value` of a point and its seconds against the field `x`."""
    for contestant, (label, look) in CURVES.items():
        mine = [(p, p["seconds"]) for p in points if p["contestant"] == contestant]
        draw(axes, [(p[x], *(value(p, s[key]) for key in ("median", "q1", "q3"))) for p, s in mine], label, look)


def plot_cost(content: dict[str, Any], path: Path) -> list[Path]:
    """Draw the time of a call, which grows linearly, and the time of an element, which shows the caches."""
    points = content["cost"]
    sizes = sorted({point["elements"] for point in points})
    if not sizes:
        return []
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4))
    plot_curves(points, left, "elements", lambda point, seconds: seconds * 1e3)
    plot_curves(points, right, "elements", lambda point, seconds: seconds / point["elements"] * 1e9)
    left.set(yscale="log", ylabel="time of a call in ms")
    left.yaxis.set_major_formatter(PLAIN)
    # The axis follows the medians, so that one disturbed quartile does not fill the panel.
    top = 1.25 * max(point["seconds"]["median"] / point["elements"] for point in points) * 1e9
    right.set(ylabel="time of an element in ns (less is better)", ylim=(0, top))
    for band in list(right.collections):  # bars for the quartiles: bands between far sizes would cover each other
        band.remove()
    for shift, (contestant, (_, look)) in zip((0.96, 1.0, 1.04), CURVES.items(), strict=True):
        for point in (p for p in points if p["contestant"] == contestant):
            ends = (point["seconds"][q] / point["elements"] * 1e9 for q in ("q1", "q3"))
            right.vlines(point["elements"] * shift, *ends, color=look["color"], linewidth=3, alpha=0.4)
    for axes in (left, right):
        size_axis(axes, sizes, content["machine"]["caches"])
        legend_below(axes)
    return [finish(figure, "Cost of in-place dropout of float32 against the size, one thread", content, path)]


def plot_threads(content: dict[str, Any], path: Path) -> list[Path]:
    """Draw the speed against the number of threads, in the caches and from memory."""
    points = content["thread_scaling"]
    counts, places = sorted({p["threads"] for p in points}), list(dict.fromkeys(p["place"] for p in points))
    if len(counts) < 2:
        return []
    figure, grid = plt.subplots(1, len(places), figsize=(5 * len(places), 4.2), squeeze=False)
    for axes, place in zip(grid[0], places, strict=True):
        here = [point for point in points if point["place"] == place]
        plot_curves(here, axes, "threads", lambda point, seconds: point["elements"] / seconds / 1e9)
        axes.lines[-1].set_label("NumPy's scaling, shared out")
        axes.set(title=place, xlabel="threads", ylim=(0, None))
        axes.xaxis.set_major_locator(FixedLocator([float(count) for count in counts]))
    grid[0][0].set_ylabel("billions of float32 elements a second")
    grid[0][-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return [finish(figure, "Speed of in-place dropout against the number of threads", content, path)]


def plot_limit(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw every picture of a limit result for which there are data; return their paths."""
    return [
        *plot_targets(content, False, folder / "limit-ratios.png"),
        *plot_targets(content, True, folder / "limit-peers.png"),
        *plot_cost(content, folder / "limit-cost.png"),
        *plot_threads(content, folder / "limit-threads.png"),
    ]


def plot_torch(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the operator against its size and the training steps; and the loss curves."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=[1.15, 1])
    looks = {("forward+backward", "float32"): (BLUE, "-"), ("forward+backward", "bfloat16"): (ORANGE, "--")}
    looks[("forward", "float32")] = (GREEN, ":")
    ratios = [r for r in content["results"] if r.get("dtype") and r["measure"]["unit"] == "ratio"]
    for (what, dtype), (colour, style) in looks.items():
        mine = [(r["elements"], r["measure"]) for r in ratios if (r["what"], r["dtype"]) == (what, dtype)]
        points = [(n, m["median"], m["q1"], m["q3"]) for n, m in mine]
        label = f"{what.replace('+', ' and ')}, {dtype}"
        draw(left, points, label, {"color": colour, "linestyle": style, "marker": "o"})
    left.axhline(1, color="0.5", linewidth=1)
    left.set(yscale="log", ylabel="times as fast as PyTorch", title="torch.nn.functional.dropout, p = 0.1")
    left.yaxis.set_major_formatter(PLAIN)
    size_axis(left, sorted({r["elements"] for r in ratios}), content["machine"]["caches"])
    legend_below(left)

    steps = [r for r in content["results"] if r.get("what") == "step" and r["measure"]["unit"] == "s"]
    models = list(dict.fromkeys(r["model"] for r in steps))
    seconds = {(r["model"], r["contestant"]): r["measure"]["median"] for r in steps}
    for offset, (name, colour) in enumerate(TORCH.items()):
        shares = [seconds[model, name] / seconds[model, "PyTorch"] for model in models]
        bars = right.bar([i + 0.27 * (offset - 1) for i in range(len(models))], shares, 0.25, color=colour, label=name)
        texts = [f"{1 / share:.2f} x as fast" if name == "simdrop" else "" for share in shares]
        right.bar_label(bars, texts, label_type="center", rotation=90, color="white", fontsize=9)
    right.set_xticks(range(len(models)), [model.replace(" ", "\n") for model in models])
    right.set(ylabel="time of a training step, PyTorch = 1", title="Training steps, times as medians")
    right.grid(visible=False, axis="x")
    legend_below(right)
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
    """Draw dropout under jit against its size, and the training steps."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=[1.4, 1])
    ratios = [r for r in content["results"] if r.get("elements") and r["measure"]["unit"] == "ratio"]
    looks = [("forward", 0.1, BLUE, "-"), ("forward", 0.5, BLUE, "--")]
    looks += [("forward+backward", 0.1, ORANGE, "-"), ("forward+backward", 0.5, ORANGE, "--")]
    for what, p, colour, style in looks:
        both = [r for r in ratios if (r["what"], r["p"]) == (what, p)]
        name = "forward" if what == "forward" else "and backward"
        label = f"{name}, p = {p:g}"
        mine = [(r["elements"], r["measure"]) for r in both if r["contestant"].startswith("simdrop")]
        points = [(n, m["median"], m["q1"], m["q3"]) for n, m in mine]
        draw(left, points, label, {"color": colour, "linestyle": style, "marker": "o"})
        if p == 0.1:  # the same comparison for a multiplication that draws nothing
            scaling = [(r["elements"], r["measure"]["median"]) for r in both if r["contestant"].startswith("scaling")]
            left.plot(*zip(*scaling, strict=True), color=colour, linestyle=":", label=f"scaling, {name}")
    left.axhline(1, color="0.5", linewidth=1)
    left.set(yscale="log", ylabel="times as fast as flax.nnx.Dropout's arithmetic", title="Dropout under jit, float32")
    left.yaxis.set_major_formatter(PLAIN)
    left.yaxis.set_minor_formatter("")
    size_axis(left, sorted({r["elements"] for r in ratios}), content["machine"]["caches"])
    legend_below(left)

    steps = [r for r in content["results"] if r.get("what") == "step" and r["measure"]["unit"] == "s"]
    models = list(dict.fromkeys(r["model"] for r in steps))
    seconds = {(r["model"], r["contestant"]): r["measure"]["median"] for r in steps}
    for offset, (name, colour) in enumerate({"JAX": ORANGE, "simdrop": BLUE, "no dropout": GREEN}.items()):
        shares = [seconds[model, name] / seconds[model, "JAX"] for model in models]
        bars = right.bar([i + 0.27 * (offset - 1) for i in range(len(models))], shares, 0.25, color=colour, label=name)
        texts = [f"{1 / share:.2f} x as fast" if name == "simdrop" else "" for share in shares]
        right.bar_label(bars, texts, label_type="center", rotation=90, color="white", fontsize=9)
    right.set_xticks(range(len(models)), models)
    right.set(ylabel="time of a training step, JAX = 1", title="Training steps, times as medians")
    right.grid(visible=False, axis="x")
    legend_below(right)
    heading = f"JAX with Flax's dropout and with simdrop's, {content['options']['threads']} threads"
    return [finish(figure, heading, content, folder / "jax.png")]


if __name__ == "__main__":
    from plot_windows import plot_views, plot_windows  # they import this module

    results = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "bench" / "results"
    kinds = {
        "dropout": plot_dropout,
        "limit": plot_limit,
        "torch": plot_torch,
        "jax": plot_jax,
        "views": plot_views,
        "windows": plot_windows,
    }
    for name, plot in kinds.items():
        for picture in plot(json.loads((results / f"{name}.json").read_text()), results):
            print(f"wrote {picture}")
