"""Dropout as an operator that torch.compile and torch.export can trace: simdrop::dropout.

It is a pure function: the seed is a tensor that is drawn outside of it, and elements are counted in an order that is
an argument, not in that of the memory. So a compiler may change strides, repeat it or move it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from simdrop.torch._memory import Draw, drop_in_place, dropped_as
from simdrop.torch._random import HIGH, LOW, WORD
from simdrop.torch._shard import refuse_parts


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

    def slower_first(a: int, b: int) -> int:
        return int(strides[a] < strides[b]) - int(strides[a] > strides[b])

    # by comparisons, which leave strides that are symbols as general as they are
    return sorted(dimensions, key=functools.cmp_to_key(slower_first))


def _strides(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a dense tensor whose dimensions lie in memory in that order."""
    strides = [1] * len(shape)
    step = 1
    for d in reversed(order):
        strides[d] = step
        step = step * max(1, shape[d])
    return tuple(strides)


def draw_of(seed: Tensor, p: float, scale: float) -> Draw:
    """Return the numbers of a mask, of which the seed comes as a tensor."""
    words = [int(word) & WORD for word in seed.reshape(-1).tolist()]
    return Draw(p, words[0], words[1] if len(words) > 1 else 0, scale)


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
    return dropped_as(x, draw_of(seed, p, scale), _strides(x.shape, order))


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


# The same in place, which Inductor puts in where nothing else needs the argument (_joint_graph.py). The first of them
# returns its argument and is for graphs; what it becomes when it is compiled is the second.
torch.library.define(
    "simdrop::dropout_", "(Tensor(a!) x, Tensor seed, float p, float scale, int[] order) -> Tensor(a!)"
)
torch.library.define("simdrop::drop_in_place", "(Tensor(a!) x, Tensor seed, float p, float scale, int[] order) -> ()")


@torch.library.register_fake("simdrop::dropout_")
def _(x: Tensor, seed: Tensor, p: float, scale: float, order: Sequence[int]) -> Tensor:
    return x


@torch.library.register_fake("simdrop::drop_in_place")
def _(x: Tensor, seed: Tensor, p: float, scale: float, order: Sequence[int]) -> None:
    return None


@torch.library.impl("simdrop::drop_in_place", "CPU")
def _(x: Tensor, seed: Tensor, p: float, scale: float, order: Sequence[int]) -> None:
    draw, layout = draw_of(seed, p, scale), _strides(x.shape, order)
    if all(n == 1 or given == dense for n, given, dense in zip(x.shape, x.stride(), layout, strict=True)):
        drop_in_place(x, draw)
    else:
        x.copy_(dropped_as(x, draw, layout))


# The argument is the seed drawn before, which is not looked at: it keeps the draws of a graph in the program's order.
torch.library.define("simdrop::next_seed", "(Tensor? after=None) -> Tensor", tags=(torch.Tag.nondeterministic_seeded,))
_next_seed_op = torch.ops.simdrop.next_seed.default


@torch.library.impl("simdrop::next_seed", "CompositeExplicitAutograd")
def _(after: Tensor | None = None) -> Tensor:
    refuse_parts("a compiled graph, which draws the masks of whole tensors")
    return torch.empty((1,), dtype=torch.int64, device="cpu").random_(LOW, HIGH)


@torch.library.register_fake("simdrop::next_seed")
def _(after: Tensor | None = None) -> Tensor:
    watch_draws()  # Dynamo comes by here before anything is recorded
    return torch.empty((1,), dtype=torch.int64, device="cpu")


def _record_next_seed(mode: Any, after: Tensor | None = None) -> Tensor:
    """Record a draw: behind the one before it in the same graph, and never to be repeated for the backward pass."""
    from torch.fx.experimental.proxy_tensor import track_tensor_tree  # noqa: PLC0415
    from torch.utils.checkpoint import CheckpointPolicy  # noqa: PLC0415

    graph = mode.tracer.graph
    before: Any = next(reversed(graph.find_nodes(op="call_function", target=_next_seed_op)), None)
    out = _next_seed_op(after)
    proxy = mode.tracer.create_proxy("call_function", _next_seed_op, (None,), {})
    proxy.node.args = (before,)
    proxy.node.meta["recompute"] = CheckpointPolicy.MUST_SAVE
    return track_tensor_tree(out, proxy, constant=None, tracer=mode.tracer)


def watch_draws() -> None:
    """Have draws recorded that way; called when there is something that records."""
    from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode  # noqa: PLC0415

    if ProxyTorchDispatchMode not in _next_seed_op.python_key_table:
        _next_seed_op.py_impl(ProxyTorchDispatchMode)(_record_next_seed)


def seed_tensor(needed: bool) -> Tensor:
    """Draw a seed as a tensor, so that a compiled graph draws a new one each time it runs; or return one of no use."""
    if not needed:
        return torch.zeros((1,), dtype=torch.int64, device="cpu")
    if not torch.compiler.is_compiling():
        watch_draws()
    return torch.ops.simdrop.next_seed()
