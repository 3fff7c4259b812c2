"""The examples run at a reduced size, write their pictures and print their numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

EXAMPLES = ROOT / "examples"
if not (EXAMPLES / "network.py").is_file():
    pytest.skip("the examples are not part of this installation", allow_module_level=True)
for name in ("sklearn", "matplotlib", "tqdm"):
    pytest.importorskip(name, reason="the examples need it")


@pytest.mark.parametrize(
    ("script", "prints"),
    [
        ("overfitting.py", "gap"),
        ("which_p.py", "without dropout"),
        ("uncertainty.py", "degrees: accuracy"),
        ("depth_and_attention.py", "stochastic depth"),
    ],
)
def test_example(script: str, prints: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), "--quick", "--output", str(picture)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert prints in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_quick_run_leaves_the_pictures_of_the_documentation_alone(tmp_path: Path) -> None:
    pictures = EXAMPLES.parent / "docs" / "pictures"
    before = {path.name: path.read_bytes() for path in pictures.glob("*.png")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "overfitting.py"), "--quick"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "overfitting.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name: path.read_bytes() for path in pictures.glob("*.png")} == before
