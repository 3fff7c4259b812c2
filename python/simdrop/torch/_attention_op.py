"""Attention with dropout as an operator for compiled graphs: simdrop::attention.

Pure, as simdrop::dropout is: the seed is an argument. What it keeps for the backward pass, if anything, is its second
result.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simdrop.torch import _attention_blocks as blocks
from simdrop.torch._attention import fits, has_derivative, inputs_of
from simdrop.torch._attention_blocks import Inputs
from simdrop.torch._composed import is_known
from simdrop.torch._memory import Draw
from simdrop.torch._ops import draw_of, seed_tensor

_NO_DRAW = Draw(0.0, 0)


def records(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, grouped: bool) -> bool:
    """Return whether what is recorded of an attention is this operator."""
    if not (is_known(key) and is_known(value)):
        return False
    if mask is not None and (mask.device.type != "cpu" or mask.layout != torch.strided or mask.is_nested):
        return False
    return fits(query, key, value, mask, causal, grouped)


def recorded(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    grouped: bool,
    scale: float | None,
    p: float,
) -> Tensor:
    """Record attention."""
    inputs, batch = inputs_of(query, key, value, mask, causal, grouped, scale, _NO_DRAW)
    # said in the graph, which may come from the disk of another machine
    keep = torch.is_grad_enabled() and has_derivative(inputs) and blocks.keeps(inputs)
    y, _ = attention_op(*inputs[:4], seed_tensor(True), p, causal, inputs.scale, keep)
    return y if len(batch) == 2 else y.view(*batch, *y.shape[-2:])


@torch.library.custom_op("simdrop::attention", mutates_args=(), device_types="cpu")
def attention_op(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    seed: Tensor,
    p: float,
    causal: bool,
    scale: float,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """Return attention with dropout on its weights, and what is kept for the backward pass or an empty tensor."""
    inputs = Inputs(query, key, value, mask, causal, scale, draw_of(seed, p, 0.0))
    kept = blocks.room(inputs) if keep else None
    return blocks.forward(inputs, kept), inputs.query.new_empty(0, dtype=inputs.type) if kept is None else kept


@attention_op.register_fake
def _(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    seed: Tensor,
    p: float,
    causal: bool,
    scale: float,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    inputs = Inputs(query, key, value, mask, causal, scale, _NO_DRAW)
    kept = blocks.room(inputs) if keep else None
    y = query.new_empty((*query.shape[:-1], value.shape[-1]))
    return y, query.new_empty(0, dtype=inputs.type) if kept is None else kept


@torch.library.custom_op("simdrop::attention_backward", mutates_args=(), device_types="cpu")
def _backward_op(
    gradient: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    seed: Tensor,
    kept: Tensor,
    p: float,
    causal: bool,
    scale: float,
    wanted: list[bool],
) -> list[Tensor]:
    inputs = Inputs(query, key, value, mask, causal, scale, draw_of(seed, p, 0.0))
    gradients = blocks.backward(inputs, kept if kept.numel() else None, gradient, tuple(wanted))
    return [x for x in gradients if x is not None]


@_backward_op.register_fake
def _(
    gradient: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    seed: Tensor,
    kept: Tensor,
    p: float,
    causal: bool,
    scale: float,
    wanted: list[bool],
) -> list[Tensor]:
    tensors = zip((query, key, value, mask), wanted, strict=True)
    return [x.new_empty(x.shape) for x, yes in tensors if yes and x is not None]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, mask, seed, *ctx.numbers, _ = inputs
    ctx.save_for_backward(query, key, value, mask, seed, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, gradient: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:4])
    if gradient is None or not any(wanted):
        return (None,) * 9
    gradients = iter(_backward_op(gradient, *ctx.saved_tensors, *ctx.numbers, wanted))
    return *(next(gradients) if yes else None for yes in wanted), None, None, None, None, None


attention_op.register_autograd(_backward, setup_context=_setup)
