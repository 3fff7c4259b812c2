"""Dropout composed of PyTorch's operators, with the mask that the kernels make of the same seed.

For tensors that are not memory and nothing else: dual tensors, those of function transforms, subclasses, negated views,
and whatever a dispatch mode looks at. Modes and transforms see the arithmetic and not how the mask is made; but the
seed is drawn where transforms see it, so that `vmap` has its say in how many there are.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from simdrop._draw import keep_probability
from simdrop.torch._compile import compiling
from simdrop.torch._memory import CODES, AnyDraw, Draw, Layout, WindowDraw, layout_of, noise, transforms
from simdrop.torch._random import HIGH, LOW, WORD, next_seed

_ModeKey = torch._C._TorchDispatchModeKey
_TRACERS = (_ModeKey.FUNCTIONAL, _ModeKey.PROXY, _ModeKey.FAKE)
_mode_at = torch._C._get_dispatch_mode
_included = torch._C._dispatch_tls_is_dispatch_key_included
_PYTHON_DISPATCHER = torch._C.DispatchKey.PythonDispatcher
_PRE_DISPATCH = torch._C.DispatchKey.PreDispatch
_exporting = getattr(torch.compiler, "is_exporting", bool)  # PyTorch 2.7 and above have it
_functorch = torch._C._functorch
# Subclasses that take no ordinary tensor beside them.
_ALONE = ("torch.distributed.", "torch.masked.")


def _innermost(x: Tensor) -> Tensor:
    """Return what function transforms have wrapped."""
    while _functorch.is_functorch_wrapped_tensor(x):
        x = _functorch.get_unwrapped(x)
    return x


def _is_placeholder(x: Tensor) -> bool:
    """Return whether a tensor has a shape and a type but no elements."""
    tracing = sys.modules.get("torch._subclasses.fake_tensor"), sys.modules.get("torch._subclasses.functional_tensor")
    kinds = tuple(getattr(m, n) for m, n in zip(tracing, ("FakeTensor", "FunctionalTensor"), strict=True) if m)
    return isinstance(x, kinds) or torch._is_functional_tensor(x)


def is_traced(x: Tensor) -> bool:
    """Return whether what happens to `x` is recorded instead of, or beside, letting it happen."""
    if _included(_PYTHON_DISPATCHER) or _included(_PRE_DISPATCH) or any(_mode_at(key) is not None for key in _TRACERS):
        return True
    return _is_placeholder(_innermost(x))


def is_known(x: Tensor) -> bool:
    """Return whether the kernels know the type and the place of what `x` is or stands for."""
    return x.dtype in CODES and x.device.type == "cpu" and x.layout == torch.strided and not x.is_nested


def is_recorded() -> bool:
    """Return whether a graph of PyTorch's operators is recorded to be run here.

    An exported graph is to run elsewhere, and somebody who names decompositions, as the compiler Inductor does, wants
    to see what dropout is made of.
    """
    mode = _mode_at(_ModeKey.PROXY)
    if mode is None or _included(_PRE_DISPATCH) or _exporting():
        return False
    if compiling():
        return True
    table = getattr(mode, "decomposition_table", None)
    if table is None:  # before PyTorch 2.13
        table = sys.modules["torch.fx.experimental.proxy_tensor"].CURRENT_DECOMPOSITION_TABLE
    return torch.ops.aten.native_dropout_backward.default not in table


def composes(x: Tensor) -> bool:
    """Return whether `composed` takes `x`."""
    named = getattr(x, "has_names", bool)()  # PyTorch 2.13 has no named tensors any more
    return is_known(x) and not named and not is_traced(x) and not type(_innermost(x)).__module__.startswith(_ALONE)


@contextlib.contextmanager
def _unseen() -> Iterator[None]:
    """Hide from modes, subclasses and function transforms what is done here."""
    with torch._C._DisableTorchDispatch():
        if not transforms():
            yield
            return
        # loaded by whoever uses transforms, and not before
        from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack  # noqa: PLC0415

        with temporarily_clear_interpreter_stack():
            yield


def fresh_seed() -> int | Tensor:
    """Draw a seed. Under function transforms it is a tensor of theirs, maybe one number for each example."""
    if transforms():
        return torch.randint(LOW, HIGH, (), dtype=torch.int64, device="cpu")
    with _unseen():
        return next_seed()


def _masks(seeds: Tensor, shape: tuple[int, ...], make: Callable[[int], Tensor]) -> Tensor:
    """Return a mask for each seed, in as many wrappings of function transforms as the seeds have."""
    if _functorch.is_batchedtensor(seeds):
        at, level = _functorch.maybe_get_bdim(seeds), _functorch.maybe_get_level(seeds)
        return _functorch._add_batch_dim(_masks(_functorch.get_unwrapped(seeds), shape, make), at, level)
    if _functorch.is_functorch_wrapped_tensor(seeds):  # has no derivative
        return _masks(_functorch.get_unwrapped(seeds), shape, make)
    with _unseen():
        each = [make(seed & WORD) for seed in seeds.reshape(-1).tolist()]
        return each[0] if seeds.dim() == 0 else torch.stack(each).view(*seeds.shape, *shape)


def _with_seed(draw: AnyDraw, seed: int) -> AnyDraw:
    if isinstance(draw, WindowDraw):
        return draw._replace(draw=draw.draw._replace(seed=seed))
    return draw._replace(seed=seed)


def kept(shape: tuple[int, ...], draw: AnyDraw, seed: int | Tensor, layout: Layout) -> Tensor:
    """Return the mask as booleans: True is kept. The seed is the one given."""
    single = draw.draw if isinstance(draw, WindowDraw) else draw
    plain = Draw(single.p, 0, single.stream, 1.0)
    ones = draw._replace(draw=plain) if isinstance(draw, WindowDraw) else plain

    def make(number: int) -> Tensor:
        return noise(shape, torch.float32, _with_seed(ones, number), layout) != 0

    if isinstance(seed, Tensor):
        return _masks(seed, shape, make)
    with _unseen():
        return make(seed)


def factor(draw: Draw) -> float:
    """Return what kept elements are multiplied with."""
    keep = keep_probability(draw.p)  # 0 for p closer to 1 than the mask's threshold can tell
    return draw.scale or (1 / keep if keep else 0.0)


def result_like(x: Tensor) -> Tensor:
    """Return what has the strides that PyTorch's elementwise functions give to their result, and no elements."""
    with _unseen():
        return torch.empty_like(torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta"))


def layout_like(x: Tensor) -> Layout:
    """Return the layout over which the kernels would count the elements of `x`."""
    return layout_of(result_like(x))


def composed(x: Tensor, draw: AnyDraw, layout: Layout, seed: int | Tensor | None = None) -> Tensor:
    """Return dropout of any tensor that `composes` takes, elements counted over a given layout."""
    single = draw.draw if isinstance(draw, WindowDraw) else draw
    mask = kept(tuple(x.shape), draw, single.seed if seed is None else seed, layout)
    wide = x if x.dtype == torch.float64 else x.float()
    y = wide * factor(single)
    return torch.where(mask, y + single.shift if single.shift else y, single.dropped).to(x.dtype)
