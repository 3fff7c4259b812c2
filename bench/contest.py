"""The interface of a contestant: how it is named, bound to an array, called, and what it promises about its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from machine import optional
from numpy.typing import NDArray
from timing import nothing

Array = NDArray[Any]
FLOATS = ("float32", "float64")
ALL_DTYPES = ("float16", "bfloat16", "float32", "float64")
LIMIT = "in-place scaling"
SEED = 20240501


@dataclass(frozen=True)
class Prepared:
    """A contestant bound to one array. `call` returns the answer; None means that the array itself holds it."""

    call: Callable[[], object]
    before: Callable[[], object] = nothing


@dataclass(frozen=True)
class Contestant:
    """One way to compute dropout.

    `steps` is the resolution of its drop probability (p is rounded to a multiple of 1/steps; 0 means it is not rounded
    by more than a float), `exact` says that kept values must match the definition to the last bit, `one_thread` that
    it cannot use more.
    """

    name: str
    how: str
    prepare: Callable[[Array, float, int], Prepared]
    dtypes: tuple[str, ...] = ALL_DTYPES
    max_elements: int | None = None
    steps: int = 0
    exact: bool = False
    one_thread: bool = True
    drops: bool = True

    def probability(self, p: float) -> float:
        """Return the drop probability that it really uses when asked for `p`."""
        if not self.drops:
            return 0.0
        return round(p * self.steps) / self.steps if self.steps else p

    def takes(self, dtype: str, elements: int) -> bool:
        """Return whether it can, and in reasonable time, work on so many elements of this type."""
        return dtype in self.dtypes and (self.max_elements is None or elements <= self.max_elements)


@dataclass(frozen=True)
class Field:
    """The contestants at hand and the packages that are missing, each with the reason."""

    contestants: list[Contestant]
    absent: dict[str, str] = field(default_factory=dict)


def dtype_of(name: str) -> np.dtype[Any] | None:
    """Return the NumPy type of that name, or None for bfloat16 where ml_dtypes is not installed."""
    if name != "bfloat16":
        return np.dtype(name)
    ml_dtypes = optional("ml_dtypes")
    return None if ml_dtypes is None else np.dtype(ml_dtypes.bfloat16)
