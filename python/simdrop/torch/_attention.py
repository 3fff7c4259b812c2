"""Attention with dropout on its weights under autograd: which is served, brought to one form, and its derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from simdrop.torch import _attention_blocks as blocks
from simdrop.torch._attention_blocks import Inputs
from simdrop.torch._autograd import drop
from simdrop.torch._memory import CODES, SEAL, Draw, WindowDraw, is_ordinary, is_plain, noise, takes
from simdrop.torch._shard import active, window

_recording = torch.is_grad_enabled
_composition_enabled = torch.backends.cuda.math_sdp_enabled  # governs the CPU too, in spite of its name

# With fewer elements the calls cost more than the memory: PyTorch's own takes as long for 8 Ki, 10 % longer for 16 Ki.
_LEAST = 1 << 14


def serves(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, grouped: bool) -> bool:
    """Return whether `attention` computes this; whatever is unusual, wrong or small is PyTorch's."""
    if not (takes(query) and is_plain(key) and is_plain(value) and (mask is None or is_ordinary(mask))):
        return False
    return fits(query, key, value, mask, causal, grouped)


def fits(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    grouped: bool,
    any_size: bool = False,
) -> bool:
    """Return whether types and shapes are those of an attention that is right and, if not of `any_size`, worth it."""
    dtype = query.dtype
    if dtype not in CODES or key.dtype != dtype or value.dtype != dtype or not _composition_enabled():
        return False
    if min(query.dim(), key.dim(), value.dim()) < 2 or key.shape[-1] != query.shape[-1]:
        return False
    if value.shape[-2] != key.shape[-2] or not query.shape[-1] or not value.shape[-1]:
        return False
    batch = _batch(query, key, value, grouped)
    if batch is None:
        return False
    matrix = (*batch, query.shape[-2], key.shape[-2])
    if (len(batch) > 2 and active.parts) or (math.prod(matrix) < _LEAST and not any_size):  # merged ones have no steps
        return False
    return mask is None or (not causal and _is_mask(mask, dtype, matrix))


def _batch(query: Tensor, key: Tensor, value: Tensor, grouped: bool) -> tuple[int, ...] | None:
    """Return the dimensions of the attention matrix before its last two, if it is one of all three tensors."""
    shapes = [tuple(x.shape[:-2]) for x in (query, key, value)]
    if grouped and shapes[0]:
        heads = shapes[0][-1]
        if any(not shape or shape[-1] == 0 or heads % shape[-1] for shape in shapes):
            return None
        shapes = [(*shape[:-1], heads) for shape in shapes]
    if shapes[0] == shapes[1] == shapes[2]:
        return shapes[0]
    try:
        batch = tuple(torch.broadcast_shapes(*shapes[:2]))
        return batch if tuple(torch.broadcast_shapes(batch, shapes[2])) == batch else None
    except RuntimeError:
        return None


def _is_mask(mask: Tensor, dtype: torch.dtype, matrix: tuple[int, ...]) -> bool:
    if mask.dtype not in (torch.bool, torch.float32, dtype):
        return False
    sizes = zip(reversed(mask.shape), reversed(matrix), strict=False)
    return mask.dim() <= len(matrix) and all(n in (1, whole) for n, whole in sizes)


def _four(x: Tensor, batch: tuple[int, ...]) -> Tensor:
    """Return `x` broadcast to those dimensions before its last two, of which there are two then."""
    if len(batch) == 2 and x.shape[:-2] == batch:
        return x
    x = x.expand(*batch, *x.shape[-2:])
    return x.flatten(0, -4) if len(batch) > 2 else x[(None,) * (2 - len(batch))]


def _four_of_mask(mask: Tensor, batch: tuple[int, ...]) -> Tensor:
    """Return a mask in four dimensions, broadcast no further than that takes."""
    mask = mask[(None,) * (max(4, len(batch) + 2) - mask.dim())]
    if mask.dim() == 4:
        return mask
    wide = any(n != 1 for n in mask.shape[:-3])
    return (mask.expand(*batch[:-1], *mask.shape[-3:]) if wide else mask).flatten(0, -4)


def inputs_of(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    grouped: bool,
    scale: float | None,
    draw: Draw,
) -> tuple[Inputs, tuple[int, ...]]:
    """Return what `fits` in one form, and the dimensions of the result before its last two."""
    batch = _batch(query, key, value, grouped) or ()
    if grouped and batch:
        key, value = (x if x.shape[-3] == batch[-1] else _repeated(x, batch[-1]) for x in (key, value))
    if mask is not None:
        mask = _four_of_mask(mask.clone() if mask.dtype == torch.bool else mask, batch)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return Inputs(_four(query, batch), _four(key, batch), _four(value, batch), mask, causal, scale, draw), batch


