"""Drop probabilities that change during training: values that are called with the step and give p.

Every layer takes one in place of p; where p never changes, a number will do. They are frozen dataclasses: they print,
compare and pickle. Anything else that is called with a step and returns a probability is a schedule too.

>>> import pickle
>>> from simdrop import schedules
>>> early = schedules.EarlyDropout(0.2, steps=10)
>>> early(9), early(10), pickle.loads(pickle.dumps(early)) == early
(0.2, 0.0, True)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeAlias

from simdrop import _core

__all__ = ["EarlyDropout", "LateDropout", "Linear", "Schedule"]

Schedule: TypeAlias = Callable[[int], float]


@dataclass(frozen=True)
class Linear:
    """From `p_first` at step 0 in a line to `p_last` at step `steps`, and no further.

    Parameters
    ----------
    p_first, p_last : float
        Drop probabilities, from 0 to 1.
    steps : int
        Number of steps on the way, at least 1.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> from simdrop import schedules
    >>> [schedules.Linear(0.5, 0.1, steps=4)(step) for step in (0, 2, 4, 9)]
    [0.5, 0.3, 0.1, 0.1]
    """

    p_first: float
    p_last: float
    steps: int

    def __post_init__(self) -> None:
        _probabilities(self, "p_first", "p_last")
        _count(self, "steps")

    def __call__(self, step: int) -> float:
        """Return the drop probability at a step."""
        part = min(max(step, 0), self.steps) / self.steps
        return (1 - part) * self.p_first + part * self.p_last


@dataclass(frozen=True)
class EarlyDropout:
    """Early dropout: `p` before step `steps`, 0 from there on; with `decay` falling to 0 in a line.

    It reduces underfitting: dropout aligns the gradients of the mini-batches at the start of training [1]_.

    Parameters
    ----------
    p : float
        The drop probability at the start, from 0 to 1.
    steps : int
        Number of steps that drop, at least 1.
    decay : bool, keyword only
        Fall from p to 0 in a line, rather than at once.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    References
    ----------
    .. [1] Z. Liu et al., "Dropout reduces underfitting", ICML 2023.

    Examples
    --------
    >>> from simdrop import schedules
    >>> [schedules.EarlyDropout(0.2, steps=10)(step) for step in (0, 9, 10)]
    [0.2, 0.2, 0.0]
    """

    p: float
    steps: int
    _: KW_ONLY
    decay: bool = False

    def __post_init__(self) -> None:
        _probabilities(self, "p")
        _count(self, "steps")

    def __call__(self, step: int) -> float:
        """Return the drop probability at a step."""
        if self.decay:
            return Linear(self.p, 0.0, self.steps)(step)
        return self.p if step < self.steps else 0.0


@dataclass(frozen=True)
class LateDropout:
    """Late dropout: 0 before step `start`, `p` from there on.

    It regularises models that would overfit in the later part of training (Liu et al., see `EarlyDropout`).

    Parameters
    ----------
    p : float
        The drop probability, from 0 to 1.
    start : int
        The first step that drops, at least 1.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Examples
    --------
    >>> from simdrop import schedules
    >>> [schedules.LateDropout(0.2, start=10)(step) for step in (9, 10)]
    [0.0, 0.2]
    """

    p: float
    start: int

    def __post_init__(self) -> None:
        _probabilities(self, "p")
        _count(self, "start")

    def __call__(self, step: int) -> float:
        """Return the drop probability at a step."""
        return self.p if step >= self.start else 0.0


def _probabilities(schedule: Any, *names: str) -> None:
    """Check fields that are probabilities, and keep them as plain floats."""
    for name in names:
        _core.threshold(getattr(schedule, name), name)
        object.__setattr__(schedule, name, float(getattr(schedule, name)))


def _count(schedule: Any, name: str) -> None:
    """Check a field that counts steps, and keep it as a plain integer."""
    object.__setattr__(schedule, name, _core.unsigned_integer(name, getattr(schedule, name), 2**63, 1))
