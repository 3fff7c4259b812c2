"""Dropout as an operator that torch.compile and torch.export can trace: simdrop::dropout.

It is a pure function: the seed is a tensor that is drawn outside of it, and elements are counted in an order that is
an argument, not in that of the memory. So a compiler may change strides, repeat it or move it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from simdrop.torch._memory import Draw, dropped_as
from simdrop.torch._random import HIGH, LOW, WORD


def order_of(x: Tensor) -> list[int]:
    """Return the dimensions of `x` from the slowest to the fastest in memory."""
    dimensions = list(range(x.dim()))
    if x.is_contiguous():
        return dimensions
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return [0, 2, 3, 1]
    if x.dim() == 5 and x.is_contiguous(memory_format=torch.channels_last_3d):
        return [0, 2, 3, 4, 1]
    strides = x.stride()
    return sorted(dimensions, key=lambda d: -int(strides[d]))


def _strides(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a dense tensor whose dimensions lie in memory in that order."""
    strides = [1] * len(shape)
    step = 1
    for d in reversed(order):
        strides[d] = step
        step = step * max(1, shape[d])
    return tuple(strides)


@torch.library.custom_op("simdrop::dropout", mutates_args=(), device_types="cpu")
def dropout_op(x: Tensor, seed: Tensor, p: float, scale: float, order: Sequence[int]) -> Tensor:
    """Return dropout of `x`, dense in the given order.

    Parameters
    ----------
    x : Tensor
        float16, bfloat16, float32 or float64, on the CPU.
    seed : Tensor of int64
        The seed, and if there is a second element the stream number.
    p : float
        Probability of dropping an element.
    scale : float
        What kept elements are multiplied with; 0 for 1 / (1 - p).
    order : sequence of int
        The dimensions of `x`, from that which the mask's index counts slowest to the fastest.
    """
    words = [int(word) & WORD for word in seed.reshape(-1).tolist()]
    draw = Draw(p, words[0], words[1] if len(words) > 1 else 0, scale)
    return dropped_as(x, draw, _strides(x.shape, order))


@dropout_op.register_fake
def _(x: Tensor, seed: Tensor, p: float, scale: float, order: Sequence[int]) -> Tensor:
    return torch.empty_strided(x.shape, _strides(x.shape, order), dtype=x.dtype, device=x.device)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, seed, *ctx.numbers = inputs
    ctx.save_for_backward(seed)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
    (seed,) = ctx.saved_tensors
    return dropout_op(gradient, seed, *ctx.numbers), None, None, None, None


dropout_op.register_autograd(_backward, setup_context=_setup)


def seed_tensor(needed: bool) -> Tensor:
    """Draw a seed as a tensor, so that a compiled graph draws a new one each time it runs; or return one of no use."""
    if not needed:
        return torch.zeros((1,), dtype=torch.int64, device="cpu")
    return torch.randint(LOW, HIGH, (1,), dtype=torch.int64, device="cpu")
