"""``simdrop apply`` when things go wrong under it: interrupts, SIGKILL at random moments, full disks, rivals.

The promise each time: the input is intact, nothing incomplete has the name of the output, nothing is left behind (a
killed process leaves its temporary, which the next run for the same output removes).

``SIMDROP_KILLS=200 python -m pytest tests/cli/test_apply_faults.py -k sigkill`` runs the long form of the kill test.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simdrop
from simdrop._cli import _output, apply, main

KILLS = int(os.environ.get("SIMDROP_KILLS", "20"))
NUMBERS = ["--p", "0.3", "--seed", "7"]
needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and limits")

Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(params=["C", "F"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is processed in many pieces, in either order."""
    monkeypatch.setattr(apply, "CHUNK_BYTES", 4096)
    monkeypatch.setattr(apply, "FORTRAN_CHUNK_BYTES", 4096)
    path = tmp_path / "x.npy"
    np.save(path, np.asarray(np.random.default_rng(1).uniform(1, 2, (100, 200)), np.float32, order=request.param))
    return path


def dropped(x: Array) -> Array:
    result: Array = simdrop.Mask(x.shape, 0.3, seed=7).apply(np.ascontiguousarray(x))
    return result


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def after_pieces(number: int, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something when this many pieces have been processed."""
    pieces = apply._pieces

    def counted(*arguments: Any) -> Any:
        for place, elements in enumerate(pieces(*arguments)):
            if place == number:
                action()
            yield elements

    monkeypatch.setattr(apply, "_pieces", counted)


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


def send_sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


STOPS = [
    pytest.param(press_ctrl_c, 130, "interrupted", id="ctrl-c"),
    pytest.param(send_sigterm, 143, "stopped by SIGTERM", id="sigterm", marks=needs_posix),
]


@pytest.mark.parametrize(("stop", "code", "message"), STOPS)
@pytest.mark.parametrize("existing", [False, True])
def test_stopped_run_leaves_nothing(
    source: Path,
    stop: Callable[[], None],
    code: int,
    message: str,
    existing: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = source.with_name("y.npy")
    if existing:
        target.write_bytes(b"the last result")
    before, names = source.read_bytes(), files(source.parent)
    after_pieces(3, stop, monkeypatch)
    assert main(["apply", str(source), *NUMBERS, "--out", str(target), "--force"]) == code
    assert capsys.readouterr().err == f"simdrop: {message}\n"
    assert source.read_bytes() == before
    assert files(source.parent) == names
    assert not existing or target.read_bytes() == b"the last result"
    assert not hasattr(signal, "SIGTERM") or signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(("stop", "code", "message"), STOPS)
def test_stopped_run_in_place_says_how_far_it_came(
    source: Path,
    stop: Callable[[], None],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    x = np.load(source)
    after_pieces(3, stop, monkeypatch)
    assert main(["apply", str(source), *NUMBERS, "--in-place"]) == code
    shown = capsys.readouterr().err
    assert shown.startswith(f"simdrop: {message}; {source}: the file is partly processed: about ")
    done = int(shown.partition("about ")[2].partition(" of its 20000 elements")[0])
    result = np.load(source).ravel()
    piece = result.size - np.count_nonzero(result == x.ravel())  # at least the kept ones differ, being scaled
    assert 0 < done <= piece
    assert np.array_equal(result[:done], dropped(x).ravel()[:done])
    rest = done + 1024  # the piece at work when the signal came
    assert np.array_equal(result[rest:], x.ravel()[rest:])


def no_space(*arguments: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("moment", ["reserve", "sync", "rename"])
def test_full_disk_at_any_moment(
    source: Path, moment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names, before = files(source.parent), source.read_bytes()
    if moment == "reserve":
        monkeypatch.setattr(os, "posix_fallocate", no_space, raising=False)
    elif moment == "sync":
        monkeypatch.setattr(os, "fsync", no_space)
    else:
        monkeypatch.setattr(os, "link", no_space)
        monkeypatch.setattr(os, "replace", no_space)
    target = source.with_name("y.npy")
    assert main(["apply", str(source), *NUMBERS, "--out", str(target)]) == 1
    shown = capsys.readouterr().err
    assert shown == f"simdrop: error: {target}: no room for its 78.2 KiB (No space left on device)\n"
    assert files(source.parent) == names
    assert source.read_bytes() == before


def test_full_disk_under_a_sparse_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "sparse.npy"
    np.lib.format.open_memmap(source, "w+", np.dtype("float32"), (4 << 20,)).flush()
    if getattr(source.stat(), "st_blocks", 1 << 60) * 512 >= source.stat().st_size:
        pytest.skip("this file system has no sparse files")
    monkeypatch.setattr(apply, "reserve", no_space)
    assert main(["apply", str(source), *NUMBERS, "--in-place"]) == 1
    assert capsys.readouterr().err.startswith(f"simdrop: error: {source}: no room for its 16.0 MiB")
    assert not np.load(source, mmap_mode="r").any()


def limited_run(source: Path, limit: int, *, can_reserve: bool) -> Any:
    """Run the command where no file may grow beyond ``limit`` bytes."""
    program = (
        "import os, resource, sys; from simdrop._cli import main; "
        + ("" if can_reserve else "del os.posix_fallocate; ")
        + f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "apply", source.name, *NUMBERS, "--out", "y.npy"],
        cwd=source.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_posix
@pytest.mark.parametrize("can_reserve", [True, False], ids=["reserve", "fill"])
def test_file_that_cannot_grow(source: Path, can_reserve: bool) -> None:
    names, before = files(source.parent), source.read_bytes()
    result = limited_run(source, 50_000, can_reserve=can_reserve)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == f"simdrop: error: {source.parent / 'y.npy'}: no room for its 78.2 KiB (File too large)\n"
    assert files(source.parent) == names
    assert source.read_bytes() == before
    assert limited_run(source, 100_000, can_reserve=can_reserve).returncode == 0
    assert np.array_equal(np.load(source.with_name("y.npy")), dropped(np.load(source)))


@needs_posix
def test_disk_that_is_really_full(source: Path) -> None:
    """A file system of 64 KiB in a name space of its own, where the system lets a user make one."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare program")
    small = source.parent / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=64k none small && shift && "$@"; code=$?; ls -A small >&3; exit $code'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"{{ {script}; }} 3>left", "sh"]
    if subprocess.run([*command, "-", "true"], cwd=source.parent, capture_output=True, check=False).returncode != 0:
        pytest.skip("this system does not let a user mount a tmpfs")
    work = [sys.executable, "-m", "simdrop", "apply", source.name, *NUMBERS, "--out", "small/y.npy"]
    result = subprocess.run([*command, "-", *work], cwd=source.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    assert result.stderr.endswith("small/y.npy: no room for its 78.2 KiB (No space left on device)\n")
    assert (source.parent / "left").read_text() == "", "something stayed on the full disk"


def test_file_system_without_links_or_reservation(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported here")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    assert main(["apply", str(source), *NUMBERS]) == 0
    assert np.array_equal(np.load(source.with_name("x.dropped.npy")), dropped(np.load(source)))
    assert files(source.parent) == ["x.dropped.npy", "x.npy"]


@pytest.mark.parametrize("links", [True, False])
def test_output_that_appears_meanwhile_is_kept(
    source: Path, links: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = source.with_name("y.npy")

    def appear() -> None:
        target.write_bytes(b"a rival's")

    after_pieces(2, appear, monkeypatch)
    if not links:
        monkeypatch.setattr(os, "link", no_space)
    assert main(["apply", str(source), *NUMBERS, "--out", str(target)]) == 2
    assert "appeared while this command ran, and was kept" in capsys.readouterr().err
    assert target.read_bytes() == b"a rival's"
    assert files(source.parent) == ["x.npy", "y.npy"]


def test_left_overs_of_killed_runs_are_removed_but_nothing_else(source: Path) -> None:
    others = [".z.npy.simdrop-0123abcd.tmp", ".y.npy.simdrop-0123abcd.txt", "y.npy.simdrop-0123abcd.tmp"]
    for name in (".y.npy.simdrop-0123abcd.tmp", ".y.npy.simdrop-ffffffff.tmp", *others):
        source.with_name(name).write_bytes(b"left over")
    assert main(["apply", str(source), *NUMBERS, "--out", str(source.with_name("y.npy"))]) == 0
    assert files(source.parent) == sorted([*others, "x.npy", "y.npy"])


@needs_posix
def test_temporary_of_a_run_at_work_is_not_removed(source: Path) -> None:
    target = source.with_name("y.npy")
    with _output.new_file(target, 10, overwrite=True) as slow:
        slow.write(b"0123456789")
        assert main(["apply", str(source), *NUMBERS, "--out", str(target)]) == 0
        assert len(files(source.parent)) == 3
    assert target.read_bytes() == b"0123456789"
    assert files(source.parent) == ["x.npy", "y.npy"]


def test_long_names_have_room_for_the_temporary(source: Path) -> None:
    target = source.with_name("\N{GREEK SMALL LETTER ALPHA}" * 120 + ".npy")  # 244 bytes of the 255 there are
    assert main(["apply", str(source), *NUMBERS, "--out", str(target)]) == 0
    assert target.exists()


@needs_posix
@pytest.mark.parametrize("order", ["C", "F"])
def test_sigkill_at_a_random_moment(order: Any, tmp_path: Path) -> None:
    x = np.asarray(np.random.default_rng(2).uniform(1, 2, (3000, 2000)), np.float32, order=order)
    source, target = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(source, x)
    wanted = hashlib.sha256(dropped(x).tobytes()).digest()
    untouched = hashlib.sha256(source.read_bytes()).digest()
    command = [sys.executable, "-m", "simdrop", "apply", str(source), *NUMBERS, "--out", str(target)]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.perf_counter() - started
    target.unlink()
    moments = random.Random(5)
    seen = {"before": 0, "during": 0, "after": 0}
    for number in range(KILLS // 2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        known = set(tmp_path.glob(".y.npy.simdrop-*.tmp"))
        if number % 4:  # most kills aim at the time when there is a temporary
            while process.poll() is None and set(tmp_path.glob(".y.npy.simdrop-*.tmp")) <= known:
                time.sleep(0.0002)
            time.sleep(moments.uniform(0, 0.3 * whole))
        else:
            time.sleep(moments.uniform(0, 1.1 * whole))
        process.kill()
        process.wait()
        assert hashlib.sha256(source.read_bytes()).digest() == untouched
        temporaries = set(tmp_path.glob(".y.npy.simdrop-*.tmp"))
        if target.exists():
            assert hashlib.sha256(np.load(target).tobytes()).digest() == wanted
            target.unlink()
            seen["after"] += 1
        else:
            seen["during" if temporaries - known else "before"] += 1
        assert len(temporaries) <= 1, "the run did not remove what the one before it left"
    print(f"{order}: {seen}")
    assert KILLS < 20 or seen["during"] > 0, "no kill hit the work itself"
    subprocess.run(command, check=True, capture_output=True)
    assert files(tmp_path) == ["x.npy", "y.npy"]
    assert hashlib.sha256(np.load(target).tobytes()).digest() == wanted
