"""Give bytes to the standard input of a program until it has read enough."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path


def feed(command: Sequence[str], pieces: Iterable[bytes], report: Path | None = None) -> tuple[int, str]:
    """Return the exit status and the output of a program that reads `pieces`, which may have no end.

    The output is in the file `report` as soon as it is written.
    """
    with report.open("w+b") if report else tempfile.TemporaryFile() as output:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output) as process:
            assert process.stdin is not None
            try:
                for piece in pieces:
                    process.stdin.write(piece)
            except BrokenPipeError:
                pass
        output.seek(0)
        return process.returncode, output.read().decode()
