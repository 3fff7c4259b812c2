"""Tables of bench_torch.py."""

from __future__ import annotations

from typing import Any

from report import VERDICTS, count_name, seconds_name
from rich.table import Table


def torch_tables(content: dict[str, Any]) -> list[Table]:
    """Return the times of both sides, and the targets with what was measured."""
    return [_operators(content["results"]), _steps(content["results"]), _targets(content["results"])]


def _by_case(results: list[dict[str, Any]], *kinds: str) -> dict[str, dict[str, dict[str, Any]]]:
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for result in results:
        if result.get("what") in kinds and "/cost" not in result["case"]:
            cases.setdefault(result["case"], {})[result["contestant"]] = result
    return cases


def _operators(results: list[dict[str, Any]]) -> Table:
    table = Table(title="F.dropout, time of one call and how many times faster simdrop is")
    for heading in ("case", "elements", "PyTorch", "simdrop", "times faster"):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for sides in _by_case(results, "forward", "forward+backward").values():
        one = sides["simdrop"]
        times = [seconds_name(sides[name]["measure"]["median"]) for name in ("PyTorch", "simdrop")]
        gain = sides["simdrop against PyTorch"]["measure"]["median"]
        table.add_row(f"{one['what']}, {one['dtype']}", count_name(one["elements"]), *times, f"{gain:.3g}")
    return table


def _steps(results: list[dict[str, Any]]) -> Table:
    table = Table(title="One training step")
    names = ("PyTorch", "simdrop", "no dropout")
    for heading in ("model", *names, "times faster", "cost in PyTorch", "cost left"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    percent = {r["case"]: r["measure"]["median"] for r in results if r["measure"]["unit"] == "percent"}
    for case, sides in _by_case(results, "step").items():
        times = [seconds_name(sides[name]["measure"]["median"]) for name in names]
        gain = sides["simdrop against PyTorch"]["measure"]["median"]
        costs = [f"{percent[f'{case}/{name}']:.1f} %" for name in ("cost in PyTorch", "cost left")]
        table.add_row(sides["simdrop"]["model"], *times, f"{gain:.3g}", *costs)
    return table


def _targets(results: list[dict[str, Any]]) -> Table:
    table = Table(title="Targets")
    for heading in ("case", "target", "measured", ""):
        table.add_column(heading, justify="left" if heading in ("case", "") else "right")
    for result in results:
        if result["target"] is None:
            continue
        measure = result["measure"]
        sign = "<=" if measure["better"] == "lower" else ">="
        unit = measure["unit"]
        table.add_row(
            result["case"],
            f"{sign} {result['target']:g} {unit}",
            f"{measure['median']:.3g}",
            VERDICTS[result["reached"]],
        )
    return table
