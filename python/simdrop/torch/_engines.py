"""Three ways to run a form of dropout: by the kernels, as traceable operators, or by PyTorch alone.

The forms (_forms.py) are written once, in terms of what an engine does.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from simdrop.torch._autograd import Factors, drop, drop_, multiply, multiply_
from simdrop.torch._memory import Draw, noise
from simdrop.torch._ops import dropout_op, order_of


class Engine(Protocol):
    """One call of one form: the mask's numbers are fixed, so that equal requests get equal masks."""

    inplace: bool

    def drop(self, x: Tensor, p: float, scale: float = 0.0) -> Tensor:
        """Return x with elements dropped and the rest times `scale`, by default 1 / (1 - p)."""

    def factors(self, x: Tensor, shape: Sequence[int], p: float, scale: float = 0.0) -> Factors:
        """Return a function that makes the factors of a mask of another shape: 0 or the scale."""

    def multiply(self, x: Tensor, factors: Factors) -> Tensor:
        """Return x times factors, in the type of x."""


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which factors are not rounded: float32 at least."""
    return dtype if dtype == torch.float64 else torch.float32


class Kernels:
    """Plain tensors and the numbers of a mask."""

    def __init__(self, seed: int, stream: int, inplace: bool = False) -> None:
        self.seed = seed
        self.stream = stream
        self.inplace = inplace

    def drop(self, x: Tensor, p: float, scale: float = 0.0) -> Tensor:
        draw = Draw(p, self.seed, self.stream, scale)
        return drop_(x, draw) if self.inplace else drop(x, draw)

    def factors(self, x: Tensor, shape: Sequence[int], p: float, scale: float = 0.0) -> Factors:
        draw = Draw(p, self.seed, self.stream, scale)
        return functools.partial(noise, tuple(shape), wide(x.dtype), draw)

    def multiply(self, x: Tensor, factors: Factors) -> Tensor:
        return multiply_(x, factors) if self.inplace else multiply(x, factors)


class Traced:
    """Operators that torch.compile and torch.export record; the seed is a tensor."""

    inplace = False

    def __init__(self, seed: Tensor) -> None:
        self.seed = seed

    def drop(self, x: Tensor, p: float, scale: float = 0.0) -> Tensor:
        return dropout_op(x, self.seed, p, scale, order_of(x))

    def factors(self, x: Tensor, shape: Sequence[int], p: float, scale: float = 0.0) -> Factors:
        ones = torch.ones(tuple(shape), dtype=wide(x.dtype), device="cpu")
        return lambda: dropout_op(ones, self.seed, p, scale, list(range(len(shape))))

    def multiply(self, x: Tensor, factors: Factors) -> Tensor:
        return (x * factors()).to(x.dtype)


class Own:
    """PyTorch alone: other devices and types, subclasses, function transforms."""

    inplace = False

    def drop(self, x: Tensor, p: float, scale: float = 0.0) -> Tensor:
        if scale == 0:
            return F.dropout(x, p)
        return self.multiply(x, self.factors(x, x.shape, p, scale))

    def factors(self, x: Tensor, shape: Sequence[int], p: float, scale: float = 0.0) -> Factors:
        drawn = torch.bernoulli(torch.full(tuple(shape), 1 - p, dtype=wide(x.dtype), device=x.device))
        made = drawn * (scale or (1 / (1 - p) if p < 1 else 1.0))
        return lambda: made

    def multiply(self, x: Tensor, factors: Factors) -> Tensor:
        return (x * factors()).to(x.dtype)
