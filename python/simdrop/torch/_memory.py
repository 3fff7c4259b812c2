"""Tensors taken through their memory: which ones can be, and dropout on them by their numbers.

Nothing here knows of autograd. What autograd keeps is a `Draw` and a layout, never a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy
import torch
from torch import Tensor
from torch.autograd import forward_ad

from simdrop import _core

# The dispatch keys of a tensor name everything that is special about it: the device, sparse and quantized layouts,
# subclasses with a dispatch of their own (FakeTensor among them), functorch's wrappers, lazy negation and
# conjugation, names. A tensor whose keys are exactly those of an ordinary CPU tensor is memory and nothing else.
_keys_of = torch._C._dispatch_keys
with torch.inference_mode(False):
    _ORDINARY = _keys_of(torch.empty(0, device="cpu")).raw_repr()
with torch.inference_mode():
    _INFERENCE = _keys_of(torch.empty(0, device="cpu")).raw_repr()
_PLAIN = frozenset((_ORDINARY, _INFERENCE))

CODES: dict[torch.dtype, int] = {getattr(torch, name): code for code, name in enumerate(_core.DTYPES)}

_modes = torch._C._len_torch_dispatch_stack
transforms = torch._C._are_functorch_transforms_active
_internal: Any = torch._C
_is_lazy_copy = _internal._is_cow_tensor
_start_of = _internal._data_address
_run = _core.dropout_pointers
_run_window = _core.dropout_window_pointers
_exchange: Any = getattr(Tensor, "__dlpack_c_exchange_api__", None)  # PyTorch 2.10 and above
_core_is_small = _core.is_small
_drop_small = _core.drop_small
_threads = torch.get_num_threads
_empty_like = torch.empty_like


_not_counted = 0  # calls that no user asked for


def discount(calls: int) -> None:
    """Leave calls that no user asked for out of `kernel_calls`."""
    global _not_counted  # noqa: PLW0603
    _not_counted += calls


def kernel_calls() -> int:
    """Return how often a kernel of this package has run on a tensor in this process, backward passes included.

    It tells whether a model's dropout is served here.
    """
    return _core.pointer_calls() - _not_counted


class Draw(NamedTuple):
    """The numbers of one mask: all that a backward pass needs."""

    p: float
    seed: int
    stream: int = 0
    # a kept element becomes x * scale + shift, where scale 0 stands for 1 / q
    scale: float = 0.0
    shift: float = 0.0
    dropped: float = 0.0  # what a dropped element becomes

    def derivative(self) -> Draw:
        """Return the numbers for gradients."""
        return self._replace(shift=0.0, dropped=0.0) if self.shift or self.dropped else self


# Stands beside the numbers that a function of autograd is given. A profiler that records shapes takes tuples of numbers
# apart, and fails at a seed that no int64 holds; one with an object of no type that it knows is left alone.
SEAL: Final = object()


class WindowDraw(NamedTuple):
    """The same for a window of a mask: bits that elements share, or a part of a larger tensor; see _windows.py."""

    draw: Draw
    steps: tuple[int, ...]  # of the index, for each dimension of the tensor: 0 where its elements share their bits
    offset: int = 0

    def derivative(self) -> WindowDraw:
        """Return the numbers for gradients."""
        return self._replace(draw=self.draw.derivative())


AnyDraw: TypeAlias = "Draw | WindowDraw"
# The strides of a dense tensor, over whose memory a `Draw` counts its elements; None when that is C order.
Layout: TypeAlias = "tuple[int, ...] | None"


def is_ordinary(x: Tensor) -> bool:
    """Return whether `x` is ordinary CPU memory, of whatever type."""
    return _keys_of(x).raw_repr() in _PLAIN


def is_plain(x: Tensor) -> bool:
    """Return whether `x` is ordinary CPU memory of a type that the kernels know."""
    return x.dtype in CODES and _keys_of(x).raw_repr() in _PLAIN


def takes(x: Tensor) -> bool:
    """Return whether dropout of `x` may run here: `x` is plain, and nothing wants to see PyTorch's own."""
    return is_plain(x) and not _modes() and not transforms() and forward_ad._current_level < 0


def layout_of(x: Tensor) -> Layout:
    """Return the layout of a dense tensor."""
    return None if x.is_contiguous() else x.stride()


