"""The picture of bench_windows.py: speed against the length of a window's rows."""

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
