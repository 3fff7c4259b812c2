"""Sets two result files against each other and fails on a regression beyond the noise.

A case counts as worse, or better, when both hold: the medians differ by more than the threshold, and the ranges
between the quartiles do not overlap. Exit code 0: no regression; 1: at least one; 2: the files cannot be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import IDENTITY, load_warning
from report import SCHEMA, console
from rich.table import Table

THRESHOLD = 5.0
# The kernel counts resident pages per CPU and adds up late; smaller differences of memory say nothing.
NOISE_BYTES = 256 << 10
OURS = "simdrop"
# A run with other options answers another question; the sizes, p and types may differ: common cases are compared.
SAME_OPTIONS = ("quick",)
UNCHANGED, SLOWER, FASTER = "unchanged", "worse", "better"


class IncomparableError(Exception):
    """The two files do not answer the same question."""


@dataclass(frozen=True)
class Change:
    """One case in both files. `ratio` is how many times as good the new value is: below 1 is worse."""

    case: str
    contestant: str
    unit: str
    old: float
    new: float
    ratio: float
    verdict: str


def load(path: Path) -> dict[str, Any]:
    """Read a result file, or raise IncomparableError with the reason."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise IncomparableError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict) or not {"schema", "kind", "machine", "options", "results"} <= content.keys():
        raise IncomparableError(f"{path}: not a result file of these benchmarks")
    if content["schema"] != SCHEMA:
        raise IncomparableError(f"{path}: schema {content['schema']}, this script reads schema {SCHEMA}")
    for result in content["results"]:
        if not {"case", "contestant", "measure"} <= result.keys():
            raise IncomparableError(f"{path}: a result lacks its case, contestant or measure")
    return content


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what makes the two files incomparable short of force: another machine, other options."""
    found = []
    for key in IDENTITY:
        before, after = old["machine"].get(key), new["machine"].get(key)
        if before != after:
            found.append(f"machine, {key}: {before} and {after}")
    for key in SAME_OPTIONS:
        before, after = old["options"].get(key), new["options"].get(key)
        if before != after:
            found.append(f"option {key}: {before} and {after}")
    return found


def verdict(old: dict[str, Any], new: dict[str, Any], threshold: float) -> tuple[float, str]:
    """Compare two measures; return how many times as good the new one is, and what to call that."""
    lower = old["better"] == "lower"
    if old["unit"] == "bytes":
        more = new["median"] - old["median"]
        ratio = (old["median"] + NOISE_BYTES) / (new["median"] + NOISE_BYTES)  # nothing at all is a good answer, too
        return ratio, UNCHANGED if abs(more) <= NOISE_BYTES else (SLOWER if more > 0 else FASTER)
    ratio = old["median"] / new["median"] if lower else new["median"] / old["median"]
    overlap = old["q1"] <= new["q3"] and new["q1"] <= old["q3"]
    if overlap or max(ratio, 1 / ratio) <= 1 + threshold / 100:
        return ratio, UNCHANGED
    return ratio, FASTER if ratio > 1 else SLOWER


def compare(old: dict[str, Any], new: dict[str, Any], threshold: float = THRESHOLD) -> list[Change]:
    """Return the changes of all cases that were measured in both files, in the order of the old one."""
    if old["kind"] != new["kind"]:
        raise IncomparableError(f"one file is of kind {old['kind']!r}, the other of kind {new['kind']!r}")
    by_key = {(r["case"], r["contestant"]): r["measure"] for r in new["results"] if "median" in r["measure"]}
    changes = []
    for result in old["results"]:
        before, after = result["measure"], by_key.get((result["case"], result["contestant"]))
        if "median" not in before or after is None or before["unit"] != after["unit"]:
            continue
        ratio, name = verdict(before, after, threshold)
        where = (result["case"], result["contestant"], before["unit"])
        changes.append(Change(*where, before["median"], after["median"], ratio, name))
    if not changes:
        raise IncomparableError("the files have no case in common")
    return changes


def only_in(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the measured cases of one file that the other lacks."""
    known = {(r["case"], r["contestant"]) for r in other["results"] if "median" in r["measure"]}
    measured = [(r["case"], r["contestant"]) for r in one["results"] if "median" in r["measure"]]
    return [f"{case}, {contestant}" for case, contestant in measured if (case, contestant) not in known]


def change_table(changes: Sequence[Change]) -> Table:
    """Return the changes as a table."""
    table = Table(title="new against old: above 1 is better")
    for heading in ("case", "contestant"):
        table.add_column(heading)
    for heading in ("old", "new", "ratio"):
        table.add_column(heading, justify="right")
    table.add_column("")
    styles = {SLOWER: "red", FASTER: "green", UNCHANGED: None}
    for change in changes:
        numbers = (f"{change.old:.4g} {change.unit}", f"{change.new:.4g} {change.unit}", f"{change.ratio:.3f}")
        table.add_row(change.case, change.contestant, *numbers, change.verdict, style=styles[change.verdict])
    return table


def main(words: Sequence[str] | None = None) -> int:
    """Compare two files; see the exit codes above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("old", type=Path, metavar="OLD.json")
    parser.add_argument("new", type=Path, metavar="NEW.json")
    parser.add_argument("--threshold", type=float, default=THRESHOLD, help="change that counts, in percent")
    parser.add_argument("--all", action="store_true", help="let the peers fail the comparison too, not simdrop alone")
    parser.add_argument("--changed", action="store_true", help="list only the cases that changed beyond the noise")
    parser.add_argument("--force", action="store_true", help="compare files of different machines or options")
    options = parser.parse_args(words)
    if options.threshold < 0:
        parser.error("--threshold: must not be negative")
    out = console()
    try:
        old, new = load(options.old), load(options.new)
        different = differences(old, new)
        if different and not options.force:
            raise IncomparableError("; ".join(different) + " (--force compares all the same)")
        changes = compare(old, new, options.threshold)
    except IncomparableError as error:
        print(f"cannot compare: {error}", file=sys.stderr)
        return 2
    for note in different:
        out.print(f"[yellow]differs[/yellow]: {note}")
    for path, content in ((options.old, old), (options.new, new)):
        if warning := load_warning(content["machine"]):
            out.print(f"[yellow]{path.name}[/yellow]: {warning}")
    shown = [change for change in changes if not options.changed or change.verdict != UNCHANGED]
    if shown:
        out.print(change_table(shown))
    for label, missing in (("only in old", only_in(old, new)), ("only in new", only_in(new, old))):
        if missing:
            out.print(f"{label}: {len(missing)} cases, such as {missing[0]}")
    worse = [c for c in changes if c.verdict == SLOWER and (options.all or c.contestant.startswith(OURS))]
    better = sum(change.verdict == FASTER for change in changes)
    out.print(
        f"{len(changes)} cases compared, {better} better; regressions beyond {options.threshold:g} %: {len(worse)}"
    )
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
