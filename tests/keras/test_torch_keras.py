"""The Keras example runs, and proves that the kernel it used was ours."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

# not imported here: without KERAS_BACKEND, Keras would look for TensorFlow
missing = [name for name in ("torch", "keras", "sklearn") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")

EXAMPLE = ROOT / "examples" / "keras_digits.py"


def test_keras_is_served_by_the_kernel(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, EXAMPLE, "--epochs", "3"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert "called simdrop's kernel 258 times" in result.stdout
    assert "bit for bit" in result.stdout
    accuracy = float(result.stdout.rsplit(" ", 1)[1].strip("%\n"))
    assert accuracy > 80