def _repeated(x: Tensor, heads: int) -> Tensor:
    """Return each head of `x` as often as there are queries' heads for it."""
    return x.repeat_interleave(heads // x.shape[-3], -3)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    grouped: bool,
    scale: float | None,
    draw: Draw,
    whole: Sequence[int] = (),
    start: Sequence[int] = (),
) -> Tensor:
    """Return scaled dot product attention; the bits of `draw` are counted over the (..., L, S) matrix.

    That of a larger one, of which this one is a part, if its shape `whole` is given and where the part starts.
    """
    inputs, batch = inputs_of(query, key, value, mask, causal, grouped, scale, draw)
    if active.parts or start:
        matrix = (*batch, query.shape[-2], key.shape[-2])
        steps, offset = window(whole or matrix, start or (0,) * len(matrix), range(len(matrix)), ())
        inputs = inputs._replace(draw=WindowDraw(draw, (0,) * (4 - len(steps)) + steps, offset))
    y = (
        _Attention.apply(*inputs[:-1], (inputs.draw, SEAL))
        if _recording() and has_derivative(inputs)
        else blocks.forward(inputs)
    )
    return y if len(batch) == 2 else y.view(*batch, *y.shape[-2:])


def has_derivative(inputs: Inputs) -> bool:
    """Return whether a tensor of them requires a gradient."""
    return any(x is not None and x.requires_grad for x in inputs[:4])


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        causal: bool,
        scale: float,
        sealed: tuple[Draw | WindowDraw, object],
    ) -> Tensor:
        inputs = Inputs(query, key, value, mask, causal, scale, sealed[0])
        kept = blocks.room(inputs) if blocks.keeps(inputs) else None
        output = blocks.forward(inputs, kept)
        ctx.save_for_backward(*inputs[:4], kept)
        ctx.numbers = inputs[4:]
        ctx.set_materialize_grads(False)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, ...]:
        if gradient is None:
            return (None,) * 7
        *tensors, kept = saved = ctx.saved_tensors  # once: checkpoints refuse more
        inputs, wanted = Inputs(*tensors, *ctx.numbers), ctx.needs_input_grad[:4]
        if _recording() or not all(is_ordinary(x) for x in (gradient, *saved) if x is not None):
            return *_composed_backward(inputs, gradient, wanted), None, None, None
        if kept is not None:  # hooks on saved tensors may have brought it back in another form
            kept = kept.to(inputs.type).contiguous()
        return *blocks.backward(inputs, kept, gradient, wanted), None, None, None


def _composed_backward(inputs: Inputs, gradient: Tensor, wanted: tuple[bool, ...]) -> tuple[Tensor | None, ...]:
    """Do the same by functions that have derivatives, and take whatever tensors PyTorch takes."""
    matrix, dtype, (query, key, value, mask, causal, scale, draw) = inputs.matrix, inputs.type, inputs.widened()

    def dropped(x: Tensor) -> Tensor:
        return drop(x.contiguous(), draw) if is_plain(x) else x * noise(matrix, dtype, draw)

    scores = query @ key.mT * scale
    if causal:
        scores = scores.masked_fill(scores.new_ones(matrix[2:], dtype=torch.bool).triu(1), -math.inf)
    elif mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    hidden = (scores == -math.inf).all(-1, keepdim=True)  # of a row that sees nothing PyTorch makes zeros
    probabilities = torch.softmax(scores.masked_fill(hidden, 0.0), -1).masked_fill(hidden, 0.0)
    gradient = gradient.to(dtype)
    of_weights = dropped(gradient @ value.mT)
    of_scores = probabilities * (of_weights - (probabilities * of_weights).sum(-1, keepdim=True))
    results = (
        of_scores @ key * scale if wanted[0] else None,
        of_scores.mT @ query * scale if wanted[1] else None,
        dropped(probabilities).mT @ gradient if wanted[2] else None,
        of_scores.sum_to_size(mask.shape) if wanted[3] and mask is not None else None,
    )
    return tuple(
        None if x is None or like is None else x.to(like.dtype) for x, like in zip(results, inputs[:4], strict=True)
    )
