"""Kernels for PyTorch's own dropout operators, and for attention with dropout, in the form that its dispatcher calls.

What is not taken goes to PyTorch's own implementation, which stays registered under the keys named here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from simdrop.torch import _forms
from simdrop.torch._attention import attention, serves
from simdrop.torch._autograd import drop, drop_with_mask
from simdrop.torch._engines import Engine, Kernels
from simdrop.torch._memory import Draw, is_plain, takes
from simdrop.torch._random import next_seed

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_AUTOGRAD = torch._C.DispatchKey.Autograd
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


_dropout_op = torch.ops.aten.dropout.default


def dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """aten::dropout, apart from the others because every nanosecond counts."""
    if train and _serving and 0 < p <= 1 and takes(x) and x.numel():
        return drop(x, _draw(p))
    if not train and 0 <= p <= 1:
        return x
    return _own(_dropout_op, x, p, train)


def _kernel(name: str, form: Form, inplace: bool, dimensions: int = 0) -> Kernel:
    """Return the kernel of an operator (input, p, train)."""
    op = getattr(torch.ops.aten, name).default

    def kernel(x: Tensor, p: float, train: bool) -> Tensor:
        if train and _serving and 0 < p <= 1 and takes(x) and x.numel() and x.dim() >= dimensions:
            return form(Kernels(next_seed() if p < 1 else 0, 0, inplace), x, p)
        return _own(op, x, p, train)

    kernel.__name__ = kernel.__qualname__ = name
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
    if _serving and 0 < dropout_p < 1 and not any(more.values()) and serves(query, key, value, attn_mask, is_causal):
        return attention(query, key, value, attn_mask, is_causal, scale, _draw(dropout_p))
    args = query, key, value, attn_mask, dropout_p, is_causal
    return _own(_attention_op, *args, scale=scale, **more)


_native_dropout_op = torch.ops.aten.native_dropout.default


def native_dropout(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """aten::native_dropout under autograd."""
    if train is not False and _serving and 0 <= p <= 1 and takes(x) and x.numel():
        return drop_with_mask(x, _draw(p))
    return _native_dropout_op._op_dk(_AUTOGRAD, x, p, train)


def native_dropout_below(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """aten::native_dropout below autograd; what is not taken is computed here as PyTorch does it."""
    if x.numel() == 0:
        return x, torch.empty_like(x)
    if train is False:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    if _serving and 0 <= p <= 1 and is_plain(x):
        with torch.no_grad():
            return drop_with_mask(x, _draw(p))
    mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p)
    return x.mul(mask).mul_(0.0 if p == 1 else 1 / (1 - p)), mask


def native_dropout_backward(gradient: Tensor, mask: Tensor, scale: float) -> Tensor:
    """aten::native_dropout_backward below autograd, for whatever mask the caller has."""
    if _serving and mask.dtype == torch.bool:
        return torch.where(mask, gradient, 0.0).mul_(scale)
    return mask.type_as(gradient).mul(gradient).mul_(scale)


_both: dict[str, Kernel] = {
    "dropout": dropout,
    "dropout_": _kernel("dropout_", _forms.elementwise, True),
    "feature_dropout": _kernel("feature_dropout", _forms.feature, False, 2),
    "feature_dropout_": _kernel("feature_dropout_", _forms.feature, True, 2),
    "alpha_dropout": _kernel("alpha_dropout", _forms.alpha, False),
    "alpha_dropout_": _kernel("alpha_dropout_", _forms.alpha, True),
    "feature_alpha_dropout": _kernel("feature_alpha_dropout", _forms.feature_alpha, False, 2),
    "feature_alpha_dropout_": _kernel("feature_alpha_dropout_", _forms.feature_alpha, True, 2),
    "scaled_dot_product_attention": scaled_dot_product_attention,
}

# What `install` registers: dispatch key, name of the operator, kernel. CPU is what inference mode reaches.
KERNELS: tuple[tuple[str, str, Kernel], ...] = (
    *(("AutogradCPU", name, kernel) for name, kernel in _both.items()),
    *(("CPU", name, kernel) for name, kernel in _both.items()),
    ("AutogradCPU", "native_dropout", native_dropout),
    ("CPU", "native_dropout", native_dropout_below),
    ("CPU", "native_dropout_backward", native_dropout_backward),
)
