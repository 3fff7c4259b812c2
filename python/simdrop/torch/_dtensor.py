"""Dropout of DTensors: each rank applies the window of the mask that belongs to what it has of the whole.

Elements are counted in the order of the dimensions of the whole tensor (C order), whatever the memory of the pieces. A
window follows from a placement and the rank's coordinate, so gradients may come in any placement: their windows are
of the same mask.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any, TypeAlias

import torch
from torch import Tensor

from simdrop.torch._autograd import refuse_again
from simdrop.torch._composed import composed, is_known, is_traced, layout_like
from simdrop.torch._memory import SEAL, Draw, WindowDraw, drop_into, dropped, takes
from simdrop.torch._ranks import compare_draws
from simdrop.torch._shard import window

_recording = torch.is_grad_enabled
DTensor: TypeAlias = Any  # imported by whoever has one

# The reductions with which dropout may change places: of a mask's zeros, and of products with one positive factor.
_LINEAR = ("sum", "avg", "max", "min")


def is_dtensor(x: Tensor) -> bool:
    """Return whether `x` is a DTensor."""
    kind: Any = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    return kind is not None and isinstance(x, kind)


def takes_dtensor(x: Tensor) -> bool:
    """Return whether `x` is a DTensor whose pieces the kernels take."""
    return is_dtensor(x) and is_known(x) and not is_traced(x) and not is_traced(_piece(x))


def refuse_dtensor(x: Tensor) -> None:
    """Raise if `x` is a DTensor, whose pieces compiled graphs would give the beginning of the mask."""
    if is_dtensor(x):
        raise RuntimeError(
            "dropout of a DTensor: got a compiled graph; accepted: calls outside of graphs, for example under "
            "torch.compiler.disable"
        )


def _piece(x: DTensor) -> Tensor:
    """Return what this rank has of a DTensor, when it has arrived."""
    with torch.no_grad():
        return arrived(x.to_local())


def is_awaited(x: Tensor) -> bool:
    """Return whether `x` is a tensor that a collective operation is still to fill (AsyncCollectiveTensor)."""
    return type(x) is not Tensor and hasattr(type(x), "trigger_wait")


class _Arrive(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Tensor:
        arrived: Tensor = x.wait()
        return arrived.view_as(arrived)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def arrived(x: Tensor) -> Tensor:
    """Return what an awaited tensor is when it has been filled, others as they are."""
    return _Arrive.apply(x) if is_awaited(x) else x


def _reduced(x: DTensor, linear: bool) -> DTensor:
    """Return `x` in placements that have windows and, if they are partial, allow for what is to be done."""
    tensor: Any = sys.modules["torch.distributed.tensor"]

    def fits(placement: Any) -> bool:
        if type(placement) is tensor.Partial:
            return linear and placement.reduce_op in _LINEAR
        return type(placement) in (tensor.Shard, tensor.Replicate)

    placements = [placement if fits(placement) else tensor.Replicate() for placement in x.placements]
    return x if list(x.placements) == placements else x.redistribute(placements=placements)


def start_of(x: DTensor, piece: Tensor) -> list[int]:
    """Return where the piece of this rank begins; Shard cuts as torch.chunk does, mesh dimensions in their order."""
    start, shape = [0] * x.dim(), list(x.shape)
    for placement, at, parts in zip(x.placements, x.device_mesh.get_coordinate(), x.device_mesh.shape, strict=True):
        if placement.is_shard():
            d = placement.dim
            chunk = -(-shape[d] // parts)
            first = min(at * chunk, shape[d])
            start[d] += first
            shape[d] = min(chunk, shape[d] - first)
    if tuple(piece.shape) != tuple(shape):
        raise ValueError(
            f"dropout of a DTensor: got a piece of shape {tuple(piece.shape)} on this rank for {x.placements} of "
            f"{tuple(x.shape)}; accepted: {tuple(shape)}, as torch.chunk cuts it"
        )
    return start


def _on_piece(x: DTensor, whole: WindowDraw) -> DTensor:
    if x.device_mesh.get_coordinate() is None:  # this rank has nothing
        return torch.empty_like(x)
    piece = _piece(x)
    start = start_of(x, piece)
    mine = whole._replace(offset=whole.offset + sum(a * b for a, b in zip(start, whole.steps, strict=True)))
    if takes(piece):
        y: DTensor = torch.empty_like(x)  # a third of the time of from_local
        if y.placements == x.placements:
            drop_into(_piece(y), piece, mine)
            return y
        result = dropped(piece, mine)
    else:
        result = composed(piece, mine, layout_like(piece))
    return type(x).from_local(result, x.device_mesh, x.placements, run_check=False, shape=x.shape, stride=x.stride())


class _DropPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: DTensor, sealed: tuple[WindowDraw, object]) -> DTensor:
        whole = sealed[0]
        ctx.numbers = whole.derivative()
        ctx.set_materialize_grads(False)
        return _on_piece(x, whole)

    @staticmethod
    def backward(ctx: Any, gradient: DTensor | None) -> tuple[DTensor | None, None]:
        refuse_again(ctx)
        return None if gradient is None else _drop_pieces(_reduced(gradient, linear=True), ctx.numbers), None


def _drop_pieces(x: DTensor, whole: WindowDraw) -> DTensor:
    if x.requires_grad and _recording():
        return _DropPieces.apply(x, (whole, SEAL))
    with torch.no_grad():
        return _on_piece(x, whole)


def drop_dtensor(x: DTensor, draw: Draw, shared: Collection[int]) -> DTensor:
    """Return dropout of a DTensor that shares bits along some dimensions."""
    x = _reduced(x, linear=not draw.shift and not draw.dropped)
    if draw.p < 1:
        compare_draws(x.device_mesh, draw.seed, x.shape, draw.p)
    return _drop_pieces(x, WindowDraw(draw, *window(x.shape, (0,) * x.dim(), range(x.dim()), shared)))
