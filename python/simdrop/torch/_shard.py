"""Which part of a larger tensor a process has: with it, each rank of data parallel training draws its part of one mask.

A part is a range along one dimension. Steps and offset of its mask follow: those of a window (simdrop/_windows.py).
"""

from __future__ import annotations

import contextlib
import operator
import threading
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, SupportsIndex

import torch.distributed as dist
from torch import Tensor

from simdrop import _core
from simdrop.torch._composed import result_like
from simdrop.torch._memory import AnyDraw, Draw, WindowDraw, memory_order
from simdrop.torch._ranks import compare_blocks


class _Part(NamedTuple):
    """One part of a dimension that is cut: `before` units of it lie before this one, which has `length` of `total`."""

    dim: int
    before: int
    length: int
    total: int

    def widen(self, shape: list[int], start: list[int]) -> None:
        """Turn shape and start of a part into those in the whole."""
        d = self.dim + len(shape) if self.dim < 0 else self.dim
        if not 0 <= d < len(shape):
            raise ValueError(
                f"shard: got a tensor of shape {tuple(shape)}; accepted: tensors with a dimension {self.dim}"
            )
        units, rest = divmod(shape[d], self.length) if self.length else (0, shape[d])
        if rest:
            raise ValueError(
                f"shard: got a tensor of shape {tuple(shape)}; accepted: {self.length}, the size of this part, or a "
                f"multiple of it along dimension {self.dim}"
            )
        shape[d], start[d] = units * self.total, start[d] + units * self.before


class _Active(threading.local):
    """The parts that this thread has, the outermost block first."""

    parts: tuple[_Part, ...] = ()


active = _Active()


def window(
    shape: Sequence[int], start: Sequence[int], order: Sequence[int], shared: Collection[int]
) -> tuple[tuple[int, ...], int]:
    """Return steps and offset of a part of a tensor, within the whole that open blocks make of it.

    Parameters
    ----------
    shape : sequence of int
        Shape of the tensor.
    start : sequence of int
        Where the part begins.
    order : sequence of int
        The dimensions from that which the index counts slowest to the fastest.
    shared : collection of int
        The dimensions along which elements share their bits.
    """
    whole, first = list(shape), list(start)
    for part in reversed(active.parts):
        part.widen(whole, first)
    steps, step = [0] * len(whole), 1
    for d in reversed(order):
        if d not in shared:
            steps[d] = step
            step *= whole[d]
    return tuple(steps), sum(a * b for a, b in zip(first, steps, strict=True))


def numbers_for(x: Tensor, draw: Draw, shared: Collection[int] = ()) -> AnyDraw:
    """Return the numbers of the mask for a tensor that shares bits along some dimensions."""
    if not active.parts and all(x.shape[d] == 1 for d in shared):
        return draw
    shape = tuple(x.shape)
    strides = x.stride() if x.is_contiguous() else result_like(x).stride()
    return WindowDraw(draw, *window(shape, (0,) * len(shape), memory_order(shape, strides), shared))


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """Draw whole masks inside: for what every rank has, such as weights."""
    before, active.parts = active.parts, ()
    try:
        yield
    finally:
        active.parts = before


def refuse_parts(what: str) -> None:
    """Raise if this thread has a part, for what cannot be done in parts."""
    if active.parts:
        raise RuntimeError(f"shard: got {what}; accepted inside of the block: dropout outside of compiled graphs")


def _integer(name: str, value: SupportsIndex) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: got {_core.shown(value)}; accepted: an integer") from None


def _part(dim: SupportsIndex, index: SupportsIndex, of: SupportsIndex | Sequence[SupportsIndex]) -> tuple[_Part, int]:
    """Return a part from the arguments of `shard`, and the number of all."""
    if isinstance(of, (list, tuple)):
        sizes = [_integer("of", size) for size in of]
        if not sizes or min(sizes) < 0 or sum(sizes) == 0:
            raise ValueError(f"of: got {_core.shown(of)}; accepted: sizes of 0 and above, one of them above 0")
        count, total = len(sizes), sum(sizes)
    else:
        sizes = []
        count = total = _integer("of", of)  # type: ignore[arg-type]
        if count < 1:
            raise ValueError(f"of: got {count}; accepted: 1 and above")
    at = _integer("index", index)
    if not 0 <= at < count:
        raise ValueError(f"index: got {at}; accepted: 0 to {count - 1}")
    before, length = (sum(sizes[:at]), sizes[at]) if sizes else (at, 1)
    return _Part(_integer("dim", dim), before, length, total), count


@contextlib.contextmanager
def shard(
    *,
    index: SupportsIndex,
    of: SupportsIndex | Sequence[SupportsIndex],
    dim: SupportsIndex = 0,
    check: bool | dist.ProcessGroup | None = None,
) -> Iterator[None]:
    """Draw, inside of a ``with`` block, this process' part of the masks of the whole batch.

    For data parallel training: with the same `torch.manual_seed` on every rank, each rank's dropout is that which one
    process would apply to its part of the whole batch. So the network that comes out does not depend on the number of
    processes, but for the rounding of sums. The block is to enclose the forward pass, and the backward pass too if
    checkpoints compute parts of the forward pass again. It holds for this thread, and for every dropout of this package
    and, while installed, of PyTorch, outside of compiled graphs. Blocks may be nested, for several dimensions.

    Parameters
    ----------
    index : int, keyword only
        Which part this process has, from 0.
    of : int or sequence of int, keyword only
        How many parts of equal size there are, or their sizes where they differ: those of the last batch of an epoch,
        for example. Tensors have that size along `dim`, or a multiple of it where dimensions are merged, such as batch
        and heads.
    dim : int, keyword only
        The dimension that is cut.
    check : bool or ProcessGroup, keyword only
        Whose ranks are compared when the block begins: all must have the same state of PyTorch's generator, the same
        `of` and `dim`, and an `index` each. None is the default group of `torch.distributed` if it has as many ranks
        as there are parts, False is nobody.

    Raises
    ------
    ValueError
        If `index` or `of` are out of range; inside, if a tensor does not have the size of its part.
    RuntimeError
        If ranks disagree, on each of them; inside, if a compiled graph draws a mask.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> whole = simdrop.torch.dropout(torch.ones(4, 3), 0.5, rng=42)
    >>> with simdrop.torch.shard(index=1, of=2):
    ...     part = simdrop.torch.dropout(torch.ones(2, 3), 0.5, rng=42)
    >>> torch.equal(part, whole[2:])
    True
    """
    part, count = _part(dim, index, of)
    compare_blocks(check, part, count, operator.index(index))
    before = active.parts
    active.parts = (*before, part)
    try:
        yield
    finally:
        active.parts = before
