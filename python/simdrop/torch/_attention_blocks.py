"""Attention with dropout on its weights, block by block, so that the attention matrix stays in the caches.

PyTorch's fused kernel for the CPU cannot drop. With dropout PyTorch composes attention from functions of the whole
(..., L, S) matrix, each of which streams it through memory. Here a few heads, or rows of one head, are computed at a
time from the scores to the result. For the backward pass they are computed again (as FlashAttention does; Dao et al.,
2022), mask and all, unless the matrix is so small that it may be kept.

Nothing here knows of autograd. Tensors have four dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from simdrop import _core
from simdrop.torch._memory import Draw, WindowDraw, drop_part, drop_window, empty

# Bytes of the matrix in one block: three buffers of it are in use.
_BLOCK = _core.cache_bytes() // 8
# A block has as many rows at least: with fewer, a matrix product becomes one of a vector.
_ROWS = 32
# And so many at most where each row sees what is before it: what it does not see is not computed.
_CAUSAL_ROWS = 128
# Bytes of the matrix that are kept for the backward pass.
_KEPT = _core.cache_bytes() // 2


class Block(NamedTuple):
    """A part of the (batch, heads, L, S) matrix."""

    batch: slice
    heads: slice
    rows: slice
    columns: slice  # from the first on; the others are hidden
    shape: tuple[int, int, int, int]
    offset: int  # of its first element in the matrix
    begin: int  # elements in the blocks before it

    def of(self, x: Tensor) -> Tensor:
        """Return that part of what has rows, batch and heads as one dimension: a view where strides allow."""
        return x[self.batch, self.heads, self.rows].flatten(0, 1)

    def of_keys(self, x: Tensor) -> Tensor:
        """Do so with keys or values."""
        return x[self.batch, self.heads, self.columns].flatten(0, 1)

    def of_mask(self, mask: Tensor) -> Tensor:
        """Return what of a mask is broadcast to the block, in four dimensions."""
        return mask[tuple(slice(None) if n == 1 else s for n, s in zip(mask.shape, self[:4], strict=True))]

    def within(self, buffer: Tensor) -> Tensor:
        """Return the beginning of a buffer as this block."""
        batch, heads, *rest = self.shape
        return buffer[: math.prod(self.shape)].view(batch * heads, *rest)


class Inputs(NamedTuple):
    """Query, key and value of one type, the mask, and numbers."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None  # added to the scores; or booleans: True is seen
    causal: bool
    scale: float
    draw: Draw | WindowDraw

    @property
    def matrix(self) -> tuple[int, int, int, int]:
        """The shape of the attention matrix."""
        batch, heads, rows, _ = self.query.shape
        return batch, heads, rows, self.key.shape[-2]

    @property
    def type(self) -> torch.dtype:
        """The type that is computed in: float32 for float16 and bfloat16, as in PyTorch."""
        return torch.float64 if self.query.dtype == torch.float64 else torch.float32

    def widened(self) -> Inputs:
        """Return them in the type that is computed in."""
        query, key, value = (x.to(self.type) for x in self[:3])
        return self._replace(query=query, key=key, value=value)


