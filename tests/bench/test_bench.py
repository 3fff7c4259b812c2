"""The benchmark scripts: their arithmetic, their checks of the contestants, runs at tiny sizes. Nothing is timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_scripts import bench_script
from simdrop import available_isas as isas

BENCH = bench_script("compare.py").parent
pytest.importorskip("rich", reason="the benchmarks print with rich")
pytest.importorskip("matplotlib", reason="the benchmarks draw with matplotlib")
pytest.importorskip("tqdm", reason="the benchmarks show progress with tqdm")
pytest.importorskip("psutil", reason="the benchmarks describe the machine with psutil")
sys.path.insert(0, str(BENCH))

import answers  # noqa: E402
import bench_dropout  # noqa: E402
import bench_limit  # noqa: E402
import compare  # noqa: E402
import contestants  # noqa: E402
import limit_cases  # noqa: E402
import machine  # noqa: E402
import plot_limit  # noqa: E402
import plots  # noqa: E402
import redraw  # noqa: E402
import report  # noqa: E402
import timing  # noqa: E402

# The scripts that load the frameworks run in a process of their own: their threads must not meet the tests that fork.


def _script(name: str, *words: str) -> None:
    done = subprocess.run([sys.executable, str(BENCH / name), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Times


def test_spread_is_median_and_quartiles() -> None:
    assert timing.spread([4.0, 1.0, 3.0, 2.0, 5.0]) == timing.Spread(3.0, 2.0, 4.0, 5)
    assert timing.spread([7.0]) == timing.Spread(7.0, 7.0, 7.0, 1)
    with pytest.raises(ValueError, match="no values"):
        timing.spread([])


@pytest.mark.parametrize(("seconds", "repeats"), [(4.0, 1), (2.0, 1), (1.9, 2), (2**-10, 2048)])
def test_short_calls_are_repeated_until_they_fill_a_sample(seconds: float, repeats: int) -> None:
    assert timing.repeats_for(seconds, 2.0) == repeats


def test_every_round_samples_every_statement_once() -> None:
    calls: list[str] = []
    sides = [
        timing.Statement(name, lambda name=name: calls.append(name), before=lambda: calls.append("|"))  # type: ignore[misc]
        for name in "ab"
    ]
    taken = timing.alternate(sides, seconds_each=0.0, min_rounds=4, sample_seconds=1e-9)
    assert {name: len(samples.seconds) for name, samples in taken.items()} == {"a": 4, "b": 4}
    samples = "".join(calls).split("|")[-8:]  # each starts with its own preparation, which is not timed
    assert all(sorted((samples[i][0], samples[i + 1][0])) == ["a", "b"] for i in range(0, 8, 2))
    assert all(set(sample) in ({"a"}, {"b"}) for sample in samples)


def test_two_statements_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        timing.alternate([timing.Statement("a", "pass"), timing.Statement("a", "pass")], seconds_each=0)


def test_ratios_are_taken_within_rounds() -> None:
    slow, fast = timing.Samples((2.0, 20.0, 4.0, 9.0), 1), timing.Samples((1.0, 10.0, 2.0), 1)
    assert timing.paired_ratio(slow, fast) == timing.Spread(2.0, 2.0, 2.0, 3)


def test_one_candidate_needs_no_choice() -> None:
    only = timing.Statement("only", "raise RuntimeError")
    assert timing.pick_fastest([only], seconds_each=1) == (only, {})


# Numbers and names


@pytest.mark.parametrize(
    ("text", "count"), [("1000", 1000), ("64Ki", 65536), ("16 Mi", 1 << 24), ("1gi", 1 << 30), ("1Ki", 1024)]
)
def test_counts_are_read(text: str, count: int) -> None:
    assert machine.parse_count(text) == count


@pytest.mark.parametrize("text", ["", "0", "-1", "Ki", "1.5Mi", "12K", "many"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a count"):
        machine.parse_count(text)


def test_counts_are_written() -> None:
    assert [machine.count_name(n) for n in (7, 1 << 10, 3 << 19, 1 << 30)] == ["7", "1 Ki", "1.5 Mi", "1 Gi"]


def test_the_machine_is_described() -> None:
    told = machine.describe(1)
    assert set(machine.IDENTITY) <= told.keys()
    assert told["versions"]["numpy"] == np.__version__
    assert told["isa"] in told["isas"]
    json.dumps(told)
    assert machine.title(told)


def test_limiting_the_cpus_ends_with_the_block() -> None:
    before = machine.usable_cpus()
    with machine.limited_to(1):
        assert machine.usable_cpus() == 1 or not hasattr(os, "sched_setaffinity")
    assert machine.usable_cpus() == before


def test_case_names_are_unique_and_complete() -> None:
    cases = list(limit_cases.cases())
    assert len({case.key for case in cases}) == len(cases)
    assert {case.unit for case in cases} == {"ratio", "time ratio", "G elements/s"}


def test_sweeps_cover_what_they_promise() -> None:
    assert bench_limit.sweep_sizes(1 << 20) == [1 << 16, 1 << 18, 1 << 20]
    assert bench_limit.sweep_sizes(1 << 30)[-1] == 1 << 30
    assert [bench_limit.thread_counts(n) for n in (1, 2, 6)] == [[1], [1, 2], [1, 2, 4, 6]]
    point = {"contestant": "simdrop, p = 0.1", "seconds": {"median": 2.0}}
    points = [point | {"elements": n} for n in (1, 4, 16)]
    points[2] = points[2] | {"seconds": {"median": 64.0}}
    assert list(bench_limit.growth(points)) == [("simdrop, p = 0.1", 2.0)]


# Answers


def _constant(answer: Any) -> contestants.Contestant:
    return contestants.Contestant("wrong", "", lambda x, p, threads: contestants.Prepared(lambda: answer(x)))


def _drop_every_tenth(x: contestants.Array, scale: float) -> contestants.Array:
    return np.where(np.arange(x.size) % 10 == 0, 0, x * x.dtype.type(scale))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda x: x.copy(), "dropped"),
        (np.zeros_like, "dropped"),
        (lambda x: _drop_every_tenth(x, 1.0), "kept or dropped values are wrong"),
        (lambda x: _drop_every_tenth(x, 1 / 0.9), "the same mask"),
    ],
    ids=["nothing dropped", "all dropped", "not scaled", "one mask for ever"],
)
def test_wrong_answers_are_found(answer: Any, complaint: str) -> None:
    with pytest.raises(report.WrongAnswerError, match=complaint):
        answers.check(_constant(answer), np.empty(10_000, np.float32), 0.1, 1)


def test_an_exact_contestant_may_not_leave_a_negative_zero() -> None:
    wrong = contestants.Contestant(
        "wrong", "", lambda x, p, threads: contestants.Prepared(lambda: x * (np.arange(x.size) % 2) * 2), exact=True
    )
    with pytest.raises(report.WrongAnswerError, match="values are wrong"):
        answers.check(wrong, np.empty(1000, np.float32), 0.5, 1)


# The scripts


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of all contestants over all types at two tiny sizes, one of them odd."""
    folder = tmp_path_factory.mktemp("results")
    words = ["--quick", "--sizes", "1Ki", "5001", "--p", "0.1", "0.5", "--seconds", "0.001"]
    _script("bench_dropout.py", *words, "--output-dir", str(folder))
    return folder


