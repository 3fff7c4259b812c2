"""What ends a command early: bad input, a failing system, a signal."""

from __future__ import annotations

import contextlib
import errno
import signal
import threading
from collections.abc import Iterator
from types import FrameType

BAD_INPUT = 2
SYSTEM_FAILED = 1
INTERRUPTED = 130
_NO_ROOM = {getattr(errno, name) for name in ("ENOSPC", "EFBIG", "EDQUOT") if hasattr(errno, name)}


class CommandError(Exception):
    """An error that the user is told in one line, without a traceback."""

    def __init__(self, message: str, code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


class Terminated(KeyboardInterrupt):
    """Another process asked this one to stop; cleaned up after like a Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


def system_error(name: str, error: OSError, *, needed: int | None = None) -> CommandError:
    """Turn an error of the operating system into one line that names the file."""
    reason = error.strerror or str(error)
    if error.errno in _NO_ROOM and needed is not None:
        return CommandError(f"{name}: no room for its {human_size(needed)} ({reason})", SYSTEM_FAILED)
    return CommandError(f"{name}: {reason}", SYSTEM_FAILED)


def human_size(nbytes: int) -> str:
    """Return a size in the unit that keeps the number short: ``"3.4 MiB"``."""
    if nbytes < 1024:
        return f"{nbytes} bytes"
    power = min((nbytes.bit_length() - 1) // 10, 4)
    return f"{nbytes / 1024**power:.1f} {'KMGT'[power - 1]}iB"


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let a polite SIGTERM or SIGHUP run the cleanup that Ctrl-C runs, instead of dying on the spot.

    A handler that somebody else installed, and threads other than the main one, are left alone.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    here = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if here and hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, stop)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
