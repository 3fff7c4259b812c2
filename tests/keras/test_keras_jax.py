"""simdrop.keras where Keras is not on the backend of the other tests: a process can have but one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

missing = [name for name in ("jax", "keras") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")


def test_the_jax_backend() -> None:
    cases = Path(__file__).with_name("cases_on_jax.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(cases)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"KERAS_BACKEND": "jax"}
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_other_backends_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import simdrop.keras"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"KERAS_BACKEND": "numpy"},
    )
    assert done.returncode == 1
    assert 'ImportError: simdrop.keras: got the backend "numpy" of Keras; accepted: ' in done.stderr
