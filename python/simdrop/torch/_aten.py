"""Kernels for PyTorch's own dropout operators, and for attention with dropout, in the form that its dispatcher calls.

What is not taken goes to PyTorch's own implementation, which stays registered under the keys named here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from simdrop._formulas import SELU_LIMIT, selu_values
from simdrop.torch import _forms
from simdrop.torch._attention import attention, serves
from simdrop.torch._attention_nested import attention_of_nested
from simdrop.torch._attention_op import recorded, records
from simdrop.torch._attention_pieces import attention_of_pieces, serves_pieces
from simdrop.torch._autograd import drop, drop_with_mask, replace
from simdrop.torch._compile import compiling
from simdrop.torch._composed import composes, fresh_seed, is_known, is_recorded
from simdrop.torch._dtensor import arrived, is_awaited, takes_dtensor
from simdrop.torch._engines import Composed, Engine, Kernels, Pieces, Traced
from simdrop.torch._memory import AnyDraw, Draw, is_plain, takes, transforms
from simdrop.torch._ops import seed_tensor
from simdrop.torch._random import next_seed
from simdrop.torch._shard import active, numbers_for

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_AUTOGRAD = torch._C.DispatchKey.Autograd
_AUTOGRAD_CPU = torch._C.DispatchKey.AutogradCPU
_PYTHON_DISPATCHER = torch._C.DispatchKey.PythonDispatcher
_traced = torch._C._dispatch_tls_is_dispatch_key_included

Kernel: TypeAlias = Callable[..., Any]
Form: TypeAlias = Callable[[Engine, Tensor, float], Tensor]


# Registered kernels pass everything on while this is False; see _install.py.
_serving = False


def serve(yes: bool) -> None:
    """Say whether registered kernels serve, or pass everything on to PyTorch's own."""
    global _serving  # noqa: PLW0603
    _serving = yes


