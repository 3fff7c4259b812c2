"""``simdrop apply``: right results for every kind of file, one clear line for every kind of bad input."""

from __future__ import annotations

import math
import os
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simdrop
from numpy.lib import format as npy_format
from simdrop._cli import apply, main

Array = np.ndarray[Any, np.dtype[Any]]
NUMBERS = ["--p", "0.3", "--seed", "7"]
SHAPES = [(), (1,), (0,), (3, 0, 2), (1000,), (40, 25), (7, 11, 13), (5, 1, 3, 1, 67)]


def sample(shape: tuple[int, ...], dtype: str = "float32", order: Any = "C") -> Array:
    """Numbers without a zero, so that a dropped element shows."""
    values = np.random.default_rng(3).uniform(1, 2, shape)
    return np.asarray(values, dtype, order=order)


def expected(x: Array, p: float = 0.3, *, seed: int = 7, stream: int = 0, offset: int = 0, **options: Any) -> Array:
    mask = simdrop.Mask(x.shape, p, seed=seed, stream=stream, offset=offset)
    result: Array = mask.apply(np.array(x, order="C"), **options)
    return result


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("small_pieces", [True, False])
@pytest.mark.parametrize("in_place", [True, False])
def test_result_is_that_of_the_mask(
    dtype: str,
    shape: tuple[int, ...],
    order: str,
    small_pieces: bool,
    in_place: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if small_pieces:
        monkeypatch.setattr(apply, "CHUNK_BYTES", 56)  # divides no power of two
        monkeypatch.setattr(apply, "FORTRAN_CHUNK_BYTES", 360)
    x = sample(shape, dtype, order)
    source, target = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(source, x)
    before = source.read_bytes()
    assert main(["apply", str(source), *NUMBERS, *(["--in-place"] if in_place else ["--out", str(target)])]) == 0
    written = source if in_place else target
    assert in_place or source.read_bytes() == before
    result = np.load(written)
    assert result.dtype == x.dtype
    assert result.flags.f_contiguous == x.flags.f_contiguous
    assert result.tobytes() == expected(x).tobytes()
    start = len(before) - x.nbytes
    assert written.read_bytes()[:start] == before[:start], "the header changed"
    assert sorted(path.name for path in tmp_path.iterdir()) == (["x.npy"] if in_place else ["x.npy", "y.npy"])


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--stream", "5"], {"stream": 5}),
        (["--offset", "1000003"], {"offset": 1000003}),
        (
            ["--stream", "0xffffffffffffffff", "--offset", "288230376151710744"],
            {"stream": 2**64 - 1, "offset": 2**58 - 1000},
        ),
        (["--scaling", "classic"], {"scaling": "classic"}),
        (["--scaling", "inverted", "--threads", "1"], {}),
        (["--threads", "2"], {}),
    ],
)
def test_options_reach_the_mask(arguments: list[str], options: dict[str, Any], tmp_path: Path) -> None:
    x = sample((1000,))
    np.save(tmp_path / "x.npy", x)
    assert main(["apply", str(tmp_path / "x.npy"), *NUMBERS, *arguments]) == 0
    assert np.load(tmp_path / "x.dropped.npy").tobytes() == expected(x, **options).tobytes()


@pytest.mark.parametrize("p", ["0", "1", "0.5"])
@pytest.mark.parametrize("seed", ["0", "18446744073709551615", "0x2a", "007"])
def test_numbers_at_their_ends(p: str, seed: str, tmp_path: Path) -> None:
    x = sample((100,))
    np.save(tmp_path / "x.npy", x)
    assert main(["apply", str(tmp_path / "x.npy"), "--p", p, "--seed", seed]) == 0
    number = int(seed, 16) if "x" in seed else int(seed)
    assert np.load(tmp_path / "x.dropped.npy").tobytes() == expected(x, float(p), seed=number).tobytes()


