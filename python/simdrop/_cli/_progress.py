"""A progress bar where tqdm is installed, a plain line where it is not, nothing where nobody looks."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_SECONDS_BETWEEN_LINES = 0.5


class _PlainLine:
    """As much of tqdm as is used here."""

    def __init__(self, *, total: int, desc: str, **others: Any) -> None:
        self.total, self.label, self.done, self.shown_at = max(total, 1), desc, 0, time.monotonic()
        self.visible = sys.stderr.isatty()

    def update(self, steps: int) -> None:
        self.done += steps
        if self.visible and time.monotonic() - self.shown_at >= _SECONDS_BETWEEN_LINES:
            self.shown_at = time.monotonic()
            print(f"\r{self.label}: {100 * self.done // self.total} %", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.visible:
            print("\r" + " " * (len(self.label) + 8) + "\r", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(total: int, label: str, *, unit: str, scaled: bool = False) -> Iterator[Callable[[int], object]]:
    """Show how far a long job is, on standard error, if that is a terminal.

    Parameters
    ----------
    total : int
        Steps of the whole job.
    label : str
        What is being done.
    unit : str
        What one step is.
    scaled : bool
        Whether the steps are bytes, to be shown as KiB, MiB and so on.

    Yields
    ------
    callable
        To be called with the number of steps just done.
    """
    try:
        bar = importlib.import_module("tqdm").tqdm
    except ImportError:
        bar = _PlainLine
    # disable=None: tqdm itself stays silent when standard error is not a terminal.
    options = {"unit": unit, "unit_scale": scaled, "unit_divisor": 1024, "disable": None, "leave": False}
    with contextlib.closing(bar(total=total, desc=label, **options)) as shown:
        yield shown.update
