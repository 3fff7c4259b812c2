"""Command line of simdrop: ``python -m simdrop`` and the ``simdrop`` script."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import simdrop
from simdrop._cli import apply, demo, info
from simdrop._cli._errors import INTERRUPTED, SYSTEM_FAILED, CommandError

__all__ = ["build_parser", "main"]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like every other error of this program."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"simdrop: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="simdrop",
        description="Dropout at memory speed for NumPy arrays.",
        epilog="Exit codes: 0 done, 1 the system failed (full disk, unreadable file), 2 bad argument or input file, "
        "130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"simdrop {simdrop.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # Each command is a module: its documentation, a line of help, its arguments, and what runs.
    for name, command in {"info": info, "demo": demo, "apply": apply}.items():
        part = commands.add_parser(
            name,
            help=command.HELP,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(part)
        part.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of this process by default.

    Returns
    -------
    int
        The exit code: 0 done, 1 the system failed, 2 bad argument or input, 130 interrupted.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name need not be valid text
    code = 0
    try:
        try:
            code = _run(argv)
        finally:
            sys.stdout.flush()  # here, where a failure can be told
    except BrokenPipeError:  # who reads has seen enough, as `head` has
        _write_no_more()
    except OSError as error:  # those of files are CommandErrors
        _write_no_more()
        print(f"simdrop: error: standard output: {error.strerror or error}", file=sys.stderr)
        return SYSTEM_FAILED
    return code


def _run(argv: Sequence[str] | None) -> int:
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
    except CommandError as error:
        print(f"simdrop: error: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt as stop:
        print(f"simdrop: {str(stop) or 'interrupted'}", file=sys.stderr)
        return getattr(stop, "code", INTERRUPTED)
    return 0


def _write_no_more() -> None:
    """Keep the interpreter from writing the rest of what was printed when it ends, which would fail once more."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
