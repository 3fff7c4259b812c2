"""Attention with dropout in all the forms that are served: PyTorch's composition gives the same, but for rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import simdrop.torch as st  # noqa: E402
from torch_attention_cases import P, Served, attend, case, check, masks, run  # noqa: E402


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with st.accelerated():
        yield Served(monkeypatch)


def leaf(*shape: int, dtype: Any = torch.float32) -> Any:
    return torch.randn(shape, dtype=dtype, requires_grad=True)


# Query, key, value and options. Their product is more than the least that is served, and no two lengths are equal.
FORMS: dict[str, Any] = {
    "two dimensions": lambda: (leaf(150, 4), leaf(140, 4), leaf(140, 5), {}),
    "three, causal": lambda: (leaf(3, 90, 4), leaf(3, 80, 4), leaf(3, 80, 5), {"is_causal": True}),
    "more keys than rows, causal": lambda: (leaf(2, 60, 4), leaf(2, 150, 4), leaf(2, 150, 5), {"is_causal": True}),
    "five dimensions": lambda: (*(leaf(2, 3, 2, 50, 4) for _ in range(3)), {"attn_mask": leaf(2, 1, 2, 1, 50)}),
    "five, mask of heads": lambda: (*(leaf(2, 3, 2, 50, 4) for _ in range(3)), {"attn_mask": leaf(2, 50, 50)}),
    "broadcast batch": lambda: (leaf(2, 3, 60, 4), leaf(3, 50, 4), leaf(2, 1, 50, 5), {}),
    "broadcast queries": lambda: (leaf(60, 4), leaf(2, 3, 50, 4), leaf(2, 3, 50, 5), {}),
    "grouped": lambda: (leaf(2, 6, 40, 4), leaf(2, 2, 50, 4), leaf(2, 3, 50, 5), {"enable_gqa": True}),
    "grouped, causal": lambda: (
        *(leaf(2, 6, 60, 4), leaf(2, 2, 60, 4), leaf(2, 1, 60, 4)),
        {"enable_gqa": True, "is_causal": True},
    ),
    "grouped and broadcast": lambda: (leaf(4, 70, 4), leaf(3, 2, 70, 4), leaf(3, 2, 70, 4), {"enable_gqa": True}),
    "not grouped": lambda: (*(leaf(2, 3, 60, 4) for _ in range(3)), {"enable_gqa": True}),
    "mask of keys": lambda: (*(leaf(2, 3, 60, 4) for _ in range(3)), {"attn_mask": leaf(60)}),
    "mask of heads": lambda: (*(leaf(2, 3, 60, 4) for _ in range(3)), {"attn_mask": leaf(3, 60, 1)}),
    "mask of all": lambda: (*(leaf(2, 3, 60, 4) for _ in range(3)), {"attn_mask": leaf(2, 3, 60, 60)}),
    "narrow mask of another type": lambda: (
        *(leaf(2, 3, 60, 4, dtype=torch.bfloat16) for _ in range(3)),
        {"attn_mask": leaf(60, 60)},
    ),
    "narrow mask": lambda: (
        *(leaf(2, 3, 60, 4, dtype=torch.float16) for _ in range(3)),
        {"attn_mask": leaf(60, 60, dtype=torch.float16)},
    ),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("block", [4, 1 << 30], ids=["rows", "whole"])
def test_forms(served: Served, name: str, block: int) -> None:
    torch.manual_seed(0)
    *qkv, options = FORMS[name]()
    g = torch.randn(1)
    served.least(math.inf)
    expected = run([*qkv, g], **options)
    served.least(1)
    served.block(block)
    for kept in (math.inf, 0):
        served.keep(kept)
        check(run([*qkv, g], **options), expected)
    assert served.calls == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", masks(torch.float32))
def test_narrow_types(served: Served, name: str, dtype: Any) -> None:
    tensors, options = case(dtype), masks(dtype)[name]
    served.least(math.inf)
    expected = run(tensors, **options)
    served.least(1)
    for kept in (math.inf, 0):
        served.keep(kept)
        got = run(tensors, **options)
        check(got, expected)
        assert [x.dtype for x in got] == [dtype] * len(got)
    assert served.calls == 2


def test_the_second_derivative_of_a_mask(served: Served) -> None:
    *qkv, g = case(torch.float64)
    mask = leaf(80, 1, dtype=torch.float64)
    found = []
    for least in (1, math.inf):
        served.least(least)
        torch.manual_seed(3)
        y = attend(*qkv, mask * torch.arange(70.0, dtype=torch.float64), dropout_p=P)
        first = torch.autograd.grad(y, [*qkv, mask], g, create_graph=True)
        found.append([*first, *torch.autograd.grad(sum(x.square().sum() for x in first), [*qkv, mask])])
    assert served.calls == 1
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_an_added_mask_may_not_change_before_the_backward_pass() -> None:
    *qkv, g = case()
    mask = torch.zeros(80, 70)
    y = attend(*qkv, mask, dropout_p=P)
    mask.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward(g)