def test_a_tiny_run_checks_and_times_every_contestant(tiny_run: Path) -> None:
    content = compare.load(tiny_run / "dropout.json")
    results = content["results"]
    dtypes = {result["dtype"] for result in results}
    assert dtypes == set(contestants.ALL_DTYPES) - content["absent"].keys()
    for dtype in dtypes:
        measured = {(r["contestant"], r["elements"], r["p"]) for r in results if r["dtype"] == dtype}
        for name in ("NumPy naive", "NumPy bytes", contestants.LIMIT, *(f"simdrop {isa}" for isa in isas())):
            assert {(name, size, p) for size in (1024, 5001) for p in (0.1, 0.5)} <= measured
    assert {result["contestant"] for result in results} == content["contestants"].keys()


def test_a_run_leaves_a_result_and_a_picture_for_each_type(tiny_run: Path) -> None:
    dtypes = dict.fromkeys(result["dtype"] for result in compare.load(tiny_run / "dropout.json")["results"])
    assert {path.name for path in tiny_run.iterdir()} == {"dropout.json", *(f"dropout-{d}.png" for d in dtypes)}


def test_a_result_equals_itself(tiny_run: Path) -> None:
    path = str(tiny_run / "dropout.json")
    assert compare.main([path, path]) == 0


def test_a_wrong_answer_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_dropout, "gather", lambda threads: ([_constant(np.zeros_like)], {}))
    words = ["--quick", "--sizes", "1Ki", "--p", "0.5", "--dtype", "float32", "--output-dir", str(tmp_path / "out")]
    assert bench_dropout.main(words) == 1
    assert "wrong answer" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [["--sizes", "0"], ["--p", "0"], ["--p", "1"], ["--dtype", "int8"], ["--threads", "0"]], ids=" ".join
)
def test_bad_options_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        bench_dropout.main(words)
    assert stop.value.code == 2


