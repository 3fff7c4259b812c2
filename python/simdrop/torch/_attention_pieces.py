"""Attention with dropout of DTensors that are cut along the batch or the heads: each rank works on its piece."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor

from simdrop._windows import c_order
from simdrop.torch._attention import attention, fits
from simdrop.torch._dtensor import arrived, start_of, takes_dtensor
from simdrop.torch._memory import Draw
from simdrop.torch._ranks import compare_draws


def serves_pieces(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, grouped: bool) -> bool:
    """Return whether `attention_of_pieces` computes this; the same on all ranks, as PyTorch's own may communicate."""
    tensors: tuple[Any, ...] = query, key, value
    if mask is not None or query.dim() not in (3, 4) or not all(takes_dtensor(x) for x in tensors):
        return False
    module: Any = sys.modules["torch.distributed.tensor"]
    mesh, placements = tensors[0].device_mesh, tensors[0].placements
    if any(x.device_mesh != mesh or x.placements != placements for x in tensors) or mesh.get_coordinate() is None:
        return False
    parts = [1] * query.dim()
    for placement, n in zip(placements, mesh.shape, strict=True):
        if type(placement) is module.Shard and placement.dim < query.dim() - 2:
            parts[placement.dim] *= n
        elif type(placement) is not module.Replicate:
            return False
    if any(n % k or not n for x in tensors for n, k in zip(x.shape, parts, strict=True)):
        return False
    same = 1 if grouped else -2  # grouped heads of keys are fewer
    return key.shape[:same] == query.shape[:same] and fits(query, key, value, None, causal, grouped)


def attention_of_pieces(
    query: Any, key: Any, value: Any, mask: Tensor | None, causal: bool, grouped: bool, scale: float | None, draw: Draw
) -> Tensor:
    """Return scaled dot product attention; the bits of `draw` are counted over the whole (..., L, S) matrix."""
    compare_draws(query.device_mesh, draw.seed, query.shape, draw.p)
    pieces = [arrived(x.to_local()) for x in (query, key, value)]
    start = (*start_of(query, pieces[0])[:-2], 0, 0)
    whole = (*query.shape[:-1], key.shape[-2])
    y = attention(pieces[0], pieces[1], pieces[2], mask, causal, grouped, scale, draw, whole, start)
    shape = query.shape[:-1] + value.shape[-1:]
    made: Tensor = type(query).from_local(
        y, query.device_mesh, query.placements, run_check=False, shape=shape, stride=c_order(tuple(shape))
    )
    return made