def blocks_of(inputs: Inputs) -> list[Block]:
    """Cut the matrix into blocks; of one head the last rows come first, which see the most keys."""
    return list(_blocks(inputs.matrix, inputs.causal, _BLOCK // inputs.type.itemsize))


def _blocks(matrix: tuple[int, int, int, int], causal: bool, limit: int) -> Iterator[Block]:
    batch, heads, rows, columns = matrix
    r = min(rows, max(_ROWS, limit // columns))
    if causal:
        r = min(r, _CAUSAL_ROWS)
    h = min(heads, max(1, limit // (r * columns))) if r == rows or causal else 1
    b = min(batch, max(1, limit // (r * columns * heads))) if h == heads else 1
    begin = 0
    for i in range(0, batch, b):
        for j in range(0, heads, h):
            for k in reversed(range(0, rows, r)):
                c = min(columns, k + r) if causal else columns
                shape = min(b, batch - i), min(h, heads - j), min(r, rows - k), c
                offset = ((i * heads + j) * rows + k) * columns
                yield Block(slice(i, i + b), slice(j, j + h), slice(k, k + r), slice(c), shape, offset, begin)
                begin += math.prod(shape)


def keeps(inputs: Inputs) -> bool:
    """Return whether the probabilities are to be kept for the backward pass."""
    return math.prod(inputs.matrix) * inputs.type.itemsize <= _KEPT


def room(inputs: Inputs) -> Tensor:
    """Return room for the probabilities."""
    return inputs.query.new_empty(inputs.matrix, dtype=inputs.type)


def _drop(inputs: Inputs, block: Block, x: Tensor, y: Tensor) -> None:
    """Write dropout of a block to `y`."""
    _, _, rows, columns = inputs.matrix
    draw = inputs.draw
    if isinstance(draw, WindowDraw):
        starts = block.batch.start, block.heads.start, block.rows.start
        offset = draw.offset + sum(a * b for a, b in zip(starts, draw.steps, strict=False))
        drop_window(x.view(block.shape), y.view(block.shape), draw.draw, offset, draw.steps)
    elif block.shape[2:] == (rows, columns) or (x.shape[0] == 1 and block.shape[3] == columns):
        drop_part(x, y, draw, block.offset)
    else:
        drop_window(x, y, draw, block.offset, (rows * columns, columns, 1))


def _scores(inputs: Inputs, block: Block, hidden: Tensor | None, out: Tensor) -> None:
    query, key = block.of(inputs.query), block.of_keys(inputs.key)
    torch.baddbmm(out, query, key.mT, beta=0, alpha=inputs.scale, out=out)
    if inputs.mask is not None:
        part = block.of_mask(inputs.mask)
        out.view(block.shape).add_(_bias(part, out.dtype) if part.dtype == torch.bool else part)
    start = block.rows.start
    if hidden is not None and start < block.shape[3]:
        out[..., start:].add_(hidden[: block.shape[2], : block.shape[3] - start])


def _bias(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 0 where something is seen and -inf elsewhere: 1 - 1 / x takes a fifth of the time of `where`."""
    return visible.to(dtype).reciprocal_().neg_().add_(1)


def _probabilities(inputs: Inputs, block: Block, hidden: Tensor | None, out: Tensor) -> None:
    _scores(inputs, block, hidden, out)
    torch._softmax(out, -1, False, out=out)  # it goes row by row and may work in place
    if out[..., 0].isnan().any():  # of a row that sees nothing PyTorch makes zeros, and only of such a row
        scores = torch.empty_like(out)
        _scores(inputs, block, hidden, scores)
        out.masked_fill_((scores == -math.inf).all(-1, keepdim=True), 0.0)


def _hidden(inputs: Inputs, blocks: list[Block]) -> Tensor | None:
    """Return what is added to the square at the end of a block's rows if each row sees what is before it."""
    rows = max(block.shape[2] for block in blocks)
    return inputs.query.new_full((rows, rows), -math.inf).triu_(1) if inputs.causal else None


def _buffer(inputs: Inputs, blocks: list[Block]) -> Tensor:
    return empty(inputs.query, (max(math.prod(block.shape) for block in blocks),))


def forward(inputs: Inputs, kept: Tensor | None = None) -> Tensor:
    """Return attention, and write the probabilities to `kept` if it is given, as long as the matrix."""
    dtype, inputs = inputs.query.dtype, inputs.widened()
    query, value = inputs.query, inputs.value
    blocks = blocks_of(inputs)
    output, buffer = empty(query, (*query.shape[:-1], value.shape[-1])), _buffer(inputs, blocks)
    hidden = _hidden(inputs, blocks)
    for block in blocks:
        weights = block.within(buffer)
        probabilities = weights if kept is None else block.within(kept.view(-1)[block.begin :])
        _probabilities(inputs, block, hidden, probabilities)
        _drop(inputs, block, probabilities, weights)
        torch.bmm(weights, block.of_keys(value), out=block.of(output))
    return output.to(dtype)


def backward(
    inputs: Inputs, kept: Tensor | None, gradient: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Return the gradients that are wanted of query, key, value and mask."""
    dtype, inputs = inputs.query.dtype, inputs.widened()
    query, key, value, mask, causal, scale, _ = inputs
    gradient = gradient.to(query.dtype)
    of_query = empty(query, query.shape) if wanted[0] else None
    of_key = empty(key, key.shape) if wanted[1] else None
    of_value = empty(value, value.shape) if wanted[2] else None
    if causal:  # nothing is written of a key that no row sees
        of_key, of_value = (None if x is None else x.zero_() for x in (of_key, of_value))
    of_mask = None if mask is None or not wanted[3] else torch.zeros_like(mask, dtype=query.dtype)
    blocks = blocks_of(inputs)
    hidden = _hidden(inputs, blocks)
    buffer, again = _buffer(inputs, blocks), None if kept is not None else _buffer(inputs, blocks)
    for block in blocks:
        if again is not None:
            probabilities = block.within(again)
            _probabilities(inputs, block, hidden, probabilities)
        elif kept is not None:
            probabilities = block.within(kept.view(-1)[block.begin :])
        work, g = block.within(buffer), block.of(gradient)
        # to the gradients of keys and values: what other rows have written there
        add = float(causal or block.rows.stop < query.shape[2])
        if of_value is not None:
            _drop(inputs, block, probabilities, work)
            out = block.of_keys(of_value)
            torch.baddbmm(out, work.mT, g, beta=add, out=out)
        if of_query is None and of_key is None and of_mask is None:
            continue
        torch.bmm(g, block.of_keys(value).mT, out=work)
        _drop(inputs, block, work, work)
        torch._softmax_backward_data(work, probabilities, -1, query.dtype, grad_input=work)  # row by row, as above
        if of_mask is not None:
            block.of_mask(of_mask).add_(work.view(block.shape).sum_to_size(block.of_mask(of_mask).shape))
        if of_query is not None:
            out = block.of(of_query)
            torch.baddbmm(out, work, block.of_keys(key), beta=0, alpha=scale, out=out)
        if of_key is not None:
            out = block.of_keys(of_key)
            torch.baddbmm(out, work.mT, block.of(query), beta=add, alpha=scale, out=out)
    results = tuple(None if x is None else x.to(dtype) for x in (of_query, of_key, of_value))
    return *results, None if of_mask is None or mask is None else of_mask.to(mask.dtype)
