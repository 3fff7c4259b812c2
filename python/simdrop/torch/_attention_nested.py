"""Attention with dropout of nested tensors, one sample after another.

PyTorch computes it, of both layouts, by its composition on nested tensors of the strided layout: that is where this is
called. A sample's mask is its part of that of the padded matrix, so that padding changes nothing but time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from simdrop.torch._attention import attention, fits
from simdrop.torch._memory import Draw, takes
from simdrop.torch._random import next_seed
from simdrop.torch._shard import active


def attention_of_nested(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    p: float = 0.0,
    causal: bool = False,
    dropout_mask: Tensor | None = None,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    """Return scaled dot product attention of (batch, heads, *, width), ragged in the third; None if it is PyTorch's."""
    tensors = query, key, value
    if not 0 < p < 1 or mask is not None or causal or dropout_mask is not None or enable_gqa or active.parts:
        return None
    if any(not x.is_nested or x.layout != torch.strided or x.dim() != 4 or not x.is_contiguous() for x in tensors):
        return None
    if len({x.size(0) for x in tensors}) > 1 or not query.size(0):
        return None
    samples = [[x[None] for x in parts] for parts in zip(*(x.unbind() for x in tensors), strict=True)]
    if not all(takes(x) for sample in samples for x in sample):
        return None
    heads = {q.shape[1] for q, *_ in samples}
    if len(heads) > 1 or not all(fits(q, k, v, None, False, False, any_size=True) for q, k, v in samples):
        return None
    whole = (len(samples), *heads, *(max(sample[i].shape[2] for sample in samples) for i in (0, 1)))
    draw = Draw(p, next_seed())
    results = []
    for i, (q, k, v) in enumerate(samples):
        results.append(attention(q, k, v, None, False, False, scale, draw, whole, (i, 0, 0, 0))[0])
    return torch.nested.as_nested_tensor(results)
