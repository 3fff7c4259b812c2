"""Attention with dropout on its weights, block by block, so that the attention matrix stays in the caches.

PyTorch's fused kernel for the CPU cannot drop. With dropout PyTorch composes attention from functions of the whole
(..., L, S) matrix, each of which streams it through memory, and keeps two such matrices for the backward pass. Here
one is kept, the probabilities before dropout, and the mask is made again. To make the probabilities again as well
(FlashAttention; Dao et al., 2022) takes 16 % longer for float32 of (8, 4, 256, 64) on two cores, 6 % for L = 512.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simdrop import _core
from simdrop.torch._autograd import drop
from simdrop.torch._memory import Draw, drop_part, empty, is_ordinary, is_plain, noise, takes

_recording = torch.is_grad_enabled
_composition_enabled = torch.backends.cuda.math_sdp_enabled  # governs the CPU too, in spite of its name

_TYPES = (torch.float32, torch.float64)
# With fewer elements the calls cost more than the memory: PyTorch's own takes as long for 8 Ki, 10 % longer for 16 Ki.
_LEAST = 1 << 14
# Bytes of the matrix in one block, an eighth of the last-level cache: the probabilities and one buffer are in use.
_BLOCK = _core.cache_bytes() // 8
# A block has as many rows at least: with fewer, a matrix product becomes one of a vector.
_ROWS = 32


class _Block(NamedTuple):
    """A part of the (batch, heads, L, S) matrix that is one piece of it in C order."""

    batch: slice
    heads: slice
    rows: slice
    shape: tuple[int, int, int, int]
    offset: int  # elements of the matrix before it

    def of(self, x: Tensor) -> Tensor:
        """Return that part of what has rows, batch and heads as one dimension: a view where strides allow."""
        return x[self.batch, self.heads, self.rows].flatten(0, 1)

    def of_keys(self, x: Tensor) -> Tensor:
        """Do so with keys or values."""
        return x[self.batch, self.heads].flatten(0, 1)

    def of_bias(self, bias: Tensor) -> Tensor:
        """Return what of a bias is broadcast to the block, in four dimensions."""
        return bias[tuple(slice(None) if n == 1 else s for n, s in zip(bias.shape, self[:3], strict=False))]

    def within(self, buffer: Tensor) -> Tensor:
        """Return the beginning of a buffer as this block."""
        batch, heads, *rest = self.shape
        return buffer[: math.prod(self.shape)].view(batch * heads, *rest)


class _Inputs(NamedTuple):
    """Query, key and value in four dimensions, what is added to the scores, and two numbers."""

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None
    scale: float
    draw: Draw

    @property
    def matrix(self) -> tuple[int, ...]:
        """The shape of the attention matrix."""
        return (*self.query.shape[:-1], self.key.shape[-2])


def _blocks(matrix: tuple[int, ...], item_size: int) -> Iterator[_Block]:
    """Cut a matrix into blocks, of which the first is the largest."""
    batch, heads, rows, columns = matrix
    limit = _BLOCK // item_size
    b = max(1, limit // (heads * rows * columns))
    h = min(heads, max(1, limit // (rows * columns)))  # all of them if b > 1
    r = min(rows, max(_ROWS, limit // columns))  # all of them if h > 1
    for i in range(0, batch, b):
        for j in range(0, heads, h):
            for k in range(0, rows, r):
                shape = min(b, batch - i), min(h, heads - j), min(r, rows - k), columns
                offset = ((i * heads + j) * rows + k) * columns
                yield _Block(slice(i, i + b), slice(j, j + h), slice(k, k + r), shape, offset)


def _buffer(like: Tensor, blocks: list[_Block]) -> Tensor:
    return empty(like, (math.prod(blocks[0].shape),))


def serves(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> bool:
    """Return whether `attention` computes this; whatever is unusual, wrong or small is PyTorch's."""
    dtype, shape = query.dtype, query.shape
    if not (takes(query) and is_plain(key) and is_plain(value)) or dtype not in _TYPES:
        return False
    if key.dtype != dtype or value.dtype != dtype or len(shape) not in (3, 4):
        return False
    if key.shape[:-2] != shape[:-2] or key.shape[-1] != shape[-1] or value.shape[:-1] != key.shape[:-1]:
        return False
    matrix = (*shape[:-1], key.shape[-2])
    if math.prod(matrix) < _LEAST or not shape[-1] or not value.shape[-1] or not _composition_enabled():
        return False
    return mask is None or (not causal and _is_mask(mask, dtype, matrix))


def _is_mask(mask: Tensor, dtype: torch.dtype, matrix: tuple[int, ...]) -> bool:
    if mask.dtype not in (torch.bool, dtype) or not is_ordinary(mask) or mask.requires_grad:
        return False
    sizes = zip(reversed(mask.shape), reversed(matrix), strict=False)
    return 2 <= mask.dim() <= len(matrix) and all(n in (1, whole) for n, whole in sizes)


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float | None, draw: Draw
) -> Tensor:
    """Return scaled dot product attention; the bits of `draw` are counted over the (..., L, S) matrix."""
    if query.dim() == 3:
        query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
        return attention(query, key, value, mask, causal, scale, draw).squeeze(0)
    bias = _bias(query, key, mask, causal)
    inputs = _Inputs(query, key, value, bias, query.shape[-1] ** -0.5 if scale is None else scale, draw)
    if _recording() and (query.requires_grad or key.requires_grad or value.requires_grad):
        return _Attention.apply(*inputs)
    return _forward(inputs, None)


