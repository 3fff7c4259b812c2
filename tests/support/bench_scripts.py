"""Benchmarks as scripts that a test runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import ROOT


def bench_script(name: str, *packages: str) -> Path:
    """Return where a benchmark lies; skip the test module if it, or a package that it needs, is not there."""
    for package in packages:
        pytest.importorskip(package)
    script = ROOT / "bench" / name
    if not script.is_file():
        pytest.skip("the benchmarks are not part of this installation", allow_module_level=True)
    return script
