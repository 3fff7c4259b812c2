"""A progress bar where tqdm is installed, a plain line where it is not, nothing where nobody looks."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Iterator

_SECONDS_BETWEEN_LINES = 0.5


@contextlib.contextmanager
def progress(total: int, label: str, *, unit: str, scaled: bool = False) -> Iterator[Callable[[int], None]]:
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
        tqdm = importlib.import_module("tqdm").tqdm
    except ImportError:
        with _plain_line(total, label) as update:
            yield update
        return
    # disable=None: tqdm itself stays silent when standard error is not a terminal.
    with tqdm(
        total=total, desc=label, unit=unit, unit_scale=scaled, unit_divisor=1024, disable=None, leave=False
    ) as bar:

        def advance(steps: int) -> None:
            bar.update(steps)

        yield advance


@contextlib.contextmanager
def _plain_line(total: int, label: str) -> Iterator[Callable[[int], None]]:
    done = 0
    shown_at = time.monotonic()
    visible = sys.stderr.isatty()

    def update(steps: int) -> None:
        nonlocal done, shown_at
        done += steps
        now = time.monotonic()
        if visible and now - shown_at >= _SECONDS_BETWEEN_LINES:
            shown_at = now
            print(f"\r{label}: {100 * done // max(total, 1)} %", end="", file=sys.stderr, flush=True)

    try:
        yield update
    finally:
        if visible:
            print("\r" + " " * (len(label) + 8) + "\r", end="", file=sys.stderr, flush=True)
