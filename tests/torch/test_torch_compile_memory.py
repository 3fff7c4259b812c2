"""Compiled by the backend "simdrop": what is kept for the backward pass, and what is computed again."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import simdrop.torch as st  # noqa: E402
from simdrop.torch import _attention_blocks  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch_compile_cases import Block, cache, check, fresh, recorded, results, saved  # noqa: E402, F401

# What PyTorch's compiler itself warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")
F = torch.nn.functional


AROUND: dict[str, Callable[..., Any]] = {
    "not reentrant": lambda f, x: checkpoint(f, x, use_reentrant=False),
    "reentrant": lambda f, x: checkpoint(f, x, use_reentrant=True),
    "without the generator": lambda f, x: checkpoint(f, x, use_reentrant=False, preserve_rng_state=False),
}


@pytest.mark.parametrize("name", AROUND)
def test_checkpoints_inside(name: str) -> None:
    plain, block = Block(), Block(AROUND[name])
    x = torch.randn(30, 16)
    with st.accelerated():
        expected = results(plain, x)
    found = results(torch.compile(block, backend="simdrop" if name == "not reentrant" else recorded), x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_outside(reentrant: bool) -> None:
    block = Block()
    x = torch.randn(30, 16)
    with st.accelerated():
        expected = results(block, x)
    compiled = torch.compile(block, backend=recorded)
    found = results(lambda x: checkpoint(compiled, x, use_reentrant=reentrant), x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("budget", [0.0, 0.3])
def test_a_low_memory_budget_recomputes_the_same_masks(budget: float) -> None:
    with torch._functorch.config.patch(activation_memory_budget=budget):
        check(Block(), torch.randn(30, 16), fullgraph=True)


def test_only_seeds_are_kept() -> None:
    compiled = torch.compile(lambda x: F.dropout(F.dropout(x, 0.3) + 1, 0.3), backend="simdrop", fullgraph=True)
    kept = saved(compiled, torch.randn(1000, requires_grad=True))
    assert [(t.dtype, t.numel()) for t in kept] == [(torch.int64, 1)] * 2


def attend(*qkv: Any, **options: Any) -> Any:
    return F.scaled_dot_product_attention(*qkv, dropout_p=0.2, **options)


VISIBLE = torch.arange(64 * 64).view(64, 64) % 5 > 0
ATTENTION: dict[str, Callable[..., Any]] = {
    "plain": attend,
    "causal": lambda q, k, v: attend(q, k, v, is_causal=True, scale=0.3),
    "mask": lambda q, k, v: attend(q, k, v, attn_mask=VISIBLE),
    "mask with a gradient": lambda q, k, v: attend(q, k, v, attn_mask=q[:, :, :, :1].sin()),
    "narrow": lambda q, k, v: attend(q.bfloat16(), k.bfloat16(), v.bfloat16()).float(),
    "grouped": lambda q, k, v: attend(q, k[:, :1], v[:, :1], enable_gqa=True),
    "broadcast": lambda q, k, v: attend(q, k[:1], v[0]),
    "some gradients": lambda q, k, v: attend(q, k.detach(), v),
}


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("kept", [math.inf, 0], ids=["kept", "again"])
def test_large_attention_is_an_operator(name: str, kept: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_attention_blocks, "_KEPT", kept)
    inputs = [torch.randn(2, 3, 64, 8, requires_grad=True) for _ in range(3)]
    function = ATTENTION[name]
    backend = "simdrop" if name == "mask" and kept else recorded  # whose cache would find the other graph again
    compiled = torch.compile(function, backend=backend, fullgraph=True)
    found = []
    for run, context in ((function, st.accelerated()), (compiled, contextlib.nullcontext())):
        with context:
            torch.manual_seed(1)
            y = run(*inputs)
            gradients = torch.autograd.grad(y.square().sum(), inputs, allow_unused=True)
            found.append((y, *(x for x in gradients if x is not None)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    matrices = [t for t in saved(compiled, *inputs) if t.numel() == 6 * 64 * 64]
    assert len(matrices) == (kept > 0)
    with torch.no_grad():
        torch.manual_seed(1)
        torch.testing.assert_close(compiled(*inputs), found[0][0])


def test_attention_of_dynamic_shapes() -> None:
    counter = torch._dynamo.testing.CompileCounterWithBackend(recorded)
    compiled = torch.compile(attend, backend=counter, dynamic=True, fullgraph=True)
    for length in (80, 96, 120):
        inputs = [torch.randn(2, 3, length, 8, requires_grad=True) for _ in range(3)]
        found = []
        for run, context in ((attend, st.accelerated()), (compiled, contextlib.nullcontext())):
            with context:
                torch.manual_seed(1)
                y = run(*inputs)
                found.append((y, *torch.autograd.grad(y.square().sum(), inputs)))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other)
    assert counter.frame_count == 1


def test_accumulation_and_autocast() -> None:
    block = Block()
    gradients = []
    compiled = torch.compile(block, backend=recorded, fullgraph=True)
    for run, context in ((block, st.accelerated()), (compiled, contextlib.nullcontext())):
        with context, torch.autocast("cpu", torch.bfloat16):
            block.zero_grad()
            torch.manual_seed(7)
            for part in range(3):
                run(torch.full((30, 16), part / 3.0)).float().square().mean().backward()
        gradients.append([torch.clone(parameter.grad) for parameter in block.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)
