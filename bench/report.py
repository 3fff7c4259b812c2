"""What all benchmarks share: options, the frame of a run, tables for people and result files of a stable form."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from machine import ROOT, count_name, describe, load_warning, parse_count, title, usable_cpus
from rich.console import Console
from rich.table import Table
from simdrop._cli._errors import human_size
from timing import Spread

Item = TypeVar("Item")
Result: TypeAlias = dict[str, Any]

SCHEMA = 1
WIDE = 150  # columns when the output is no terminal: tables in logs should not fold
VERDICTS = {True: "[green]reached[/green]", False: "[red]not reached[/red]", None: "-"}


class WrongAnswerError(AssertionError):
    """A contestant did not compute dropout."""


def console() -> Console:
    """Return a console that keeps tables whole when it writes to a file."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(width=WIDE, highlight=False)


def progress(items: Iterable[Item], name: Callable[[Item], str]) -> Iterator[Item]:
    """Yield the items behind a progress bar that shows the name of the one at work; no bar where nobody watches."""
    # tqdm ships no type information, and its stubs are a package of their own: imported by name, it needs neither.
    with importlib.import_module("tqdm").tqdm(list(items), unit="case", disable=None) as bar:
        for item in bar:
            bar.set_description(name(item))
            yield item


def read_options(
    doc: str | None,
    words: Sequence[str] | None,
    *,
    sizes: tuple[str, ...] = (),
    quick_sizes: tuple[str, ...] = (),
    seconds: float | None = None,
    threads: int = 1,
    **more: dict[str, Any],
) -> argparse.Namespace:
    """Read a command line: the options of all scripts, and `more` that argparse adds by these names."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="small arrays, little time: shows that everything works")
    if sizes:
        add("--sizes", nargs="+", metavar="N", type=parse_count, help=f"numbers of elements ({' '.join(sizes)})")
    add("--threads", type=int, default=threads, help="threads for those who can use them")
    if seconds is not None:
        add("--only", nargs="+", metavar="WORD", default=[""], help="only what has one of these words in its name")
        add("--keep", action="store_true", help="keep what the result file has beside what is measured now")
        add("--seconds", type=float, help=f"time for each contestant in each case ({seconds:g}, or 0.02 when quick)")
    add("--output-dir", type=Path, default=ROOT / "bench" / "results", help="folder for the results")
    for name, settings in more.items():
        add("--" + name.replace("_", "-"), **settings)
    options = parser.parse_args(words)
    if not 1 <= options.threads <= usable_cpus():
        parser.error(f"--threads: {options.threads} is not within 1 .. {usable_cpus()}, the CPUs of this process")
    if sizes:
        options.sizes = options.sizes or [parse_count(text) for text in (quick_sizes if options.quick else sizes)]
    if seconds is not None:
        options.seconds = options.seconds or (0.02 if options.quick else seconds)
    options.wanted = lambda name: any(word in name for word in options.only)
    return options


def result(
    case: str,
    value: Spread | None,
    *,
    contestant: str = "simdrop",
    unit: str = "s",
    better: str = "lower",
    target: float | None = None,
    **more: Any,
) -> Result:
    """Return one entry of a result file; without a value it is a case that was skipped."""
    measure: Result = {"unit": unit, "better": better, **(dataclasses.asdict(value) if value else {})}
    reached = None
    if value is not None and target is not None:
        reached = value.median <= target if better == "lower" else value.median >= target
    named = {"case": case, "contestant": contestant, "measure": measure, "target": target, "reached": reached}
    return {**named, "skipped": None, **more}


def conduct(
    kind: str,
    options: argparse.Namespace,
    measure: Callable[[Console], tuple[list[Result], dict[str, Any]]],
    *,
    tables: Callable[[dict[str, Any]], list[Table]] = lambda content: [targets_table(content)],
    draw: Callable[[dict[str, Any], Path], list[Path]] = lambda content, folder: [],
    name: str = "",
) -> int:
    """Say where this runs, measure, print the tables, write the result file and the pictures; return the exit code.

    `measure` returns the results and further fields of the file. On a wrong answer nothing is written.
    """
    out, machine = console(), describe(options.threads)
    out.print(f"{title(machine)}, threads: {options.threads}")
    if warning := load_warning(machine):
        out.print(f"[yellow]{warning}[/yellow]")
    try:
        # Values decay to zeros and infinities when dropout runs over them again and again; no time depends on them.
        with np.errstate(all="ignore"):
            results, more = measure(out)
    except WrongAnswerError as error:
        print(f"wrong answer, nothing is written: {error}", file=sys.stderr)
        return 1
    asked = {key: value for key, value in vars(options).items() if key in ASKED}
    content = {"schema": SCHEMA, "kind": kind, "options": asked, "machine": machine, **more, "results": results}
    path = options.output_dir / f"{name or kind}.json"
    if getattr(options, "keep", False) and path.exists():
        content = with_those_kept(json.loads(path.read_text(encoding="utf-8")), content)
    for table in tables(content):
        out.print(table)
    if options.quick:
        out.print("[yellow]quick: small arrays and short samples; the figures mean nothing[/yellow]")
    write_json(path, content)
    for written in (path, *draw(content, options.output_dir)):
        out.print(f"wrote {written}")
    return 0


def with_those_kept(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured before and now, the latter where there are both, in the order of the former."""
    if before["machine"]["cpu_model"] != now["machine"]["cpu_model"]:
        raise SystemExit("--keep: the result file is another machine's")
    new = {(r["case"], r["contestant"]): r for r in now["results"]}
    results = [new.pop((r["case"], r["contestant"]), r) for r in before["results"]]
    fields = {name: value or before.get(name) for name, value in now.items()}
    return {**before, **fields, "options": before["options"], "results": [*results, *new.values()]}