def _own(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Call PyTorch's own implementation of an operator that it composes from others."""
    if _traced(_PYTHON_DISPATCHER):  # torch.compile and torch.export have their own compositions
        return op.decompose(*args, **kwargs)
    return op._op_dk(_COMPOSITE, *args, **kwargs)


def _draw(p: float) -> Draw:
    return Draw(p, next_seed()) if p < 1 else Draw(1.0, 0)


def numbers(x: Tensor, p: float) -> AnyDraw:
    draw = Draw(p, next_seed()) if p < 1 else Draw(1.0, 0)  # not by _draw: every call counts
    return numbers_for(x, draw) if active.parts else draw


def _records(x: Tensor) -> bool:
    """Return whether what is recorded of `x` is to be this package's operators."""
    return (compiling() or _serving) and not transforms() and is_known(x) and is_recorded()


class _Operator(NamedTuple):
    """One of PyTorch's operators (input, p, train), and what serves it."""

    op: Any
    form: Form
    inplace: bool = False
    dimensions: int = 0  # at least

    def composed(self, x: Tensor, p: float, train: bool) -> Tensor:
        """Do it with a tensor that the kernels do not take, or pass it on."""
        engine: Engine
        drops = train and 0 < p <= 1 and x.dim() >= self.dimensions
        if drops and _serving and is_awaited(x) and takes(filled := arrived(x)):
            y = self.form(Kernels(next_seed() if p < 1 else 0, 0), filled, p)
            return replace(x, y) if self.inplace else y
        if drops and _serving and takes_dtensor(x) and x.numel():
            engine = Pieces(next_seed() if p < 1 else 0)
        elif drops and _serving and composes(x) and (x.numel() or active.parts):  # an empty part draws as the others do
            engine = Composed(fresh_seed() if p < 1 else 0)
        elif drops and _records(x):
            engine = Traced(seed_tensor(p < 1))
        else:
            return _own(self.op, x, p, train)
        y = self.form(engine, x, p)
        return replace(x, y) if self.inplace else y

    def transformed(self, x: Tensor, p: float, train: bool) -> Tensor:
        """Do it under function transforms, all of which are still to come."""
        if not train or not 0 < p <= 1 or x.dim() < self.dimensions or not x.numel():
            return _own(self.op, x, p, train)
        if not _serving or not composes(x):
            y = self.own_transformed(x, p)
        else:
            y = self.form(Composed(fresh_seed() if p < 1 else 0), x, p)
        return replace(x, y) if self.inplace else y

    def own_transformed(self, x: Tensor, p: float) -> Tensor:
        """Do it as PyTorch does it there: a random number is a new tensor, of which transforms may make a batch."""
        if p == 1:
            return x * x.new_zeros(())
        if x.is_cuda and self.form is _forms.elementwise:
            return torch.native_dropout(x, p, True)[0]
        feature = self.dimensions == 2
        like = torch.empty((), dtype=x.dtype, device=x.device)
        shape = (*x.shape[:2], *(1,) * (x.dim() - 2)) if feature else x.shape
        noise = torch.bernoulli(like.new_empty(shape) if feature else like.expand(shape), 1 - p)
        if self.form not in (_forms.alpha, _forms.feature_alpha):
            return x * (noise / (1 - p))
        scale, shift, _ = selu_values(p)
        return x * (noise * scale) + ((noise - 1) * (-SELU_LIMIT * scale) + shift)


_OPERATORS = {
    "dropout": _Operator(torch.ops.aten.dropout.default, _forms.elementwise),
    "dropout_": _Operator(torch.ops.aten.dropout_.default, _forms.elementwise, True),
    "feature_dropout": _Operator(torch.ops.aten.feature_dropout.default, _forms.feature, False, 2),
    "feature_dropout_": _Operator(torch.ops.aten.feature_dropout_.default, _forms.feature, True, 2),
    "alpha_dropout": _Operator(torch.ops.aten.alpha_dropout.default, _forms.alpha),
    "alpha_dropout_": _Operator(torch.ops.aten.alpha_dropout_.default, _forms.alpha, True),
    "feature_alpha_dropout": _Operator(torch.ops.aten.feature_alpha_dropout.default, _forms.feature_alpha, False, 2),
    "feature_alpha_dropout_": _Operator(torch.ops.aten.feature_alpha_dropout_.default, _forms.feature_alpha, True, 2),
}
_composed_dropout = _OPERATORS["dropout"].composed


def dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """aten::dropout, apart from the others because every nanosecond counts."""
    if train and _serving and 0 < p <= 1 and takes(x) and x.numel():
        return drop(x, numbers(x, p))
    if not train and 0 <= p <= 1:
        return x
    return _composed_dropout(x, p, train)


def _kernel(operator: _Operator) -> Kernel:
    """Return the kernel of an operator (input, p, train)."""
    form, inplace, dimensions = operator[1:]

    def kernel(x: Tensor, p: float, train: bool) -> Tensor:
        if train and _serving and 0 < p <= 1 and takes(x) and x.numel() and x.dim() >= dimensions:
            return form(Kernels(next_seed() if p < 1 else 0, 0, inplace), x, p)
        return operator.composed(x, p, train)

    return kernel


_attention_op = torch.ops.aten.scaled_dot_product_attention.default


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    **more: bool,  # enable_gqa, where this version of PyTorch has it
) -> Tensor:
    """aten::scaled_dot_product_attention; the dropout inside of PyTorch's own arrives here again."""
    if 0 < dropout_p < 1:
        grouped = any(more.values())
        given = query, key, value, attn_mask, is_causal, grouped
        if _serving and serves(*given):
            return attention(*given, scale, _draw(dropout_p))
        if _serving and serves_pieces(*given):
            return attention_of_pieces(*given, scale, _draw(dropout_p))
        if compiling() and _records(query) and records(*given):
            return recorded(*given, scale, dropout_p)
    args = query, key, value, attn_mask, dropout_p, is_causal
    return _own(_attention_op, *args, scale=scale, **more)


_attention_math_op = torch.ops.aten._scaled_dot_product_attention_math.default


def attention_math(*args: Any, **kwargs: Any) -> Any:
    """aten::_scaled_dot_product_attention_math under function transforms, where it is composed as it is everywhere."""
    return _own(_attention_math_op, *args, **kwargs)


def nested_attention(*args: Any, **kwargs: Any) -> Any:
    """aten::_scaled_dot_product_attention_math of nested tensors, whose callers take the first result."""
    y = attention_of_nested(*args, **kwargs) if _serving else None
    return _own(_attention_math_op, *args, **kwargs) if y is None else (y, y)


_native_dropout_op = torch.ops.aten.native_dropout.default


