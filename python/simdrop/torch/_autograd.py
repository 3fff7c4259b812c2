"""Dropout under autograd. Saved for backward: a few Python numbers, whatever the size of the tensor.

Every function is linear in its tensor, and its derivative is the same function with the same numbers; so the
backward pass calls it again, and derivatives of any order follow.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.graph import increment_version

from simdrop.torch._alone import KNOWABLE, Counts, counts, current_node
from simdrop.torch._composed import composed
from simdrop.torch._memory import (
    SEAL,
    AnyDraw,
    Draw,
    Layout,
    discount,
    drop_in_place,
    dropped,
    dropped_as,
    dropped_small,
    has_layout,
    is_dense,
    is_plain,
    keep_mask,
    layout_of,
    transforms,
)

_recording = torch.is_grad_enabled
Factors: TypeAlias = Callable[[], Tensor]
Sealed: TypeAlias = tuple[AnyDraw, object]


def _apply_of(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """Return `function.apply` without its check for functorch, which costs a microsecond and is made elsewhere."""
    inherited: Any = super(torch.autograd.Function, function)
    return inherited.apply


class _Drop(torch.autograd.Function):
    """Elementwise dropout; `layout` False stands for that of `x`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sealed: Sealed, layout: Layout | Literal[False]) -> Tensor:
        draw = sealed[0]
        ctx.set_materialize_grads(False)
        if layout is not False:
            ctx.numbers = (draw, layout)
            return dropped_as(x, draw, layout)
        y = dropped(x, draw)
        ctx.numbers = (draw.derivative(), layout_of(y))
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None, None]:
        return _backward(ctx, gradient, *ctx.numbers), None, None


class _DropSmall(torch.autograd.Function):
    """The same for a tensor that `is_small`, in as few steps as there can be."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sealed: tuple[float, int, object]) -> Tensor | None:
        p, seed, _ = ctx.numbers = sealed
        ctx.set_materialize_grads(False)
        return dropped_small(x, p, seed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        refuse_again(ctx)
        p, seed, _ = ctx.numbers
        if (
            type(gradient) is Tensor
            and not gradient.is_neg()
            and forward_ad._current_level < 0
            and not (_recording() or transforms())
        ):
            result = dropped_small(gradient, p, seed)
            if result is not None:
                return result, None
        return _backward(ctx, gradient, Draw(p, seed), None), None


class _DropInPlace(torch.autograd.Function):
    """The same in place, on a dense tensor that is neither a leaf nor a view."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sealed: Sealed) -> Tensor:
        draw = sealed[0]
        drop_in_place(x, draw)
        ctx.numbers = (draw.derivative(), layout_of(x))
        ctx.set_materialize_grads(False)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        return _backward(ctx, gradient, *ctx.numbers), None


class _DropWithMask(torch.autograd.Function):
    """Elementwise dropout that also gives its mask away, and does not keep it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sealed: Sealed) -> tuple[Tensor, Tensor]:
        draw = sealed[0]
        y = dropped(x, draw)
        mask = keep_mask(y, draw)
        ctx.mask = weakref.ref(mask)
        ctx.numbers = (draw, layout_of(y))
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mask)
        return y, mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: Any) -> tuple[Tensor | None, None]:
        mask = ctx.mask()  # it is not needed, but whoever changed it meant something by that, and PyTorch refuses
        if mask is not None and mask._version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[{mask.type()} {list(mask.shape)}], which is output 1 of native_dropout, is at version "
                f"{mask._version}; expected version 0 instead."
            )
        return _backward(ctx, gradient, *ctx.numbers), None


class _Multiply(torch.autograd.Function):
    """x times factors that are made again for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factors: Factors) -> Tensor:
        ctx.factors = factors
        ctx.set_materialize_grads(False)
        return _product(x, factors())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        refuse_again(ctx)
        return None if gradient is None else multiply(gradient, ctx.factors), None


class _MultiplyInPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factors: Factors) -> Tensor:
        ctx.factors = factors
        ctx.set_materialize_grads(False)
        ctx.mark_dirty(x)
        return x.mul_(factors())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        refuse_again(ctx)
        return None if gradient is None else multiply(gradient, ctx.factors), None


def _product(x: Tensor, factors: Tensor) -> Tensor:
    """Multiply; factors of a wider type than `x` are not rounded first."""
    if x.dtype == factors.dtype or not is_plain(x):
        return x * factors
    return torch.mul(x, factors, out=torch.empty_like(x))


_drop = _apply_of(_Drop)
_drop_small = _apply_of(_DropSmall)
_drop_in_place = _apply_of(_DropInPlace)
_drop_with_mask = _apply_of(_DropWithMask)
_multiply = _apply_of(_Multiply)
_multiply_in_place = _apply_of(_MultiplyInPlace)


