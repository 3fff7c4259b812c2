"""The picture of bench_family.py: speed of each member against its NumPy expression, by size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from plots import BLUE, GREY, ORANGE, SKY, finish


def plot_family(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw a mark for each member and size on a logarithmic axis; 1 is NumPy."""
    found = [(*r["case"].rsplit("/", 2)[:2], r["measure"]) for r in content["results"] if r["reference"] == "NumPy"]
    names = [name for name in dict.fromkeys(name for name, *_ in found) if "against scaling" not in name]
    sizes = list(dict.fromkeys(size for _, size, _ in found))
    figure, panel = plt.subplots(figsize=(8, 0.3 * len(names) + 1.6))
    for size, colour, marker in zip(sizes, (SKY, BLUE, ORANGE), "os^", strict=False):
        ratios = {name: measure["median"] for name, own, measure in found if own == size}
        places = [k for k, name in enumerate(names) if name in ratios]
        panel.plot([ratios[names[k]] for k in places], places, marker, color=colour, label=f"{size} elements")
    panel.axvline(1, color=GREY, linestyle="--")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.set_yticks(range(len(names)), [name.removesuffix(", mask given to NumPy") for name in names])
    panel.invert_yaxis()
    panel.set_xlabel("speed, of the obvious NumPy expression")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return [finish(figure, "The family, float32, one thread", content, folder / "family.png")]
