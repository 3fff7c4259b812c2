"""Sets two result files against each other and fails on a regression beyond the noise.

A case counts as worse, or better, when both hold: the medians differ by more than the threshold, and the ranges
between the quartiles do not overlap. Exit code 0: no regression; 1: at least one; 2: the files cannot be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from machine import IDENTITY, load_warning
from report import SCHEMA, console, table, value_name

THRESHOLD = 5.0
# The kernel counts resident pages per CPU and adds up late; smaller differences of memory say nothing.
NOISE_BYTES = 256 << 10
# A run with other options answers another question; the sizes, p and types may differ: common cases are compared.
SAME_OPTIONS = ("quick",)
UNCHANGED, SLOWER, FASTER = "unchanged", "worse", "better"


class IncomparableError(Exception):
    """The two files do not answer the same question."""


class Change(NamedTuple):
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
    if not all({"case", "contestant", "measure"} <= result.keys() for result in content["results"]):
        raise IncomparableError(f"{path}: a result lacks its case, contestant or measure")
    return content


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what makes the two files incomparable short of force: another machine, other options."""
    pairs = [(f"machine, {key}", old["machine"].get(key), new["machine"].get(key)) for key in IDENTITY]
    pairs += [(f"option {key}", old["options"].get(key), new["options"].get(key)) for key in SAME_OPTIONS]
    return [f"{name}: {before} and {after}" for name, before, after in pairs if before != after]


def verdict(old: dict[str, Any], new: dict[str, Any], threshold: float) -> tuple[float, str]:
    """Compare two measures; return how many times as good the new one is, and what to call that."""
    worse, better = (new, old) if old["better"] == "lower" else (old, new)
    if old["unit"] == "bytes":
        # Nothing at all is a good answer, too.
        ratio = (better["median"] + NOISE_BYTES) / (worse["median"] + NOISE_BYTES)
        same = abs(new["median"] - old["median"]) <= NOISE_BYTES
    else:
        ratio = better["median"] / worse["median"]
        overlap = old["q1"] <= new["q3"] and new["q1"] <= old["q3"]
        same = overlap or max(ratio, 1 / ratio) <= 1 + threshold / 100
    return ratio, UNCHANGED if same else FASTER if ratio > 1 else SLOWER


def measures(content: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what was measured, by case and contestant; skipped cases have no numbers."""
    return {(r["case"], r["contestant"]): r["measure"] for r in content["results"] if "median" in r["measure"]}


def compare(old: dict[str, Any], new: dict[str, Any], threshold: float = THRESHOLD) -> list[Change]:
    """Return the changes of all cases that were measured in both files, in the order of the old one."""
    if old["kind"] != new["kind"]:
        raise IncomparableError(f"one file is of kind {old['kind']!r}, the other of kind {new['kind']!r}")
    by_old, by_new = measures(old), measures(new)
    changes = [
        Change(*key, before["unit"], before["median"], after["median"], *verdict(before, after, threshold))
        for key, before in by_old.items()
        if (after := by_new.get(key)) and before["unit"] == after["unit"]
    ]
    if not changes:
        raise IncomparableError("the files have no case in common")
    return changes


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
        colours = {SLOWER: "red", FASTER: "green", UNCHANGED: "white"}
        rows = []
        for case, contestant, unit, before, after, ratio, name in shown:
            numbers = (value_name(before, unit), value_name(after, unit), f"{ratio:.3f}")
            rows.append((case, contestant, *numbers, f"[{colours[name]}]{name}[/]"))
        columns = ("case", "contestant", "old", "new", "ratio", "")
        out.print(table("new against old: above 1 is better", columns, rows, left=2))
    for label, one, other in (("only in old", old, new), ("only in new", new, old)):
        if missing := [", ".join(key) for key in measures(one) if key not in measures(other)]:
            out.print(f"{label}: {len(missing)} cases, such as {missing[0]}")
    worse = [c for c in changes if c.verdict == SLOWER and (options.all or c.contestant.startswith("simdrop"))]
    better = sum(change.verdict == FASTER for change in changes)
    out.print(
        f"{len(changes)} cases compared, {better} better; regressions beyond {options.threshold:g} %: {len(worse)}"
    )
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
