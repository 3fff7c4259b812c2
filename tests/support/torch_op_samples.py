"""The entries of PyTorch's operator information that end in dropout, as functions of their tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_utils import freeze_rng_state
from torch.utils._pytree import tree_leaves, tree_map

NAMES = (
    "nn.functional.dropout",
    "nn.functional.dropout2d",
    "nn.functional.dropout3d",
    "nn.functional.alpha_dropout",
    "nn.functional.feature_alpha_dropout",
    "nn.functional.scaled_dot_product_attention",
    "nn.functional.multi_head_attention_forward",
    "native_dropout_backward",
)
ENTRIES = {f"{op.name}{op.variant_test_name and '-'}{op.variant_test_name}": op for op in op_db if op.name in NAMES}
_SEED = 42  # that of PyTorch's own wrapper


class InapplicableError(Exception):
    """The entry says that it has no such property."""


def _activity(sample: Any) -> tuple[Any, ...]:
    return tuple(sample.kwargs.get(name) for name in ("p", "dropout_p", "training"))


def samples(op: Any, dtype: Any) -> list[Any]:
    """Return some samples, always the same: two of each kind that drops a part, one of those that drop none or all."""
    with freeze_rng_state():
        torch.manual_seed(_SEED)
        every = list(op.sample_inputs("cpu", dtype, requires_grad=True))
    some = []
    for kind in dict.fromkeys(map(_activity, every)):
        of_kind = [sample for sample in every if _activity(sample) == kind]
        p = kind[0] or kind[1] or 0.0
        some += of_kind[:2] if 0 < p < 1 and kind[2] is not False else of_kind[:1]
    return some


def need(applies: Any) -> None:
    if not applies:
        raise InapplicableError


def seeded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function after the same seed each time, whether or not the entry does that itself."""

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        with freeze_rng_state():
            torch.manual_seed(_SEED)
            return function(*args, **kwargs)

    return call


def tensors_of(values: Any) -> list[Any]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def function_of(op: Any, sample: Any, inplace: bool = False, seed: bool = True) -> tuple[Callable[..., Any], list[Any]]:
    """Return the entry as a function of the tensors that have gradients, and those."""
    function = op.inplace_variant if inplace else op.op
    if seed:
        function = seeded(function)
    leaves = [x for x in tensors_of((sample.input, sample.args, sample.kwargs)) if x.requires_grad]

    def call(*tensors: Any) -> Any:
        given = {id(leaf): x for leaf, x in zip(leaves, tensors, strict=True)}
        args, kwargs = tree_map(lambda v: given.get(id(v), v), ((sample.input, *sample.args), sample.kwargs))
        if inplace:
            args = (args[0].clone(), *args[1:])
        results = sample.output_process_fn_grad(function(*args, **kwargs))
        results = tuple(r for r in tensors_of(results) if r.is_floating_point())
        return results[0] if len(results) == 1 else results

    return call, leaves


def detached(leaves: list[Any]) -> list[Any]:
    return [x.detach().clone() for x in leaves]


def weights_for(y: Any) -> Any:
    """Weights that tell elements apart."""
    return torch.linspace(1, 2, y.numel(), dtype=y.dtype).view(y.shape)


def gradients_of(function: Callable[..., Any], tensors: list[Any]) -> tuple[Any, ...]:
    inputs = [x.detach().requires_grad_() for x in tensors]
    outputs = [y for y in tensors_of(function(*inputs)) if y.requires_grad]
    return torch.autograd.grad(outputs, inputs, list(map(weights_for, outputs)), allow_unused=True) if outputs else ()
