"""The pictures of bench_windows.py and bench_views.py: speed against the length of a window's rows, and of views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from machine import count_name
from plots import BLUE, GREY, ORANGE, finish

COLOURS = {0.1: BLUE, 0.5: ORANGE}


def plot_windows(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw a panel for each size; lines are the targets."""
    results = content["results"]
    sizes = sorted({r["elements"] for r in results})
    figure, panels = plt.subplots(1, len(sizes), figsize=(5 * len(sizes), 4), sharey=True, squeeze=False)
    for panel, size in zip(panels[0], sizes, strict=True):
        for p, colour in COLOURS.items():
            found = [r for r in results if r["elements"] == size and r["p"] == p]
            rows = [(r["window"], r["measure"]["median"]) for r in found]
            line = [(int(name.split()[-1]), ratio) for name, ratio in rows if name.split()[-1].isdigit()]
            panel.plot(*zip(*line, strict=True), color=colour, marker="o", label=f"p = {p:g}")
        panel.axhline(1, color=GREY, linestyle="--")
        panel.annotate("a mask of its own", (8, 1.02), color=GREY, fontsize=8)
        panel.set_xscale("log", base=2)
        panel.set_xticks([8, 64, 512, 4096], ["8", "64", "512", "4096"])
        panel.set_ylim(0, 1.15)
        panel.set_title(f"{count_name(size)} elements")
        panel.set_xlabel("elements in a row of the window")
    panels[0][0].set_ylabel("speed, of a contiguous call")
    panels[0][0].legend(loc="lower right")
    return [finish(figure, "Windows of a mask, float32 in place", content, folder / "windows.png")]


def plot_views(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw a bar for each view and p, and what is aimed at."""
    results = content["results"]
    names = list(dict.fromkeys(r["view"] for r in results))
    figure, panel = plt.subplots(figsize=(8, 0.36 * len(names) + 1.6))
    for number, (p, colour) in enumerate(COLOURS.items()):
        found = {r["view"]: r for r in results if r["p"] == p}
        places = [k + 0.4 * number - 0.2 for k in range(len(names))]
        ratios = [found[name]["measure"]["median"] for name in names]
        panel.barh(places, ratios, height=0.38, color=colour, label=f"p = {p:g}")
        panel.axvline(found[names[0]]["target"], color=colour, linestyle=":")
    panel.axvline(1, color=GREY, linestyle="--")
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.set_xlabel("speed, of np.multiply on the same view; dotted: aimed at")
    panel.legend(loc="lower right")
    return [finish(figure, "Arrays in any memory order, float32", content, folder / "views.png")]
