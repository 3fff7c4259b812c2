"""Draw all pictures of the benchmarks again, from the result files: ``python bench/redraw.py [FOLDER]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from machine import ROOT
from plot_family import plot_family
from plot_frameworks import plot_jax, plot_torch
from plot_limit import plot_limit
from plot_windows import plot_views, plot_windows
from plots import plot_dropout

PLOTS = {
    "dropout": plot_dropout,
    "limit": plot_limit,
    "torch": plot_torch,
    "jax": plot_jax,
    "family": plot_family,
    "views": plot_views,
    "windows": plot_windows,
}

if __name__ == "__main__":
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "bench" / "results"
    for name, plot in PLOTS.items():
        for picture in plot(json.loads((results / f"{name}.json").read_text(encoding="utf-8")), results):
            print(f"wrote {picture}")