def test_the_targets_can_be_measured(tmp_path: Path) -> None:
    _script("bench_limit.py", "--quick", "--seconds", "0.001", "--output-dir", str(tmp_path))
    content = compare.load(tmp_path / "limit.json")
    by_case = {result["case"]: result for result in content["results"]}
    assert {case.key for case in limit_cases.cases()} < by_case.keys()
    assert {"extra-memory/threads=1", "cost/p=0.1", "cost/p=0.5"} < by_case.keys()
    assert all("median" in result["measure"] or result["skipped"] for result in by_case.values())
    for case in ("level-2/p=0.5", "packed/p=0.5", "call/np.float32 factor", "scalar/p=0.1"):
        assert by_case[case]["measure"]["median"] > 0
        assert by_case[case]["reached"] is not None
    assert by_case["call/0-d array factor"]["reached"] is None
    assert by_case["memory/float32/p=0.1"]["reference"] == "np.multiply"
    assert {point["contestant"] for point in content["cost"]} == plot_limit.CURVES.keys()
    assert {point["threads"] for point in content["thread_scaling"]} >= {1, machine.usable_cpus()}
    assert {"limit-ratios.png", "limit-peers.png", "limit-cost.png"} <= {path.name for path in tmp_path.iterdir()}


def test_some_targets_are_chosen_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_limit.main(["--list", "--only", "level-2/p=0.5", "packed/p=0.5", " factor", "scalar/"]) == 0
    wanted = ["level-2/p=0.5", "packed/p=0.5", "call/np.float32 factor", "call/0-d array factor", "scalar/p=0.1"]
    assert capsys.readouterr().out.splitlines() == wanted


def test_targets_are_judged() -> None:
    one = timing.Spread(1.0, 0.9, 1.1, 3)
    assert report.result("a", one, target=2.0)["reached"] is True
    assert report.result("a", one, target=2.0, better="higher")["reached"] is False
    assert report.result("a", one)["reached"] is None
    assert report.result("a", None, target=2.0) == report.result("a", None, target=2.0) | {"reached": None}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        *((2.0, "s", "2 s"), (0.0301, "s", "30.1 ms"), (5e-6, "s", "5 us"), (2e-10, "s", "0.2 ns")),
        *((64.0, "bytes", "64 bytes"), (4096.0, "bytes", "4.0 KiB"), (1.234, "ratio", "1.23")),
        *((9.5, "G elements/s", "9.5 G/s"), (0.5, "percent", "0.5 %"), (2.0, "standard errors", "2 standard errors")),
    ],
)
def test_values_have_units(value: float, unit: str, text: str) -> None:
    assert report.value_name(value, unit) == text


