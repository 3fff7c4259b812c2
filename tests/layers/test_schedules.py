"""Schedules: values that print, compare and pickle, and errors that name their argument."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest
import simdrop
from helpers import refused
from places import DATA
from simdrop import layers, schedules

EACH = (
    schedules.Linear(0.5, 0.1, 4),
    schedules.EarlyDropout(0.2, 10),
    schedules.EarlyDropout(0.2, 10, decay=True),
    schedules.LateDropout(0.2, start=10),
)


def test_what_they_give() -> None:
    fall = schedules.Linear(0.4, 0.0, 10)
    assert [fall(s) for s in (0, 5, 10, 11)] == [0.4, 0.2, 0.0, 0.0]
    assert [schedules.EarlyDropout(0.2, 5)(s) for s in (4, 5)] == [0.2, 0.0]
    assert schedules.EarlyDropout(0.2, 4, decay=True)(2) == 0.1
    assert [schedules.LateDropout(0.2, 5)(s) for s in (4, 5)] == [0.0, 0.2]
    assert simdrop.linear_decay(0.2, 2) == [0.1, 0.2]
    assert simdrop.linear_decay(0.2, 0) == []


@pytest.mark.parametrize("schedule", EACH, ids=repr)
def test_they_are_values(schedule: Any) -> None:
    names = {name: getattr(schedules, name) for name in schedules.__all__}
    for other in (eval(repr(schedule), names), copy.deepcopy(schedule), dataclasses.replace(schedule)):
        assert other == schedule
        assert hash(other) == hash(schedule)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(schedule, protocol)) == schedule
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.p = 0.5
    assert len({*EACH}) == len(EACH)
    assert type(dataclasses.astuple(schedule)[0]) is float


@pytest.mark.parametrize("schedule", EACH, ids=repr)
def test_golden_pickles(schedule: Any) -> None:
    stored = json.loads((DATA / "pickles_v1.json").read_text())[repr(schedule)]
    assert pickle.loads(bytes.fromhex(stored)) == schedule
    assert f"csimdrop.schedules\n{type(schedule).__name__}\n".encode() in pickle.dumps(schedule, 2)


@pytest.mark.parametrize(
    ("call", "error", "argument"),
    [
        (lambda: schedules.Linear(-0.1, 0.5, 3), ValueError, "p_first"),
        (lambda: schedules.Linear(0.1, 1.5, 3), ValueError, "p_last"),
        (lambda: schedules.Linear(0.1, "0.5", 3), TypeError, "p_last"),  # type: ignore[arg-type]
        (lambda: schedules.Linear(0, 1, 0), ValueError, "steps"),
        (lambda: schedules.Linear(0, 1, 2.0), TypeError, "steps"),  # type: ignore[arg-type]
        (lambda: schedules.EarlyDropout(float("nan"), 3), ValueError, "p"),
        (lambda: schedules.EarlyDropout(0.5, -1), ValueError, "steps"),
        (lambda: schedules.LateDropout(0.5, 0), ValueError, "start"),
        (lambda: schedules.LateDropout(0.5, -2), ValueError, "start"),
        (lambda: simdrop.linear_decay(1.5, 3), ValueError, "p_last"),
        (lambda: simdrop.linear_decay(0.5, -1), ValueError, "layers"),
        (lambda: layers.Dropout(1.5), ValueError, "p"),
    ],
)
def test_errors(call: Any, error: type[Exception], argument: str) -> None:
    refused(call, error, argument)
    with pytest.raises(error, match=f"^{argument}: got .*; accepted: "):
        call()


def test_counts_start_at_one() -> None:
    refused(lambda: schedules.LateDropout(0.5, 0), ValueError, "start", "from 1 to")
    assert not hasattr(schedules, "constant"), "a number is the constant schedule"