# The counts of gradients that belong to the backward pass alone (_alone.py): None until they are measured, and empty
# where they cannot be.
_alone: frozenset[Counts] | None = None
# The mask of the measurement, recognised by its identity, and what was seen.
_probe = Draw(0.5, 0)
_measured: list[Counts] = []
_measuring = threading.Lock()
# Below this a new tensor costs less than the question.
_LARGE = 16384


def _measure() -> None:
    """Learn the counts of gradients that are alone, and that they tell them from others."""
    global _alone  # noqa: PLW0603
    _alone = frozenset()
    if not KNOWABLE:
        return
    held = torch.ones(_LARGE, device="cpu")
    x = torch.ones(_LARGE, device="cpu", requires_grad=True)
    alone: tuple[Callable[[Tensor], Tensor], ...] = (lambda y: y * 2, lambda y: (y.view(2, -1) * 2).view(-1))
    shared: tuple[Callable[[Tensor], Tensor], ...] = (lambda y: y.add(0), lambda y: y.view(2, -1).view(-1))
    with _measuring:
        _measured.clear()
        for function in (*alone, *alone, *shared):
            torch.autograd.grad(function(_drop(x, (_probe, SEAL), False)), x, held)
        discount(2 * len(_measured))
        first, again, others = _measured[:2], _measured[2:4], _measured[4:]
    if first == again and not set(first) & set(others):
        _alone = frozenset(first)


def refuse_again(ctx: Any) -> None:
    """Raise PyTorch's error if the graph has been freed: it comes with asking for saved tensors, if only for none."""
    ctx.saved_tensors  # noqa: B018


def _backward(ctx: Any, gradient: Tensor | None, draw: AnyDraw, layout: Layout) -> Tensor | None:
    refuse_again(ctx)
    if gradient is None:
        return None
    if not is_plain(gradient) or forward_ad._current_level >= 0 or transforms():
        return composed(gradient, draw, layout)  # a batch of gradients, a dual tensor, a subclass
    if _recording():
        return _drop(gradient, (draw, SEAL), layout) if gradient.requires_grad else dropped_as(gradient, draw, layout)
    if gradient.numel() >= _LARGE and has_layout(gradient, layout):
        seen = counts(gradient)
        if draw is _probe:
            _measured.append(seen)
        elif _alone and seen in _alone and current_node() is ctx:
            drop_in_place(gradient, draw)
            return gradient
    return dropped_as(gradient, draw, layout)


def drop(x: Tensor, draw: AnyDraw) -> Tensor:
    """Return dropout of a plain tensor."""
    if x.requires_grad and _recording():
        if _alone is None:
            _measure()
        return _drop(x, (draw, SEAL), False)
    return dropped(x, draw)


def drop_small(x: Tensor, p: float, seed: int) -> Tensor | None:
    """Return dropout of a tensor that `is_small`."""
    return _drop_small(x, (p, seed, SEAL)) if x.requires_grad and _recording() else dropped_small(x, p, seed)


def drop_with_mask(x: Tensor, draw: AnyDraw) -> tuple[Tensor, Tensor]:
    """Return dropout of a plain tensor, and its mask as booleans: True is kept."""
    return _drop_with_mask(x, (draw, SEAL))


def drop_(x: Tensor, draw: AnyDraw) -> Tensor:
    """Change a plain tensor in place by PyTorch's rules."""
    refuse_inference(x)
    graph = x.requires_grad and _recording()
    if not is_dense(x) or (graph and (x.is_leaf or x._is_view())):
        return x.copy_(drop(x, draw))  # which knows leaves, views and shared elements, and refuses before it writes
    if graph:
        return _drop_in_place(x, (draw, SEAL))
    drop_in_place(x, draw)
    if not x.is_inference():
        increment_version(x)
    return x


def refuse_inference(x: Tensor) -> None:
    """Raise PyTorch's error if `x` may not be changed here; PyTorch itself raises it when it has been changed."""
    if x.is_inference() and not torch.is_inference_mode_enabled():
        x.as_strided((0,), (1,)).zero_()


def replace(x: Tensor, y: Tensor) -> Tensor:
    """Change `x` to `y` by PyTorch's rules."""
    refuse_inference(x)
    return x.copy_(y)


def multiply(x: Tensor, factors: Factors) -> Tensor:
    """Return x times factors that can be made again from their numbers."""
    if x.requires_grad and _recording() and is_plain(x) and forward_ad._current_level < 0:
        return _multiply(x, factors)
    return _product(x, factors())


def multiply_(x: Tensor, factors: Factors) -> Tensor:
    """Do the same in place by PyTorch's rules."""
    refuse_inference(x)
    if not (x.requires_grad and _recording()):
        return x.mul_(factors())
    if x.is_leaf or x._is_view():
        return x.copy_(multiply(x, factors))
    return _multiply_in_place(x, factors)
