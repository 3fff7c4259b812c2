"""The bar chart of ``simdrop demo``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

_OURS, _OTHERS, _LIMIT = "#1f6fb4", "#9aa5b1", "#e3e7eb"
_INK = "#222222"


def save_chart(path: Path, rates: dict[float, dict[str, float]], title: str, subtitle: str) -> None:
    """Draw one panel of horizontal bars for each p and save it as PNG.

    Parameters
    ----------
    path : Path
        Where to save.
    rates : dict
        For each p, billions of elements a second of each contestant.
    title, subtitle : str
        What was measured, and on what.
    """
    # The Figure class alone draws with Agg: no display, no state shared with a user's pyplot.
    figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=(12, 4.6), dpi=130, facecolor="white")
    panels = figure.subplots(1, len(rates), sharey=True, sharex=True, squeeze=False)[0]
    slowest = min(min(rate.values()) for rate in rates.values())
    fastest = max(max(rate.values()) for rate in rates.values())
    for panel, (p, rate) in zip(panels, rates.items(), strict=True):
        names = list(rate)
        places = range(len(names))
        bars = panel.barh(places, list(rate.values()), color=[_colour(name) for name in names], height=0.7)
        for name, bar in zip(names, bars, strict=True):
            if _is_limit(name):
                bar.set(edgecolor=_OTHERS, hatch="///", linewidth=0.8)
            panel.annotate(
                _label(rate[name], rate["NumPy, naive"]),
                (rate[name], bar.get_y() + bar.get_height() / 2),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=10,
                color=_INK,
                fontweight="bold" if _is_ours(name) else "normal",
            )
        panel.set_xscale("log")
        panel.set_xlim(slowest / 2, fastest * 9)  # room for the numbers beside the longest bar
        panel.set_yticks(places, names, fontsize=11, color=_INK)
        panel.set_title(f"p = {p:g}", fontsize=12, color=_INK)
        panel.set_xlabel("billion elements per second, log scale  (times the naive recipe)", fontsize=10, color=_INK)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.grid(axis="x", color="#dddddd", linewidth=0.8)
        panel.set_axisbelow(True)
        panel.tick_params(axis="y", length=0)
        panel.spines[["top", "right", "left"]].set_visible(False)
    panels[0].invert_yaxis()  # the first contestant on top; the panels share this axis
    figure.suptitle(title, fontsize=14, fontweight="bold", color=_INK, y=0.985)
    figure.text(0.5, 0.895, subtitle, ha="center", fontsize=10, color="#555555")
    figure.subplots_adjust(left=0.2, right=0.985, top=0.80, bottom=0.14, wspace=0.06)
    figure.savefig(path, format="png")


def _is_ours(name: str) -> bool:
    return name.startswith("simdrop")


def _is_limit(name: str) -> bool:
    return name.startswith("scaling")


def _colour(name: str) -> str:
    return _OURS if _is_ours(name) else _LIMIT if _is_limit(name) else _OTHERS


def _label(rate: float, naive: float) -> str:
    times = rate / naive
    return f"{rate:.3g}  ({times:.2g}x)" if times < 10 else f"{rate:.3g}  ({times:.0f}x)"