def test_the_report_says_what_was_written_and_with_which_mask(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", sample((30, 40)))
    command = [sys.executable, "-m", "simdrop", "apply", "x.npy", *NUMBERS, "--stream", "2"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    first, second = result.stdout.splitlines()
    assert first.startswith("wrote x.dropped.npy: float32 (30, 40), 4.7 KiB in ")
    assert second == f"mask: {simdrop.Mask((30, 40), 0.3, seed=7, stream=2)!r}, inverted scaling"
    assert result.stderr == ""


@pytest.mark.parametrize(("name", "default"), [("a.npy", "a.dropped.npy"), ("a.data", "a.data.dropped.npy")])
def test_default_name_is_beside_the_input(
    name: str, default: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    with open(tmp_path / "folder" / name, "wb") as file:
        np.save(file, sample((10,)))
    monkeypatch.chdir(tmp_path)
    assert main(["apply", f"folder/{name}", *NUMBERS]) == 0
    assert (tmp_path / "folder" / default).exists()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("padding", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_every_version_of_the_format_and_data_off_its_alignment(
    version: tuple[int, int], padding: int, dtype: str, tmp_path: Path
) -> None:
    x = sample((1001,), dtype)
    literal = repr({"descr": x.dtype.str, "fortran_order": False, "shape": x.shape}).encode() + b" " * padding + b"\n"
    length = len(literal).to_bytes(2 if version == (1, 0) else 4, "little")
    tail = b"bytes behind the data, which NumPy ignores"
    content = npy_format.magic(*version) + length + literal + x.tobytes() + tail
    source = tmp_path / "x.npy"
    source.write_bytes(content)
    assert main(["apply", str(source), *NUMBERS]) == 0
    assert np.load(tmp_path / "x.dropped.npy").tobytes() == expected(x).tobytes()
    assert main(["apply", str(source), *NUMBERS, "--in-place"]) == 0
    assert np.load(source).tobytes() == expected(x).tobytes()
    assert source.read_bytes().endswith(tail)


def test_a_file_needs_little_memory(tmp_path: Path) -> None:
    source = tmp_path / "x.npy"
    elements = 12 << 20
    np.lib.format.open_memmap(source, "w+", np.dtype("float32"), (elements,)).flush()
    tracemalloc.start()
    try:
        assert main(["apply", str(source), *NUMBERS]) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < apply.CHUNK_BYTES + (4 << 20) < elements * 4 / 3


@pytest.mark.parametrize("shape", [(1,), (100,), (3, 1), (3, 50), (50, 3), (4, 5, 6), (2, 1, 30, 2)])
@pytest.mark.parametrize("limit", [1, 2, 7, 30, 1000])
def test_blocks_cover_an_array_in_c_order(shape: tuple[int, ...], limit: int) -> None:
    indices = np.arange(math.prod(shape)).reshape(shape)
    parts = [indices[index].ravel() for index in apply.blocks(shape, limit)]
    assert np.array_equal(np.concatenate(parts), indices.ravel())
    assert all(0 < part.size <= limit for part in parts)


def test_existing_output_is_kept_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = sample((10,))
    np.save(tmp_path / "x.npy", x)
    target = tmp_path / "y.npy"
    target.write_bytes(b"precious")
    target.chmod(0o640)
    command = ["apply", str(tmp_path / "x.npy"), *NUMBERS, "--out", str(target)]
    assert main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert target.read_bytes() == b"precious"
    assert main([*command, "--force"]) == 0
    assert np.load(target).tobytes() == expected(x).tobytes()
    if os.name == "posix":
        assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="links need POSIX")
def test_output_goes_through_a_link(tmp_path: Path) -> None:
    x = sample((10,))
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.npy").symlink_to("folder/real.npy")
    command = ["apply", str(tmp_path / "x.npy"), *NUMBERS, "--out", str(tmp_path / "link.npy")]
    for options in ([], ["--force"]):
        assert main([*command, *options]) == 0
        assert (tmp_path / "link.npy").is_symlink()
        assert np.load(tmp_path / "folder" / "real.npy").tobytes() == expected(x).tobytes()


@pytest.mark.parametrize("alias", ["same", "symlink", "hardlink", "dotted"])
def test_output_equal_to_input_is_refused(alias: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "x.npy"
    np.save(source, sample((10,)))
    before = source.read_bytes()
    other = {"same": source, "dotted": tmp_path / "." / "x.npy"}.get(alias, tmp_path / "other.npy")
    if alias == "symlink":
        other.symlink_to(source)
    if alias == "hardlink":
        other.hardlink_to(source)
    assert main(["apply", str(source), *NUMBERS, "--out", str(other), "--force"]) == 2
    assert "ask for --in-place" in capsys.readouterr().err
    assert source.read_bytes() == before
