"""The comparison of two result files: what counts as a regression, and which files cannot be compared."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_scripts import bench_script

BENCH = bench_script("compare.py").parent
pytest.importorskip("rich", reason="the benchmarks print with rich")
sys.path.insert(0, str(BENCH))

import compare  # noqa: E402


def _content(median: float = 1.0, width: float = 0.01, better: str = "lower", unit: str = "s") -> dict[str, Any]:
    measure = {"unit": unit, "better": better, "median": median, "samples": 9}
    measure |= {"q1": median * (1 - width), "q3": median * (1 + width)}
    result = {"case": "float32/1 Ki/p=0.1/threads=1", "contestant": "simdrop avx2", "measure": measure}
    told = {"cpu": "a", "cpu_model": "1/2/3", "architecture": "b", "usable_cpus": 2, "caches": {"L1": 32768}}
    options = {"quick": False}
    return {"schema": 1, "kind": "dropout", "machine": told, "options": options, "results": [result]}


def _run(tmp_path: Path, old: Any, new: Any, *options: str) -> int:
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, content in zip(paths, (old, new), strict=True):
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return compare.main([*map(str, paths), *options])


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (_content(1.0), _content(1.0), 0),
        (_content(1.0), _content(1.2), 1),  # slower, beyond the noise
        (_content(1.2), _content(1.0), 0),  # faster
        (_content(1.0), _content(1.04), 0),  # slower, within the threshold
        (_content(1.0, 0.15), _content(1.2, 0.15), 0),  # slower, but the quartiles overlap
        (_content(1.0, better="higher", unit="ratio"), _content(0.8, better="higher", unit="ratio"), 1),
        (_content(0.8, better="higher", unit="ratio"), _content(1.0, better="higher", unit="ratio"), 0),
        (_content(0.0, unit="bytes"), _content(100e3, unit="bytes"), 0),  # pages that are counted late
        (_content(0.0, unit="bytes"), _content(1e6, unit="bytes"), 1),
    ],
)
def test_a_regression_is_what_exceeds_the_noise(tmp_path: Path, old: Any, new: Any, code: int) -> None:
    assert _run(tmp_path, old, new) == code


def test_the_threshold_is_in_percent(tmp_path: Path) -> None:
    assert _run(tmp_path, _content(1.0), _content(1.2), "--threshold", "25") == 0
    assert _run(tmp_path, _content(1.0), _content(1.04), "--threshold", "1") == 1


def test_peers_fail_the_comparison_only_when_asked(tmp_path: Path) -> None:
    old, new = _content(1.0), _content(2.0)
    for content in (old, new):
        content["results"][0]["contestant"] = "NumPy naive"
    assert _run(tmp_path, old, new) == 0
    assert _run(tmp_path, old, new, "--all") == 1


def _changed(**changes: Any) -> dict[str, Any]:
    content = copy.deepcopy(_content())
    for path, value in changes.items():
        *parents, last = path.split("__")
        part = content
        for name in parents:
            part = part[name]
        part[last] = value
    return content


@pytest.mark.parametrize(
    ("new", "forced"),
    [
        (_changed(machine__cpu="another"), 0),
        (_changed(machine__usable_cpus=64), 0),
        (_changed(options__quick=True), 0),
        (_changed(schema=2), 2),
        (_changed(kind="limit"), 2),
        (_changed(results=[]), 2),
        (_changed(results=[{"case": "x"}]), 2),
        ("[]", 2),
        ("{", 2),
    ],
    ids=["cpu", "cpus", "quick", "schema", "kind", "no common case", "no measure", "no result file", "no JSON"],
)
def test_files_that_answer_other_questions_are_not_compared(
    tmp_path: Path, new: Any, forced: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tmp_path, _content(), new) == 2
    assert "cannot compare" in capsys.readouterr().err
    assert _run(tmp_path, _content(), new, "--force") == forced


def test_a_missing_file_is_not_compared(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.json")
    assert compare.main([missing, missing]) == 2


def test_skipped_and_lost_cases_are_counted_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = _content(), _content()
    lost = copy.deepcopy(old["results"][0]) | {"case": "lost"}
    skipped = {"case": "skipped", "contestant": "simdrop", "measure": {"unit": "ratio", "better": "higher"}}
    old["results"] += [lost, skipped]
    assert _run(tmp_path, old, new) == 0
    assert "only in old: 1 cases, such as lost" in capsys.readouterr().out
