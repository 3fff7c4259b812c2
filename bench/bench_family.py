"""Times every member of the family that moves data against NumPy's formula with a ready mask, and against PyTorch.

simdrop draws its mask within the time; NumPy is given its mask for nothing. Every answer is checked first. Run
`python bench/bench_family.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from family_contest import cases
from machine import ROOT, describe, load_warning, optional, title
from report import console, count_name, parse_count, payload, progress, write_json
from rich.table import Table
from timing import Statement, alternate, paired_ratio


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small arrays, little time: shows that everything works")
    parser.add_argument("--sizes", nargs="+", metavar="N", default=["256Ki", "16Mi"], help="numbers of elements")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only cases whose name contains one of these")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each contestant in each case")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "bench" / "results", help="folder for the results")
    options = parser.parse_args(words)
    if options.quick:
        options.sizes, options.seconds = ["64Ki"], min(options.seconds, 0.02)
    options.sizes = [parse_count(text) for text in options.sizes]
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when an answer was wrong."""
    options = arguments(words)
    out = console()
    machine = describe(1)
    torch = None if options.no_torch else optional("torch")
    if torch:
        torch.set_num_threads(1)
    out.print(title(machine))
    if warning := load_warning(machine):
        out.print(f"[yellow]{warning}[/yellow]")
    results: list[dict[str, Any]] = []
    table = Table(title="ratios of time: above 1 simdrop is faster; one thread, float32", min_width=62)
    for heading in ("case", "elements", "simdrop, G/s", "to NumPy", "to PyTorch", "target"):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for size in options.sizes:
        for case in progress(list(cases(size, torch)), lambda c: c.name):
            if options.only and not any(word in case.name for word in options.only):
                continue
            try:
                case.check()
            except AssertionError as error:
                print(f"wrong answer, nothing is written: {case.name}: {error}", file=sys.stderr)
                return 1
            statements = [Statement("simdrop", case.ours), Statement("NumPy", case.numpy)]
            if case.torch is not None:
                statements.append(Statement("PyTorch", case.torch))
            with np.errstate(all="ignore"):
                samples = alternate(statements, seconds_each=options.seconds)
            ours = samples["simdrop"]
            ratios = {name: paired_ratio(taken, ours) for name, taken in samples.items() if name != "simdrop"}
            rate = case.elements / ours.spread.median / 1e9
            for name, ratio in ratios.items():
                results.append(
                    {
                        "case": f"{case.name}/{count_name(size)}/{name}",
                        "contestant": "simdrop",
                        "elements": case.elements,
                        "target": case.target if name == "NumPy" else None,
                        "measure": {"unit": "ratio", "better": "higher", **ratio.as_json()},
                        "giga_elements_per_second": rate,
                    }
                )
            torch_text = f"{ratios['PyTorch'].median:.1f}" if "PyTorch" in ratios else "-"
            target = "" if case.target is None else f">= {case.target:g}"
            numpy_text = f"{ratios['NumPy'].median:.2f}"
            table.add_row(case.name, count_name(size), f"{rate:.2f}", numpy_text, torch_text, target)
    out.print(table)
    path = options.output_dir / "family.json"
    write_json(path, payload("family", machine, {"quick": options.quick, "sizes": options.sizes}, results))
    out.print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
