"""Fixtures of all test files: every kernel test runs on every instruction set and proves which one ran."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import simdrop
from hypothesis import HealthCheck, settings

# The same examples in every run; the time is bounded by their number, not by a clock.
settings.register_profile(
    "fixed",
    derandomize=True,
    deadline=None,
    max_examples=60,
    database=None,
    # ``isa`` is set once per test and holds for all its examples.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("fixed")


@pytest.fixture(params=simdrop.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine, forced for the length of one test."""
    name: str = request.param
    before = simdrop.active_isa()
    simdrop.use_isa(name)
    assert simdrop.active_isa() == name
    yield name
    assert simdrop.active_isa() == name, "the test itself changed the instruction set"
    simdrop.use_isa(before)
    assert simdrop.active_isa() == before