def _bias(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
    """Return what is added to the scores, in four dimensions."""
    if causal:
        mask = query.new_ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = query.new_zeros(mask.shape).masked_fill_(~mask, -math.inf)
    return mask[(None,) * (4 - mask.dim())]


def _scores(inputs: _Inputs, block: _Block, out: Tensor) -> None:
    query, key = block.of(inputs.query), block.of_keys(inputs.key)
    torch.baddbmm(out, query, key.mT, beta=0, alpha=inputs.scale, out=out)
    if inputs.bias is not None:
        out.view(block.shape).add_(block.of_bias(inputs.bias))


def _probabilities(inputs: _Inputs, block: _Block, out: Tensor) -> None:
    _scores(inputs, block, out)
    torch._softmax(out, -1, False, out=out)  # it, and its derivative below, go row by row and may work in place
    if out[..., 0].isnan().any():  # of a row that sees nothing PyTorch makes zeros, and only of such a row
        scores = torch.empty_like(out)
        _scores(inputs, block, scores)
        out.masked_fill_((scores == -math.inf).all(-1, keepdim=True), 0.0)


def _forward(inputs: _Inputs, kept: Tensor | None) -> Tensor:
    """Return attention, and write the probabilities to `kept` if it is given."""
    query, value = inputs.query, inputs.value
    blocks = list(_blocks(inputs.matrix, query.element_size()))
    output, buffer = empty(query, (*query.shape[:-1], value.shape[-1])), _buffer(query, blocks)
    for block in blocks:
        weights = block.within(buffer)
        probabilities = weights if kept is None else block.of(kept)
        _probabilities(inputs, block, probabilities)
        drop_part(probabilities, weights, inputs.draw, block.offset)
        torch.bmm(weights, block.of_keys(value), out=block.of(output))
    return output


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, draw: Draw
    ) -> Tensor:
        inputs = _Inputs(query, key, value, bias, scale, draw)
        probabilities = empty(query, inputs.matrix)
        output = _forward(inputs, probabilities)
        ctx.save_for_backward(query, key, value, probabilities)
        ctx.numbers = (scale, draw)
        ctx.set_materialize_grads(False)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, ...]:
        if gradient is None:
            return (None,) * 6
        saved = query, key, value, probabilities = ctx.saved_tensors  # once: checkpoints refuse more
        inputs, wanted = _Inputs(query, key, value, None, *ctx.numbers), ctx.needs_input_grad[:3]
        if _recording() or not all(map(is_plain, (gradient, *saved))):
            return *_composed_backward(inputs, probabilities, gradient, wanted), None, None, None
        # hooks on saved tensors may have brought this one back in another form, and the kernels trust its address
        probabilities = probabilities.to(query.dtype).contiguous().view(inputs.matrix)
        return *_backward(inputs, probabilities, gradient, wanted), None, None, None


def _backward(inputs: _Inputs, kept: Tensor, gradient: Tensor, wanted: tuple[bool, ...]) -> tuple[Tensor | None, ...]:
    """Return the gradients that are wanted of query, key and value."""
    query, key, value, _, scale, draw = inputs
    results = tuple(empty(x, x.shape) if yes else None for x, yes in zip(inputs[:3], wanted, strict=True))
    of_query, of_key, of_value = results
    blocks = list(_blocks(inputs.matrix, query.element_size()))
    buffer = _buffer(query, blocks)
    for block in blocks:
        work, probabilities, g = block.within(buffer), block.of(kept), block.of(gradient)
        add = float(block.rows.start > 0)  # to the gradients of keys and values: what other rows have written there
        if of_value is not None:
            drop_part(probabilities, work, draw, block.offset)
            out = block.of_keys(of_value)
            torch.baddbmm(out, work.mT, g, beta=add, out=out)
        if of_query is None and of_key is None:
            continue
        torch.bmm(g, block.of_keys(value).mT, out=work)
        drop_part(work, work, draw, block.offset)
        torch._softmax_backward_data(work, probabilities, -1, query.dtype, grad_input=work)
        if of_query is not None:
            out = block.of(of_query)
            torch.baddbmm(out, work, block.of_keys(key), beta=0, alpha=scale, out=out)
        if of_key is not None:
            out = block.of_keys(of_key)
            torch.baddbmm(out, work.mT, block.of(query), beta=add, alpha=scale, out=out)
    return results


def _composed_backward(
    inputs: _Inputs, kept: Tensor, gradient: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Do the same by functions that have derivatives, and take whatever tensors PyTorch takes."""
    query, key, value, _, scale, draw = inputs

    def dropped(x: Tensor) -> Tensor:
        return drop(x.contiguous(), draw) if is_plain(x) else x * noise(kept.shape, kept.dtype, draw)

    probabilities = _differentiable(query @ key.mT * scale, kept) if _recording() else kept
    of_weights = dropped(gradient @ value.mT)
    of_scores = probabilities * (of_weights - (probabilities * of_weights).sum(-1, keepdim=True)) * scale
    return (
        of_scores @ key if wanted[0] else None,
        of_scores.mT @ query if wanted[1] else None,
        dropped(probabilities).mT @ gradient if wanted[2] else None,
    )


def _differentiable(scores: Tensor, kept: Tensor) -> Tensor:
    """Return the probabilities as a function of the scores.

    What was added to the scores is not kept: somebody may change a mask before the backward pass, which PyTorch does
    not notice either. Up to a constant in each row, which softmax ignores, the probabilities tell it.
    """
    hidden = (kept == 0).all(-1, keepdim=True)
    bias = (kept.log() - scores).detach().masked_fill(hidden, 0.0)
    return torch.softmax(scores + bias, -1).masked_fill(hidden, 0.0)
