"""Attention with dropout as an operator for compiled graphs: simdrop::attention.

Pure, as simdrop::dropout is: the seed is an argument. What is kept for the backward pass is query, key, value, the mask
and the seed; the backward pass does the forward pass again, block by block, so that nothing of (L, S) outlives it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from simdrop.torch._attention import attention
from simdrop.torch._composed import is_known
from simdrop.torch._memory import Draw
from simdrop.torch._ops import draw_of

_TYPES = (torch.float32, torch.float64)
_composition_enabled = torch.backends.cuda.math_sdp_enabled
# What PyTorch composes below this is compiled together with what is around it.
_LEAST = 1 << 14


def records_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> bool:
    """Return whether what is recorded of an attention is this operator."""
    dtype, shape = query.dtype, query.shape
    if dtype not in _TYPES or len(shape) != 4 or not all(is_known(x) and x.dtype == dtype for x in (key, value)):
        return False
    if key.shape[:-2] != shape[:-2] or key.shape[-1] != shape[-1] or value.shape[:-1] != key.shape[:-1]:
        return False
    matrix = (*shape[:-1], key.shape[-2])
    if math.prod(matrix) < _LEAST or shape[-1] == 0 or value.shape[-1] == 0 or not _composition_enabled():
        return False
    return mask is None or _is_mask(mask, dtype, matrix)


def _is_mask(mask: Tensor, dtype: torch.dtype, matrix: tuple[int, ...]) -> bool:
    if mask.dtype not in (torch.bool, dtype) or mask.requires_grad or mask.device.type != "cpu":
        return False
    sizes = zip(reversed(mask.shape), reversed(matrix), strict=False)
    return mask.layout == torch.strided and 2 <= mask.dim() <= 4 and all(n in (1, whole) for n, whole in sizes)


@torch.library.custom_op("simdrop::attention", mutates_args=(), device_types="cpu")
def attention_op(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    seed: Tensor,
    p: float,
    causal: bool,
    scale: float | None,
) -> Tensor:
    """Return attention with dropout on its weights."""
    with torch.no_grad():
        return attention(query, key, value, mask, causal, scale, draw_of(seed, p, 0.0)).contiguous()


@attention_op.register_fake
def _(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    seed: Tensor,
    p: float,
    causal: bool,
    scale: float | None,
) -> Tensor:
    return query.new_empty((*query.shape[:-1], value.shape[-1]))


@torch.library.custom_op("simdrop::attention_backward", mutates_args=(), device_types="cpu")
def _backward_op(
    gradient: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    seed: Tensor,
    p: float,
    causal: bool,
    scale: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    draw: Draw = draw_of(seed, p, 0.0)
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in (query, key, value)]
        y = attention(leaves[0], leaves[1], leaves[2], mask, causal, scale, draw)
        first, second, third = torch.autograd.grad(y, leaves, gradient)
    return first.contiguous(), second.contiguous(), third.contiguous()


@_backward_op.register_fake
def _(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.p, ctx.causal, ctx.scale = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _backward_op(gradient, *ctx.saved_tensors, ctx.p, ctx.causal, ctx.scale)
    return *gradients, None, None, None, None, None


attention_op.register_autograd(_backward, setup_context=_setup)
