"""The command line: its arguments, ``info``, ``demo``, and the progress display."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simdrop
from simdrop._cli import demo, info, main
from simdrop._cli._demo_contest import Contestant, check, contestants
from simdrop._cli._errors import CommandError, human_size
from simdrop._cli._progress import progress

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEMO_EXTRA = ("sklearn", "matplotlib", "rich", "tqdm")
needs_demo_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(module) is None for module in DEMO_EXTRA), reason="the demo extra is not installed"
)
# Makes the modules of the demo extra look missing, in this process and in the program that follows.
WITHOUT_EXTRA = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {DEMO_EXTRA!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {DEMO_EXTRA!r} else find_spec(name)
from simdrop._cli import main
sys.exit(main(sys.argv[1:]))
"""


def simdrop_command(*arguments: str, cwd: Path, program: tuple[str, ...] = ("-m", "simdrop")) -> Any:
    """Run the command line in a new process, as a user does."""
    return subprocess.run(
        [sys.executable, *program, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def test_info_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = {line[:16].strip(): line[16:].strip() for line in lines}
    assert shown["simdrop"] == simdrop.__version__
    assert shown["CPU"] == info.cpu_name() != ""
    assert shown["instruction set"].startswith(simdrop.active_isa())
    for name in simdrop.available_isas():
        assert name in shown["instruction set"]
    assert shown["threads"] == str(simdrop.get_num_threads())
    assert shown["mask format"] == "1"
    assert shown["NumPy"] == np.__version__


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full is how Linux lets one try")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_takes(unbuffered: str) -> None:
    command = [sys.executable, "-m", "simdrop", "info"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w", encoding="utf-8") as full:
        full_up = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, check=False)
    assert full_up.returncode == 1
    assert full_up.stderr.startswith("simdrop: error: standard output: ")
    assert full_up.stderr.count("\n") == 1
    reader, writer = os.pipe()
    os.close(reader)  # as `head` does when it has seen enough
    closed = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment, text=True, check=False)
    os.close(writer)
    assert (closed.returncode, closed.stderr) == (0, "")


def test_an_error_is_told_though_nobody_reads_what_was_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: Any) -> None:
        print("something")
        raise CommandError("no luck")

    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(info, "run", fail)
    output = os.fdopen(writer, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", output)
    assert main(["info"]) == 2
    sys.stdout.close()
    with pytest.raises(BrokenPipeError):  # as before, and the interpreter would not end in silence
        output.close()
    assert capsys.readouterr().err == "simdrop: error: no luck\n"


def test_info_runs_as_a_module_and_says_what_was_forced(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "simdrop", "info"],
        cwd=tmp_path,
        env={**os.environ, "SIMDROP_ISA": "scalar"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "instruction set  scalar (available: " in result.stdout
    assert "forced by SIMDROP_ISA=scalar" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n\nprocessor\t: 1\nmodel name\t: Other\n", "Some CPU @ 3 GHz"),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "implementer 0x41, part 0xd0c"),
        ("nothing of use\n", ""),
    ],
)
def test_cpu_name_comes_from_cpuinfo(cpuinfo: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "read_text", lambda *args, **options: cpuinfo)
    assert name in info.cpu_name()
    assert info.cpu_name() != ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["info", "extra"], "unrecognized arguments: extra"),
        (["apply"], "required: IN.npy, --p, --seed"),
        (["apply", "x.npy", "--p", "0.5"], "required: --seed"),
        (["apply", "x.npy", "--p", "half", "--seed", "1"], "argument --p: invalid float value: 'half'"),
        (["apply", "x.npy", "--p", "0.5", "--seed", "1.5"], "argument --seed: invalid integer value: '1.5'"),
        (["apply", "x.npy", "--p", "0.5", "--seed", "1", "--scaling", "up"], "invalid choice: 'up'"),
        (["apply", "x.npy", "--p", "0.5", "--seed", "1", "--in-place", "--out", "y.npy"], "not allowed with"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("simdrop: error: ")
    assert message in shown
    assert shown.count("\n") == 1


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, text in ((["--version"], f"simdrop {simdrop.__version__}"), (["apply", "--help"], "--in-place")):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        assert text in capsys.readouterr().out


def test_help_warns_of_interrupted_runs_in_place_and_names_tqdm(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["apply", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "an interrupted run leaves a partly processed file" in shown
    assert "if tqdm is installed" in shown


@pytest.mark.parametrize("size", [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 << 40, "3.0 TiB")])
def test_sizes_are_readable(size: tuple[int, str]) -> None:
    assert human_size(size[0]) == size[1]


@needs_demo_extra
def test_demo_runs_and_saves_a_picture(tmp_path: Path) -> None:
    result = simdrop_command("demo", "--quick", "--output", "picture.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG_SIGNATURE)
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    for text in ("scikit-learn's digits", "buffer", "dropped", "inference", "backward", "naive", "simdrop, 1 thread"):
        assert text in result.stdout
    assert str(tmp_path / "picture.png") in result.stdout.replace("\n", "")
    assert "Meaning" in result.stdout
    assert "WRONG" not in result.stdout
    assert max(map(len, result.stdout.replace(str(tmp_path), "").splitlines())) <= 80, "wider than a terminal"


@needs_demo_extra
def test_demo_refuses_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--output", str(tmp_path / "no" / "picture.png")]) == 2
    assert "there is no folder" in capsys.readouterr().err


@needs_demo_extra
def test_demo_notices_a_wrong_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(simdrop, "dropout", lambda x, p, training: x + 1)
    images, labels = demo.load_digits()
    facts = {name: holds for name, (holds, _) in demo.prove(demo.dense_layer(images, 32), labels).items()}
    assert facts == {name: name != "inference" for name in facts}
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--quick"]) == 1


def test_demo_says_which_extra_is_missing(tmp_path: Path) -> None:
    result = simdrop_command("demo", cwd=tmp_path, program=("-c", WITHOUT_EXTRA))
    assert result.returncode == 2
    assert result.stderr.startswith(
        "simdrop: error: the demo needs scikit-learn, matplotlib, rich, tqdm, which are not"
    )
    assert '"simdrop[demo]"' in result.stderr
    assert result.stderr.count("\n") == 1


def test_info_and_apply_work_without_the_extra(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(1000, np.float32))
    for arguments in (["info"], ["apply", "x.npy", "--p", "0.5", "--seed", "1"]):
        result = simdrop_command(*arguments, cwd=tmp_path, program=("-c", WITHOUT_EXTRA))
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
    assert (tmp_path / "x.dropped.npy").exists()


DATA = np.random.default_rng(5).standard_normal(100_000, dtype=np.float32)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_every_contestant_of_the_demo_is_right(p: float) -> None:
    for contestant in contestants(python_limit=10_000):
        check(contestant, DATA, p)


@pytest.mark.parametrize(
    "wrong",
    [
        Contestant("forgets to scale", lambda x, p: simdrop.dropout_(x, p, rng=1, scaling="classic")),
        Contestant(
            "drops too little", lambda x, p: simdrop.dropout_(x, p * 0.9, rng=1) * np.float32((1 - p * 0.9) / (1 - p))
        ),
        Contestant("drops nothing", lambda x, p: x * np.float32(1 / (1 - p))),
    ],
    ids=lambda wrong: wrong.name,
)
def test_a_wrong_contestant_is_not_timed(wrong: Contestant) -> None:
    with pytest.raises(CommandError, match=wrong.name):
        check(wrong, DATA, 0.5)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_without_tqdm_is_a_plain_line(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)  # makes its import fail
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr("simdrop._cli._progress._SECONDS_BETWEEN_LINES", 0)
    with progress(4, "working", unit="step") as advance:
        advance(1)
        advance(2)
    shown = capsys.readouterr().err
    assert ("\rworking: 25 %" in shown) == terminal
    assert ("\rworking: 75 %" in shown) == terminal
    assert terminal or shown == ""