ASKED = ("quick", "sizes", "p", "dtypes", "threads", "seconds")  # what a result file says of the options


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a result file beside its place and rename it, so that no half file is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> Table:
    """Return a table whose first `left` columns are names and whose others are numbers; simdrop's rows stand out."""
    made = Table(title=heading, title_justify="left", min_width=62)
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < left else "right", no_wrap=number >= left)
    for row in rows:
        made.add_row(*row, style="bold" if row[0].startswith("simdrop") else None)
    return made


def dropout_tables(content: dict[str, Any]) -> list[Table]:
    """Return a table for each data type and p: contestants down, sizes across, billions of elements a second."""
    tables = []
    for dtype, p in dict.fromkeys((r["dtype"], r["p"]) for r in content["results"]):
        rows = [r for r in content["results"] if (r["dtype"], r["p"]) == (dtype, p)]
        sizes = sorted({r["elements"] for r in rows})
        cells = {(r["contestant"], r["elements"]): f"{r['giga_elements_per_second']:.3g}" for r in rows}
        names = dict.fromkeys(r["contestant"] for r in rows)
        lines = [(name, *(cells.get((name, size), "-") for size in sizes)) for name in names]
        threads = content["options"]["threads"]
        heading = f"{dtype}, p = {p:g}: billions of elements a second, threads: {threads}"
        tables.append(table(heading, ("contestant", *map(count_name, sizes)), lines))
    return tables


def value_name(value: float, unit: str) -> str:
    """Return a measured value with its unit, three digits."""
    if unit == "cycles":
        return f"{value:.0f} cycles"
    if unit == "bytes":
        return human_size(int(value))
    for one, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")):
        if unit == "s" and (value >= one or name == "ns"):
            return f"{value / one:.3g} {name}"
    short = {"G elements/s": "G/s", "percent": "%", "ratio": "", "time ratio": ""}
    return f"{value:.3g} {short.get(unit, unit)}".rstrip()


def targets_table(content: dict[str, Any]) -> Table:
    """Return what was measured and what is aimed at: one line for each comparison."""
    rows = []
    for r in content["results"]:
        measure, unit, case = r["measure"], r["measure"]["unit"], r["case"].removesuffix(f"/{r.get('reference')}")
        if unit == "s":
            continue
        if r["skipped"]:
            rows.append((case, r["skipped"], *[""] * 5, "[yellow]skipped[/yellow]"))
            continue
        sign = "<=" if measure["better"] == "lower" else ">="
        rates = (r.get("giga_elements_per_second"), r.get("gigabytes_per_second"))
        rows.append(
            (
                case if r["contestant"].startswith("simdrop") else f"{case}, {r['contestant']}",
                r.get("reference", ""),
                "" if r["target"] is None else f"{sign} {value_name(r['target'], unit)}",
                value_name(measure["median"], unit),
                f"{measure['q1']:.3g} .. {measure['q3']:.3g}" if measure["samples"] > 1 else "",
                *("" if rate is None else f"{rate:.3g}" for rate in rates),
                VERDICTS[r["reached"]],
            )
        )
    columns = ("case", "against", "target", "measured", "quartiles", "G elem/s", "GB/s", "")
    return table("Targets and what was measured", columns, rows, left=2)


def sides_tables(content: dict[str, Any], names: Sequence[str]) -> list[Table]:
    """Return the times of all sides of a comparison, and the comparisons with their targets."""
    cases: dict[str, dict[str, float]] = {}
    for r in content["results"]:
        if r["measure"]["unit"] == "s":
            cases.setdefault(r["case"], {})[r["contestant"]] = r["measure"]["median"]
    rows = [(case, *(value_name(took[n], "s") if n in took else "" for n in names)) for case, took in cases.items()]
    return [table("Time of a call or of a training step", ("case", *names), rows), targets_table(content)]
