"""``simdrop apply`` on files it does not take: one line that names the file, exit code 2, nothing written."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.lib import format as npy_format
from simdrop._cli import main

NUMBERS = ["--p", "0.3", "--seed", "7"]


def saved(x: Any, tmp_path: Path) -> bytes:
    """The bytes that ``numpy.save`` writes."""
    np.save(tmp_path / "made.npy", x)
    content = (tmp_path / "made.npy").read_bytes()
    (tmp_path / "made.npy").unlink()
    return content


def with_header(literal: str, data: bytes = b"") -> bytes:
    """An ``.npy`` file with any text for a header."""
    return npy_format.magic(1, 0) + struct.pack("<H", len(literal)) + literal.encode() + data


BAD_FILES: dict[str, tuple[Any, str]] = {
    "empty": (b"", "is empty, not an .npy file"),
    "text": (b"1.0, 2.0, 3.0\n" * 100, "not an .npy file"),
    "short text": (b"hi", "not an .npy file"),
    "archive": (b"PK\x03\x04" + bytes(100), "looks like an .npz archive"),
    "magic only": (b"\x93NUMPY", "ends inside the .npy header"),
    "no header length": (b"\x93NUMPY\x01\x00v", "ends inside the .npy header"),
    "half a header": (b"\x93NUMPY\x01\x00v\x00{'descr'", "ends inside the .npy header"),
    "unknown version": (b"\x93NUMPY\x09\x01v\x00{'descr'", "version 9.1 is unknown"),
    "huge header": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{", "ends inside the .npy header"),
    "no dictionary": (with_header("[1, 2]"), "damaged .npy header"),
    "no literal": (with_header("__import__('os').abort()"), "damaged .npy header"),
    "unclosed": (with_header("{'descr': '<f4', "), "damaged .npy header"),
    "nested": (with_header("(" * 9000), "damaged .npy header"),
    "long": (with_header(" " * 20000 + "{}"), "damaged .npy header"),
    "wrong keys": (with_header("{'a': 1}"), "damaged .npy header"),
    "no dtype": (with_header("{'descr': 'f999', 'fortran_order': False, 'shape': (3,)}"), "damaged .npy header"),
    "odd dtype": (with_header("{'descr': [()], 'fortran_order': False, 'shape': (3,)}"), "damaged .npy header"),
    "length that is a bool": (
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}", bytes(4)),
        "or a bool",
    ),
    "65 dimensions": (
        with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {(1,) * 65}}}", bytes(4)),
        "shape of 65 dimensions",
    ),
    "huge and empty": (
        with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**62}, {2**62}, 0)}}"),
        "shape of 3 dimensions",
    ),
    "negative": (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -3)}"), "has a negative length"),
    "enormous": (
        with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**62}, {2**62})}}", bytes(64)),
        "truncated",
    ),
    "objects": (np.array([1, "two"], object), "holds pickled Python objects"),
    "structured": (np.zeros(3, [("a", "f4"), ("b", "f8")]), "holds a structured dtype with fields a, b"),
    "objects inside": (np.zeros(3, [("a", "f4"), ("b", "O")]), "holds pickled Python objects"),
    "subarray": (
        with_header("{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        "is not supported",
    ),
    "int64": (np.arange(5), "dtype int64 is not supported; accepted are float16, float32, float64"),
    "bool": (np.ones(5, bool), "dtype bool is not supported"),
    "complex": (np.ones(5, complex), "dtype complex128 is not supported"),
    "text array": (np.array(["a", "b"]), "is not supported"),
    "dates": (np.zeros(3, "M8[s]"), "is not supported"),
    "big-endian": (np.ones(5, ">f4"), "has swapped bytes"),
    "bfloat16": (np.ones(5, ml_dtypes.bfloat16), "NumPy saves bfloat16 that way"),
    "raw bytes": (np.zeros(5, "V3"), "is not supported"),
}


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_file(kind: str, in_place: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, message = BAD_FILES[kind]
    content = made if isinstance(made, bytes) else saved(made, tmp_path)
    source = tmp_path / "bad.npy"
    source.write_bytes(content)
    assert main(["apply", str(source), *NUMBERS, *(["--in-place"] if in_place else [])]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"simdrop: error: {source}: ")
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert source.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npy"]


@pytest.mark.parametrize("order", ["C", "F"])
def test_every_truncation_of_a_file(order: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = saved(np.ones((3, 4), np.float32, order=order), tmp_path)
    source = tmp_path / "short.npy"
    for length in range(len(content)):
        source.write_bytes(content[:length])
        assert main(["apply", str(source), *NUMBERS]) == 2, length
        shown = capsys.readouterr().err
        assert "truncated" in shown or "not an .npy file" in shown, (length, shown)
    assert [path.name for path in tmp_path.iterdir()] == ["short.npy"]


def test_every_damaged_byte_of_a_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a byte becomes, the answer is a result or one line, never a traceback."""
    content = saved(np.ones((3, 4), np.float32), tmp_path)
    source, target = tmp_path / "x.npy", tmp_path / "y.npy"
    random = np.random.default_rng(11)
    for _ in range(500):
        damaged = bytearray(content)
        for place in random.integers(0, len(content) - 48, random.integers(1, 4)):
            damaged[place] = random.integers(0, 256)
        source.write_bytes(damaged)
        code = main(["apply", str(source), *NUMBERS, "--out", str(target), "--force"])
        shown = capsys.readouterr().err
        assert code in (0, 2)
        assert code == 0 or (shown.startswith("simdrop: error: ") and shown.count("\n") == 1), shown
        assert source.read_bytes() == damaged


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--p", "1.5", "--seed", "1"], ["p", "1.5"]),
        (["--p", "-0.1", "--seed", "1"], ["p", "-0.1"]),
        (["--p", "nan", "--seed", "1"], ["p", "nan"]),
        (["--p", "0.5", "--seed", "-1"], ["seed", "-1"]),
        (["--p", "0.5", "--seed", "18446744073709551616"], ["seed"]),
        (["--p", "0.5", "--seed", "1", "--stream", "18446744073709551616"], ["stream"]),
        (["--p", "0.5", "--seed", "1", "--offset", "-1"], ["offset"]),
        (["--p", "0.5", "--seed", "1", "--offset", "288230376151711743"], ["offset"]),
        (["--p", "0.5", "--seed", "1", "--threads", "0"], ["threads", "0"]),
        (["--p", "0.5", "--seed", "1", "--threads", "-3"], ["threads", "-3"]),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_bad_numbers(
    arguments: list[str], words: list[str], in_place: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "x.npy"
    np.save(source, np.ones(10, np.float32))
    before = source.read_bytes()
    assert main(["apply", str(source), *arguments, *(["--in-place"] if in_place else [])]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("simdrop: error: ")
    assert shown.count("\n") == 1
    for word in words:
        assert word in shown
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_bad_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "x.npy"
    np.save(source, np.ones(10, np.float32))
    (tmp_path / "folder").mkdir()
    pairs = [
        ("none.npy", "y.npy", "none.npy: no such file"),
        ("folder", "y.npy", "folder: is not a regular file"),
        ("x.npy", "none/y.npy", "there is no folder"),
        ("x.npy", "folder", "folder: is not a regular file"),
        ("x.npy", "x.npy/y.npy", "there is no folder"),
        ("x.npy", "n" * 300 + ".npy", "File name too long"),
    ]
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        pairs += [("pipe", "y.npy", "pipe: is not a regular file"), ("x.npy", "pipe", "pipe: is not a regular file")]
        (tmp_path / "loop").symlink_to("loop")
        pairs += [("loop", "y.npy", "symbolic links")]
    before = sorted(path.name for path in tmp_path.iterdir())
    for name, target, message in pairs:
        assert main(["apply", str(tmp_path / name), *NUMBERS, "--out", str(tmp_path / target), "--force"]) in (1, 2)
        shown = capsys.readouterr().err
        assert message in shown
        assert shown.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", [".", "/", ""])
def test_a_folder_without_a_name_is_no_input(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", name, *NUMBERS]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("simdrop: error: ")
    assert shown.count("\n") == 1


def test_the_user_sees_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "bad.npy").write_bytes(b"nonsense")
    command = [sys.executable, "-m", "simdrop", "apply", "bad.npy", *NUMBERS]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr == "simdrop: error: bad.npy: not an .npy file\n"
    assert result.stdout == ""
