"""Drop probabilities that change during training: plain functions from the step to p."""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsFloat, SupportsIndex, TypeAlias

from simdrop import _core

Schedule: TypeAlias = Callable[[int], float]


def constant(p: SupportsFloat) -> Schedule:
    """Return the schedule that is `p` at every step.

    Examples
    --------
    >>> from simdrop import schedules
    >>> schedules.constant(0.1)(1000)
    0.1
    """
    value = _probability(p)
    return lambda step: value


def linear(p_first: SupportsFloat, p_last: SupportsFloat, steps: SupportsIndex) -> Schedule:
    """Return the schedule that goes from `p_first` at step 0 to `p_last` at step `steps`, and stays there.

    Examples
    --------
    >>> from simdrop import schedules
    >>> [schedules.linear(0.5, 0.1, 4)(step) for step in (0, 2, 4, 9)]
    [0.5, 0.3, 0.1, 0.1]
    """
    first, last = _probability(p_first), _probability(p_last)
    n = _steps(steps)

    def schedule(step: int) -> float:
        part = min(max(step, 0), n) / n
        return (1 - part) * first + part * last

    return schedule


def early_dropout(p: SupportsFloat, steps: SupportsIndex, *, decay: bool = False) -> Schedule:
    """Return early dropout: `p` before step `steps`, 0 from there on; with `decay` falling to 0 in a line.

    Early dropout reduces underfitting: it aligns the gradients of the mini-batches at the start of training
    (Z. Liu et al., "Dropout reduces underfitting", ICML 2023).

    Examples
    --------
    >>> from simdrop import schedules
    >>> [schedules.early_dropout(0.2, 10)(step) for step in (0, 9, 10)]
    [0.2, 0.2, 0.0]
    """
    value, n = _probability(p), _steps(steps)
    if decay:
        return linear(value, 0.0, n)
    return lambda step: value if step < n else 0.0


def late_dropout(p: SupportsFloat, start: SupportsIndex) -> Schedule:
    """Return late dropout: 0 before step `start`, `p` from there on.

    Late dropout regularises models that would overfit in the later part of training (Liu et al. 2023).

    Examples
    --------
    >>> from simdrop import schedules
    >>> [schedules.late_dropout(0.2, 10)(step) for step in (9, 10)]
    [0.0, 0.2]
    """
    value, n = _probability(p), _steps(start)
    return lambda step: value if step >= n else 0.0


def stochastic_depth_decay(p_last: SupportsFloat, layer: SupportsIndex, layers: SupportsIndex) -> Schedule:
    """Return the constant schedule of one layer under the linear decay rule ``p_l = p_last * l / layers``.

    Layers are numbered from 1; see `simdrop.linear_decay` for all of them at once (Huang et al., ECCV 2016).

    Examples
    --------
    >>> from simdrop import schedules
    >>> schedules.stochastic_depth_decay(0.5, 1, 4)(0)
    0.125
    """
    n = _steps(layers)
    return constant(_probability(p_last) * _core.unsigned_integer("layer", layer, n) / n)


def _probability(p: SupportsFloat) -> float:
    _core.threshold(p)
    return float(p)


def _steps(steps: SupportsIndex) -> int:
    n = _core.unsigned_integer("steps", steps, 2**63)
    if n == 0:
        raise ValueError("steps: got 0; accepted: 1 and above")
    return n
