"""The bar chart of ``simdrop demo``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

_OURS, _OTHERS, _LIMIT, _EDGE = "#0072B2", "#A6A6A6", "#F0F0F0", "#777777"


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
    with importlib.import_module("matplotlib.style").context("simdrop.pictures"):
        figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=(12, 4.6))
        panels = figure.subplots(1, len(rates), sharey=True, sharex=True, squeeze=False)[0]
        for panel, (p, rate) in zip(panels, rates.items(), strict=True):
            colours = [_OURS if name.startswith("simdrop") else _OTHERS for name in rate]
            bars = panel.barh(list(rate), list(rate.values()), color=colours, edgecolor=_EDGE, linewidth=0.6)
            bars[-1].set(facecolor=_LIMIT, hatch="///")  # the limit comes last
            panel.bar_label(bars, [_label(value, rate["NumPy, naive"]) for value in rate.values()], padding=5)
            panel.set(title=f"p = {p:g}", xlabel="billion elements per second, log scale  (times the naive recipe)")
            panel.set_xscale("log")
            panel.set_xlim(
                min(rate.values()) / 2, max(rate.values()) * 9
            )  # room for the numbers beside the longest bar
            panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            panel.grid(visible=False, axis="y")
            panel.tick_params(axis="y", length=0)
        panels[0].invert_yaxis()  # the first contestant on top; the panels share this axis
        figure.suptitle(title, fontweight="bold")
        figure.supxlabel(subtitle, fontsize=9, color="#555555")
        figure.savefig(path, format="png")


def _label(rate: float, naive: float) -> str:
    times = rate / naive
    return f"{rate:.3g}  ({times:.2g}x)" if times < 10 else f"{rate:.3g}  ({times:.0f}x)"
