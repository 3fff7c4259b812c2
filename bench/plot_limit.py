"""The pictures of bench_limit.py: ratios and their targets, cost against size, speed against threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator
from plots import BLACK, BLUE, CONTESTANTS, GREY, ORANGE, PLAIN, RED, Look, draw, finish, legend_below, size_axis

CURVES: dict[str, tuple[str, Look]] = {
    "simdrop, p = 0.1": ("simdrop, p = 0.1", {"color": BLUE, "marker": "o"}),
    "simdrop, p = 0.5": ("simdrop, p = 0.5", {"color": ORANGE, "marker": "s"}),
    "np.multiply": ("scaling in place: the limit", {"color": BLACK, "marker": ".", "linestyle": "--"}),
}
VERDICTS = {True: (BLUE, "o", "target reached"), False: (RED, "D", "target missed"), None: (GREY, "o", "no target")}


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
