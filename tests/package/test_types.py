"""The types that users see: mypy --strict and pyright on a short script of theirs, and on five mistakes."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# ``reveal_type`` lines end with what both checkers must say: "float32", "tuple", ... in any spelling of theirs.
SCRIPT = """\
import array

import numpy as np
import simdrop
from numpy.typing import NDArray
from simdrop import layers, schedules
from typing_extensions import assert_type

x: NDArray[np.float32] = np.ones((4, 8), np.float32)
wide = np.ones(8)
stream = simdrop.Stream(42)

reveal_type(simdrop.dropout(x, 0.5, rng=stream))  # float32 array
reveal_type(simdrop.dropout(wide, 0.5, rng=7))  # float64 array
reveal_type(simdrop.dropout(x, 0.5, rng=[1, 2], return_drawn=True))  # tuple of array and Drawn
reveal_type(simdrop.dropout_(x, 0.5))  # float32 array
reveal_type(simdrop.dropout_(array.array("f", [1.0]), 0.5))  # array.array
reveal_type(simdrop.Mask((4, 8), 0.5, seed=1).keep())  # bool array
reveal_type(simdrop.Mask((4, 8), 0.5, seed=1).apply(x))  # float32 array

assert_type(simdrop.dropout(x, 0.5, rng=stream), NDArray[np.float32])
assert_type(simdrop.dropout_(x, 0.5), NDArray[np.float32])
y, drawn = simdrop.dropout(x, 0.5, rng=stream, return_drawn=True)
assert_type(y, NDArray[np.float32])
assert_type(drawn, simdrop.AffineDrawn)

layer = layers.Dropout(schedules.Linear(0.1, 0.5, steps=100), rng=stream)
layers.Dropout(lambda step: 0.1)
layer.train()(x)
layer.backward(x)
assert_type(layer.current_p, float)
assert_type(simdrop.Mask(4, 0.5, seed=1)[1:3], simdrop.Mask)
"""

MISTAKES = """\
import numpy as np
import simdrop
from simdrop import layers, schedules

x = np.ones(8, np.float32)
simdrop.dropout(x, "0.5")  # p is a number
simdrop.dropout(x, 0.5, scaling="inverse")  # one of two words
simdrop.Mask(8, 0.5)  # the seed is missing
layers.Dropout2d(0.5, spatial=2)  # no such parameter
schedules.LateDropout(0.5, stop=10)  # no such parameter
"""
REVEALED = {
    "float32 array": r"ndarray\[.*(float32|floating\[.*_32Bit)",
    "float64 array": r"ndarray\[.*(float64|floating\[.*_64Bit)",
    "tuple of array and Drawn": r"tuple\[.*ndarray\[.*(float32|_32Bit).*, *\w*(\.\w+)*Drawn\]",
    "array.array": r"array(\.array)?\[float\]",
    "bool array": r"ndarray\[.*bool",
}


def mypy(file: Path) -> list[tuple[int, str]]:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "--cache-dir", str(file.parent / "cache"), file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = re.findall(r"^\S+?:(\d+): (\w+: .*)$", done.stdout, re.MULTILINE)
    assert found or done.returncode == 0, done.stdout + done.stderr
    return [(int(line), message) for line, message in found]


def pyright(file: Path) -> list[tuple[int, str]]:
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    if shutil.which("node") is None:
        pytest.skip("pyright needs Node.js, which is not installed")
    (file.parent / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    severity = {"information": "note"}
    return [
        (d["range"]["start"]["line"] + 1, f"{severity.get(d['severity'], d['severity'])}: {d['message']}")
        for d in json.loads(done.stdout)["generalDiagnostics"]
    ]


checkers = pytest.mark.parametrize("check", [mypy, pyright])


@checkers
def test_what_a_user_sees(check: object, tmp_path: Path) -> None:
    assert callable(check)
    file = tmp_path / "user.py"
    file.write_text(SCRIPT)
    found = check(file)
    assert not [message for message in found if not message[1].startswith("note: ")], found
    notes = dict(found)
    wanted = {n: line for n, line in enumerate(SCRIPT.splitlines(), 1) if line.startswith("reveal_type")}
    assert len(wanted) == 7
    for n, line in wanted.items():
        kind = line.partition("  # ")[2]
        assert re.search(REVEALED[kind], notes[n]), f"{line}: {notes[n]}"


@checkers
def test_mistakes_are_found(check: object, tmp_path: Path) -> None:
    assert callable(check)
    file = tmp_path / "mistakes.py"
    file.write_text(MISTAKES)
    errors = {n for n, message in check(file) if message.startswith("error: ")}
    assert errors == {n for n, line in enumerate(MISTAKES.splitlines(), 1) if "  # " in line}
    assert len(errors) == 5
