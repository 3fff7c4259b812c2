"""Writes what was measured: result files of a stable form, and tables for people."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from machine import title
from rich.console import Console
from rich.table import Table

Item = TypeVar("Item")

SCHEMA = 1
WIDE = 150  # columns when the output is no terminal: tables in logs should not fold


def console() -> Console:
    """Return a console that keeps tables whole when it writes to a file."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=WIDE)


def progress(items: Iterable[Item], name: Callable[[Item], str]) -> Iterator[Item]:
    """Yield the items behind a progress bar that shows the name of the one at work; no bar where nobody watches."""
    # tqdm ships no type information, and its stubs are a package of their own: imported by name, it needs neither.
    with importlib.import_module("tqdm").tqdm(list(items), unit="case", disable=None) as bar:
        for item in bar:
            bar.set_description(name(item))
            yield item


def count_name(elements: int) -> str:
    """Return a count in binary units, as the documents write it: 64 Ki, 16 Mi, 1 Gi."""
    for shift, unit in ((30, "Gi"), (20, "Mi"), (10, "Ki")):
        if elements >= 1 << shift:
            value = elements / (1 << shift)
            return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"
    return str(elements)


def parse_count(text: str) -> int:
    """Read a count such as 1000, 64Ki, 16Mi or 1Gi (a space is allowed, case is not minded)."""
    units = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
    word = text.strip().lower().replace(" ", "")
    number, factor = (word[:-2], units[word[-2:]]) if word[-2:] in units else (word, 1)
    if not number.isdigit() or int(number) == 0:
        raise ValueError(f"{text!r} is not a count: use a positive number, with Ki, Mi or Gi if you like")
    return int(number) * factor


def seconds_name(seconds: float) -> str:
    """Return a time with three digits and the unit that suits it."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def payload(
    kind: str,
    machine: dict[str, Any],
    options: dict[str, Any],
    results: Sequence[dict[str, Any]],
    **more: Any,
) -> dict[str, Any]:
    """Return the content of a result file; README.md of this folder describes each field."""
    return {
        "schema": SCHEMA,
        "kind": kind,
        "options": options,
        "machine": machine,
        **more,
        "results": list(results),
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a result file beside its place and rename it, so that no half file is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def dropout_tables(content: dict[str, Any]) -> list[Table]:
    """Return a table for each data type and p: contestants down, sizes across, billions of elements a second."""
    results = content["results"]
    tables = []
    for dtype, p in dict.fromkeys((r["dtype"], r["p"]) for r in results):
        rows = [r for r in results if (r["dtype"], r["p"]) == (dtype, p)]
        sizes = sorted({r["elements"] for r in rows})
        threads = content["options"]["threads"]
        unit = f"billions of elements a second, threads: {threads}"
        table = Table(title=f"{dtype}, p = {p:g}: {unit}", min_width=62)
        table.add_column("contestant")
        for size in sizes:
            table.add_column(count_name(size), justify="right")
        by_cell = {(r["contestant"], r["elements"]): r["giga_elements_per_second"] for r in rows}
        for name in dict.fromkeys(r["contestant"] for r in rows):
            cells = [by_cell.get((name, size)) for size in sizes]
            style = "bold" if name.startswith("simdrop") else None
            table.add_row(name, *("-" if cell is None else f"{cell:.3g}" for cell in cells), style=style)
        tables.append(table)
    return tables


def number_name(value: float, unit: str) -> str:
    """Return a measured value with its unit, three digits."""
    if unit == "bytes":
        return f"{value / 1024:.0f} KiB"
    return f"{value:.3g} G/s" if unit == "G elements/s" else f"{value:.3g}"


VERDICTS = {True: "[green]reached[/green]", False: "[red]not reached[/red]", None: "-"}


def limit_table(content: dict[str, Any]) -> Table:
    """Return the targets and what was measured: one line for each case."""
    table = Table(title="Targets: " + title(content["machine"]), title_justify="left")
    for heading in ("case", "against"):
        table.add_column(heading, no_wrap=True)
    for heading in ("target", "measured", "quartiles", "G elem/s", "GB/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    last_row = None
    for result in content["results"]:
        if last_row not in (None, result["row"]):
            table.add_section()
        last_row = result["row"]
        if result["skipped"]:
            table.add_row(result["case"], result["skipped"], "", "", "", "", "", "[yellow]skipped[/yellow]")
            continue
        measure, target = result["measure"], result["target"]
        sign = "<=" if measure["better"] == "lower" else ">="
        rate, traffic = result.get("giga_elements_per_second"), result.get("gigabytes_per_second")
        table.add_row(
            result["case"],
            result["reference"],
            "" if target is None else f"{sign} {number_name(target, measure['unit'])}",
            number_name(measure["median"], measure["unit"]),
            f"{measure['q1']:.3g} .. {measure['q3']:.3g}" if measure["unit"] != "bytes" else "",
            "" if rate is None else f"{rate:.3g}",
            "" if traffic is None else f"{traffic:.3g}",
            VERDICTS[result["reached"]],
        )
    return table