def test_every_contestant_has_a_look_of_its_own() -> None:
    names = {"in-place scaling", "Python loop", "NumPy naive", "NumPy float32", "NumPy bytes", "NumPy bytes, blocked"}
    names |= {"Numba splitmix64", "Numba murmur32", "PyTorch", "JAX", *(f"simdrop {isa}" for isa in isas())}
    assert names <= plots.CONTESTANTS.keys()
    looks = {(name, str(look)) for name, look in plots.CONTESTANTS.values()}
    assert len(looks) == len(plots.CONTESTANTS)


@pytest.mark.parametrize("name", redraw.PLOTS)
def test_pictures_are_drawn_from_the_committed_results(name: str, tmp_path: Path) -> None:
    path = BENCH / "results" / f"{name}.json"
    if not path.is_file():
        pytest.skip("the results are not part of this installation")
    written = redraw.PLOTS[name](json.loads(path.read_text()), tmp_path)
    assert len(written) == {"dropout": 4, "limit": 4, "torch": 2}.get(name, 1)
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in written)


def test_bench_family_checks_every_answer(tmp_path: Path) -> None:
    _script("bench_family.py", "--quick", "--seconds", "0.001", "--no-torch", "--output-dir", str(tmp_path))
    content = json.loads((tmp_path / "family.json").read_text())
    assert content["kind"] == "family"
    names = {result["case"].split("/")[0] for result in content["results"]}
    assert {"dropout", "dropout2d", "bias_dropout_add", "alpha_dropout", "zoneout"} <= names
    assert all(result["measure"]["median"] > 0 for result in content["results"])


def test_windows_are_measured_and_drawn(tmp_path: Path) -> None:
    _script("bench_windows.py", "--quick", "--seconds", "0.001", "--output-dir", str(tmp_path))
    content = json.loads((tmp_path / "windows.json").read_text())
    assert {r["p"] for r in content["results"]} == {0.1, 0.5}
    assert any(r["window"] == "rows of 64" for r in content["results"])
    assert (tmp_path / "windows.png").stat().st_size > 10_000


def test_views_are_measured_and_drawn(tmp_path: Path) -> None:
    _script("bench_views.py", "--quick", "--seconds", "0.001", "--output-dir", str(tmp_path))
    content = json.loads((tmp_path / "views.json").read_text())
    assert all(r["measure"]["median"] > 0 for r in content["results"])
    assert (tmp_path / "views.png").stat().st_size > 10_000


def test_threads_runs_at_a_tiny_size_and_writes_its_cases(tmp_path: Path) -> None:
    _script("bench_threads.py", "--quick", "--output-dir", str(tmp_path))
    content = json.loads((tmp_path / "threads.json").read_text())
    assert content["kind"] == "threads"
    assert any("spinning" in name for name in content["cases"])
    for case in content["cases"].values():
        assert 0 < case["default"]["median"] <= case["default"]["p99"]


def test_some_cases_again_keep_the_others() -> None:
    def content(model: str, results: dict[str, float], **more: Any) -> dict[str, Any]:
        found = [report.result(case, timing.spread([value])) for case, value in results.items()]
        return {"machine": {"cpu_model": model}, "options": {"seconds": len(found)}, **more, "results": found}

    before = content("26/2/1", {"a": 1.0, "b": 2.0}, cost=[1])
    merged = report.with_those_kept(before, content("26/2/1", {"c": 5.0, "b": 3.0}, cost=[]))
    medians = {r["case"]: r["measure"]["median"] for r in merged["results"]}
    assert medians == {"a": 1.0, "b": 3.0, "c": 5.0}
    assert list(medians) == ["a", "b", "c"]
    assert merged["cost"] == [1]
    with pytest.raises(SystemExit, match="another machine"):
        report.with_those_kept(before, content("25/17/1", {"b": 3.0}))