def native_dropout(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """aten::native_dropout under autograd."""
    if train is not False and _serving and 0 <= p <= 1 and takes(x) and x.numel():
        return drop_with_mask(x, numbers(x, p))
    engine: Engine | None = None
    if train is not False and 0 < p <= 1 and _serving and takes_dtensor(x) and x.numel():
        engine = Pieces(next_seed() if p < 1 else 0)
    elif train is not False and 0 < p <= 1 and _records(x):
        engine = Traced(seed_tensor(p < 1))
    if engine is not None:
        return engine.drop(x, p), engine.drop(torch.ones_like(x, requires_grad=False), p) != 0
    return _native_dropout_op._op_dk(_AUTOGRAD, x, p, train)


def native_dropout_below(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """aten::native_dropout below autograd; what is not taken is computed here as PyTorch does it."""
    if x.numel() == 0:
        return x, torch.empty_like(x)
    if train is False:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    if _serving and 0 <= p <= 1 and is_plain(x):
        with torch.no_grad():
            return drop_with_mask(x, numbers(x, p))
    mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p)
    return x.mul(mask).mul_(0.0 if p == 1 else 1 / (1 - p)), mask


def native_dropout_backward(gradient: Tensor, mask: Tensor, scale: float) -> Tensor:
    """aten::native_dropout_backward below autograd, for whatever mask the caller has."""
    if _serving and mask.dtype == torch.bool:
        return torch.where(mask, gradient, 0.0).mul_(scale)
    return mask.type_as(gradient).mul(gradient).mul_(scale)


_both: dict[str, Kernel] = {
    **{name: _kernel(operator) for name, operator in _OPERATORS.items()},
    "dropout": dropout,
    "scaled_dot_product_attention": scaled_dot_product_attention,
}

# What `install` registers: dispatch key, name of the operator, kernel. CPU is what inference mode reaches. The third
# key is where PyTorch composes its dropout under function transforms; attention is composed there so that the dropout
# inside of it arrives there too.
KERNELS: tuple[tuple[str, str, Kernel], ...] = (
    *(("AutogradCPU", name, kernel) for name, kernel in _both.items()),
    *(("CPU", name, kernel) for name, kernel in _both.items()),
    *(("FuncTorchDynamicLayerFrontMode", name, operator.transformed) for name, operator in _OPERATORS.items()),
    ("FuncTorchDynamicLayerFrontMode", "scaled_dot_product_attention", scaled_dot_product_attention),
    ("FuncTorchDynamicLayerFrontMode", "_scaled_dot_product_attention_math", attention_math),
    ("AutogradNestedTensor", "_scaled_dot_product_attention_math", nested_attention),
    ("AutogradCPU", "native_dropout", native_dropout),
    ("CPU", "native_dropout", native_dropout_below),
    ("CPU", "native_dropout_backward", native_dropout_backward),
)


def _recurrent(op: Any) -> Kernel:
    """Return the kernel of a recurrent layer.

    The composition that torch.compile has for it never drops (_rnn_helper in torch/_decomp/decompositions.py of PyTorch
    2.13), so its layers are called one by one here, with the dropout in between.
    """
    own = op.py_kernels[_AUTOGRAD]

    def kernel(
        x: Tensor, hidden: Any, parameters: Any, biases: bool, layers: int, p: float, train: bool, *more: bool
    ) -> Any:
        if not (compiling() and train and p > 0 and layers > 1):
            return own(x, hidden, parameters, biases, layers, p, train, *more)
        single = isinstance(hidden, Tensor)
        states = [state.chunk(layers) for state in ([hidden] if single else hidden)]
        each = len(parameters) // layers
        last = []
        for i in range(layers):
            first = [state[i] for state in states]
            weights = parameters[i * each : (i + 1) * each]
            x, *after = op(x, first[0] if single else first, weights, biases, 1, 0.0, train, *more)
            last.append(after)
            if i < layers - 1:
                x = torch.dropout(x, p, True)
        return x, *(torch.cat(parts) for parts in zip(*last, strict=True))

    return kernel


# The same where DTensor asks, which it does in inference mode; see _inference.py.
OF_DTENSORS: dict[Any, Kernel] = {operator.op: operator.composed for operator in _OPERATORS.values()}

# The same where PyTorch's Python dispatcher calls them, which is only while something is recorded or pretended.
_RECORDED: dict[str, Kernel] = {
    **{name: _kernel(operator) for name, operator in _OPERATORS.items()},
    "native_dropout": native_dropout,
    "scaled_dot_product_attention": scaled_dot_product_attention,
}


def record_in_graphs() -> None:
    """Have graphs that are recorded for the backend "simdrop" hold its operators; see _compile.py."""
    kernels = {getattr(torch.ops.aten, name).default: kernel for name, kernel in _RECORDED.items()}
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        op = getattr(torch.ops.aten, name).input
        if _AUTOGRAD in op.py_kernels:
            kernels[op] = _recurrent(op)
    for op, kernel in kernels.items():
        if _AUTOGRAD_CPU not in op.py_kernels:
            op.py_impl(_AUTOGRAD_CPU)(kernel)
            op._dispatch_cache.clear()