def memory_order(shape: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Return the dimensions from the slowest to the fastest in memory.

    Of two with one stride that of length 1 is the faster: if it were longer, the other one would have a larger stride.
    """
    return sorted(range(len(shape)), key=lambda d: (-strides[d], shape[d] == 1))


def has_layout(x: Tensor, layout: Layout) -> bool:
    """Return whether a tensor has a layout."""
    return x.is_contiguous() if layout is None else x.stride() == layout


def _address(x: Tensor) -> int:
    """Return where the elements of `x` are to be read; a copy that is made when somebody writes is not made now."""
    if _is_lazy_copy(x):
        return int(_start_of(x) + x.storage_offset() * x.element_size())
    return x.data_ptr()


def _fill(source: Tensor, y: Tensor, draw: AnyDraw) -> None:
    """Write dropout of `source` to `y`; both are dense and in one order."""
    read = y.data_ptr() if source is y else _address(source)  # a tensor that is changed may have to be copied first
    if isinstance(draw, Draw):
        _run(read, y.data_ptr(), y.numel(), CODES[y.dtype], _threads(), *draw)
        return
    shape, steps = tuple(y.shape), draw.steps
    if not y.is_contiguous():  # in the order of memory
        order = memory_order(shape, y.stride())
        shape, steps = tuple(shape[d] for d in order), tuple(steps[d] for d in order)
    _run_window(read, y.data_ptr(), shape, steps, CODES[y.dtype], _threads(), *draw.draw, draw.offset)


def drop_part(x: Tensor, y: Tensor, draw: Draw, offset: int) -> None:
    """Write dropout of `x`, a part of a larger tensor that begins there, to `y`; both in C order, maybe one tensor."""
    _run(x.data_ptr(), y.data_ptr(), y.numel(), CODES[y.dtype], _threads(), *draw, offset)


def drop_window(x: Tensor, y: Tensor, draw: Draw, offset: int, steps: tuple[int, ...]) -> None:
    """Do so where an index of the mask is so many steps along each dimension of the part."""
    _run_window(x.data_ptr(), y.data_ptr(), tuple(y.shape), steps, CODES[y.dtype], _threads(), *draw, offset)


def _on_large_pages(y: Tensor) -> Tensor:
    """Return a tensor whose memory is new, and ask for large pages under it if it is large."""
    if y.nbytes >= _core.LARGE_PAGE_BYTES:
        _core.ask_for_large_pages(y.data_ptr(), y.nbytes)
    return y


def empty(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a new tensor in C order."""
    return _on_large_pages(like.new_empty(shape))


def dropped(x: Tensor, draw: AnyDraw) -> Tensor:
    """Return dropout of `x`, with the strides that PyTorch's elementwise functions give; elements count over those."""
    y = _on_large_pages(_empty_like(x))
    same = x.is_contiguous() or x.stride() == y.stride()
    if not same:  # x is not dense: the result is
        y.copy_(x)
    _fill(x if same else y, y, draw)
    return y


def is_small(x: Tensor) -> bool:
    """Return whether `x` is plain, in C order and has less than 16384 elements, of which one thread makes short work.

    A few of PyTorch's answers are asked for in C, where a question costs a fifth. Inside of transforms and modes, which
    are not looked for here, it may be a tensor of theirs.
    """
    if type(x) is not Tensor or _exchange is None or x.is_neg():
        return False
    try:
        return not _is_lazy_copy(x) and _core_is_small(_exchange, x)
    except (NotImplementedError, RuntimeError):  # it has no memory of the usual kind
        return False


def dropped_small(x: Tensor, p: float, seed: int) -> Tensor | None:
    """Return dropout of a small tensor; None if it is none."""
    return _drop_small(_exchange, _empty_like, x, p, seed)


def drop_into(y: Tensor, x: Tensor, draw: WindowDraw) -> None:
    """Write dropout of `x` to a dense tensor."""
    same = x.stride() == y.stride()
    if not same:
        y.copy_(x)
    _fill(x if same else y, y, draw)


def dropped_as(x: Tensor, draw: AnyDraw, layout: Layout) -> Tensor:
    """Return dropout of `x` with elements counted over a given layout, whatever the strides of `x`."""
    same = has_layout(x, layout)
    if layout is not None:
        y = torch.empty_strided(x.shape, layout, dtype=x.dtype, device="cpu")
    elif same:  # the usual case
        y = _empty_like(x)
    else:
        y = _empty_like(x, memory_format=torch.contiguous_format)
    _on_large_pages(y)
    if not same:
        y.copy_(x)
    _fill(x if same else y, y, draw)
    return y


def is_dense(x: Tensor) -> bool:
    """Return whether the elements of `x` fill one piece of memory, each its own place."""
    return x.is_contiguous() or x.stride() == torch.empty_like(x, device="meta").stride()


def drop_in_place(x: Tensor, draw: AnyDraw) -> None:
    """Change a dense tensor in place; versions are the caller's."""
    _fill(x, x, draw)


def keep_mask(y: Tensor, draw: AnyDraw) -> Tensor:
    """Return the mask of a dense result as booleans, in its layout: True is kept."""
    if isinstance(draw, WindowDraw):
        single = draw.draw
        kept = _core.keep_bytes(
            tuple(y.shape), single.p, single.seed, single.stream, draw.offset, draw.steps, False, _threads()
        )
        return torch.empty_like(y, dtype=torch.bool).copy_(torch.from_numpy(kept))
    kept = _core.keep_bytes((y.numel(),), draw.p, draw.seed, draw.stream, 0, None, False, _threads())
    # in its layout before it is a tensor, so that this is no view
    return torch.from_numpy(numpy.ndarray(y.shape, bool, kept, strides=y.stride()))


def noise(shape: torch.Size | tuple[int, ...], dtype: torch.dtype, draw: AnyDraw, layout: Layout = None) -> Tensor:
    """Return what dropout multiplies with: 0 where it drops, the scale where it keeps."""
    if layout is None:
        y = torch.ones(shape, dtype=dtype, device="cpu")
    else:
        y = torch.empty_strided(shape, layout, dtype=dtype, device="cpu").fill_(1)
    _fill(y, y, draw)
    return y
