"""Four ways to run a form of dropout: by the kernels, with their masks, as traceable operators, or by PyTorch alone.

The forms (_forms.py) are written once, in terms of what an engine does.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from simdrop.torch._autograd import Factors, drop, drop_, multiply, multiply_
from simdrop.torch._composed import composed, factor, kept, layout_like
from simdrop.torch._dtensor import drop_dtensor, refuse_dtensor
from simdrop.torch._memory import Draw, noise
from simdrop.torch._ops import dropout_op, order_of
from simdrop.torch._shard import numbers_for, refuse_parts

# What becomes of a kept element (times the first, plus the second) and of a dropped one (the third).
Affine: TypeAlias = "tuple[float, float, float]"
Shape: TypeAlias = "tuple[int, ...]"


class Engine(Protocol):
    """One call of one form: the mask's numbers are fixed, so that equal requests get equal masks."""

    def drop(self, x: Tensor, p: float, shared: Collection[int] = (), affine: Affine | None = None) -> Tensor:
        """Return x with elements dropped.

        Elements share their bits of the mask along the dimensions `shared`. Without `affine` kept elements are
        divided by 1 - p.
        """

    def factors(self, x: Tensor, shape: Shape, p: float, scale: float = 0.0) -> Factors:
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

    def drop(self, x: Tensor, p: float, shared: Collection[int] = (), affine: Affine | None = None) -> Tensor:
        draw = numbers_for(x, Draw(p, self.seed, self.stream, *(affine or ())), shared)
        return drop_(x, draw) if self.inplace else drop(x, draw)

    def factors(self, x: Tensor, shape: Shape, p: float, scale: float = 0.0) -> Factors:
        refuse_parts("squares, of which the number in the whole is needed")
        return functools.partial(noise, shape, wide(x.dtype), Draw(p, self.seed, self.stream, scale))

    def multiply(self, x: Tensor, factors: Factors) -> Tensor:
        return multiply_(x, factors) if self.inplace else multiply(x, factors)


class _Arithmetic:
    """What the engines without kernels share: PyTorch's own arithmetic, never in place."""

    def elementwise(self, x: Tensor, p: float, scale: float) -> Tensor:
        """Return x with each element dropped for itself; scale 0 stands for 1 / (1 - p)."""
        raise NotImplementedError

    def factors(self, x: Tensor, shape: Shape, p: float, scale: float = 0.0) -> Factors:
        raise NotImplementedError

    def drop(self, x: Tensor, p: float, shared: Collection[int] = (), affine: Affine | None = None) -> Tensor:
        scale, shift, dropped = affine or (0.0, 0.0, 0.0)
        lift = (shift - dropped) / scale if scale else 0.0  # (x + lift) * scale + dropped is x * scale + shift
        if all(x.shape[d] == 1 for d in shared):
            return self.elementwise(x + lift, p, scale) + dropped if affine else self.elementwise(x, p, scale)
        shape = tuple(1 if d in shared else n for d, n in enumerate(x.shape))
        factors = self.factors(x, shape, p, scale)()
        y = x * factors
        return (y + (factors * lift + dropped) if affine else y).to(x.dtype)

    def multiply(self, x: Tensor, factors: Factors) -> Tensor:
        return (x * factors()).to(x.dtype)


class Composed(_Arithmetic):
    """Masks of the kernels, and PyTorch's arithmetic with them; see _composed.py."""

    def __init__(self, seed: int | Tensor, stream: int = 0) -> None:
        self.seed = seed
        self.stream = stream

    def drop(self, x: Tensor, p: float, shared: Collection[int] = (), affine: Affine | None = None) -> Tensor:
        draw = numbers_for(x, Draw(p, 0, self.stream, *(affine or ())), shared)
        return composed(x, draw, layout_like(x), self.seed)

    def factors(self, x: Tensor, shape: Shape, p: float, scale: float = 0.0) -> Factors:
        refuse_parts("squares, of which the number in the whole is needed")
        draw = Draw(p, 0, self.stream, scale)
        made = kept(shape, draw, self.seed, None).to(wide(x.dtype)) * factor(draw)
        return lambda: made


class Pieces:
    """DTensors and the numbers of a mask; see _dtensor.py."""

    def __init__(self, seed: int, stream: int = 0) -> None:
        self.seed = seed
        self.stream = stream

    def drop(self, x: Tensor, p: float, shared: Collection[int] = (), affine: Affine | None = None) -> Tensor:
        y: Tensor = drop_dtensor(x, Draw(p, self.seed, self.stream, *(affine or ())), shared)
        return y

    def factors(self, x: Tensor, shape: Shape, p: float, scale: float = 0.0) -> Factors:
        raise TypeError("x: got a DTensor; accepted for squares: ordinary tensors, of which the whole is at hand")

    def multiply(self, x: Tensor, factors: Factors) -> Tensor:
        return x * factors()


class Traced(_Arithmetic):
    """Operators that torch.compile and torch.export record; the seed is a tensor."""

    def __init__(self, seed: Tensor) -> None:
        self.seed = seed

    def elementwise(self, x: Tensor, p: float, scale: float) -> Tensor:
        refuse_dtensor(x)
        return dropout_op(x, self.seed, p, scale, order_of(x))

    def factors(self, x: Tensor, shape: Shape, p: float, scale: float = 0.0) -> Factors:
        refuse_dtensor(x)
        ones = torch.ones(shape, dtype=wide(x.dtype), device="cpu")
        return lambda: dropout_op(ones, self.seed, p, scale, list(range(len(shape))))


class Own(_Arithmetic):
    """PyTorch alone: other devices and types, subclasses, function transforms."""

    def elementwise(self, x: Tensor, p: float, scale: float) -> Tensor:
        return self.multiply(x, self.factors(x, x.shape, p, scale)) if scale else F.dropout(x, p)

    def factors(self, x: Tensor, shape: Shape, p: float, scale: float = 0.0) -> Factors:
        if not (x.is_floating_point() or x.is_complex()):
            raise TypeError(f"x: got a tensor of {x.dtype}; accepted: floating point or complex numbers")
        drawn = torch.bernoulli(torch.full(shape, 1 - p, dtype=wide(x.dtype), device=x.device))
        made = drawn * (scale or (1 / (1 - p) if p < 1 else 1.0))
        return lambda: made
