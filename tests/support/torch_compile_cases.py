"""What the tests of the backend "simdrop" share: ways to compile, and functions with dropout in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import simdrop.torch as st
import torch
from functorch.compile import make_boxed_compiler, min_cut_rematerialization_partition
from simdrop.torch._aten import record_in_graphs
from simdrop.torch._compile import _recording
from torch._dynamo.backends.common import aot_autograd
from torch._inductor.decomposition import select_decomp_table

F = torch.nn.functional


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide what Inductor has written to disk before, which would hide what it makes now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()


def recorded(graph: Any, inputs: Any) -> Any:
    """Record what Inductor would compile, cut it in two as Inductor does, and run that, without C++."""
    record_in_graphs()
    with _recording():
        return aot_autograd(
            fw_compiler=make_boxed_compiler(lambda graph, _: graph.forward),
            decompositions=select_decomp_table(),
            partition_fn=min_cut_rematerialization_partition,
        )(graph, inputs)


def results(function: Callable[..., Any], x: Any, seed: int = 3) -> list[Any]:
    """Return what a function gives after a seed, the gradient, and where the generator is then."""
    leaf = x.detach().clone().requires_grad_()
    torch.manual_seed(seed)
    y = function(leaf)
    y = y[0] if isinstance(y, tuple) else y
    y.float().square().sum().backward()
    return [y.detach(), leaf.grad, torch.get_rng_state()]


def check(function: Callable[..., Any], x: Any, backend: Any = "simdrop", **options: Any) -> None:
    """Compare a function compiled with itself outside, where PyTorch's dropout is served."""
    with st.accelerated():
        expected = results(function, x)
    compiled = torch.compile(function, backend=backend, **options)
    calls = st.kernel_calls()
    found = results(compiled, x)
    assert st.kernel_calls() > calls
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    again = results(compiled, x)
    assert torch.equal(again[0], found[0])
    assert not torch.equal(results(compiled, x, 4)[0], found[0])


SPELLINGS: dict[str, Callable[[Any], Any]] = {
    "functional": lambda x: F.dropout(x.sin(), 0.3) + 1,
    "in place": lambda x: F.dropout(x.sin(), 0.3, inplace=True) + 1,
    "torch.dropout": lambda x: torch.dropout(x, 0.3, True),
    "native": lambda x: torch.native_dropout(x.sin(), 0.3, True)[0],
    "native, with its mask": lambda x: sum(torch.native_dropout(x.sin(), 0.3, True)),
    "channels": lambda x: F.dropout2d(x, 0.3),
    "channels in place": lambda x: F.dropout3d(x.sin()[None], 0.3, inplace=True),
    "one": lambda x: F.dropout1d(x.flatten(2), 0.3),
    "alpha": lambda x: F.alpha_dropout(x, 0.3, True),
    "feature alpha": lambda x: F.feature_alpha_dropout(x, 0.3, True),
    "twice": lambda x: F.dropout(F.dropout(x, 0.2).cos(), 0.3),
    "twice the same": lambda x: F.dropout(x, 0.2) + 2 * F.dropout(x, 0.2),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.3),
    "causal": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True, dropout_p=0.3),
    "ours": lambda x: st.dropout(x.sin(), 0.3) + F.dropout(x, 0.3),
}


class Block(torch.nn.Module):
    """Large activations between two dropouts, all of which can be computed again."""

    def __init__(self, around: Callable[..., Any] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.around = torch.nn.Linear(16, 64), torch.nn.Linear(64, 16), around

    def inside(self, x: Any) -> Any:
        x = F.dropout(F.gelu(self.first(x)), 0.3)
        return F.dropout(self.second(x), 0.3) + F.dropout(x, 0.2).mean()

    def forward(self, x: Any) -> Any:
        x = F.dropout(x, 0.1)
        x = self.around(self.inside, x) if self.around else self.inside(x)
        return F.dropout(x, 0.1)


def saved(function: Callable[..., Any], *inputs: Any) -> list[Any]:
    """Return the tensors that autograd keeps."""
    kept: list[Any] = []

    def pack(tensor: Any) -> Any:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function(*inputs)
    return kept
