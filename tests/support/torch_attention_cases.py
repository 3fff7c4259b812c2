"""What the tests of attention share: inputs, masks, and a count of what is served."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from simdrop.torch import _aten, _attention, _attention_blocks

P = 0.3
attend: Callable[..., Any] = F.scaled_dot_product_attention

# Batch, heads, L, S, width of queries and keys, width of values; more elements than the least that is served. Nothing
# is a power of two, no two sizes are equal, and batch times heads is no multiple of any block.
SIZES = (2, 3, 80, 70, 12, 9)
# One rounding at the end in the narrow types: one unit in the last place.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2**-10, torch.bfloat16: 2**-7}
# Bytes of a block: rows of one head, one head, two of three heads, one batch, and everything, in float32.
BLOCKS = [4, 4 * 80 * 70, 4 * 2 * 80 * 70, 4 * 3 * 80 * 70, 1 << 30]


class Served:
    """Counts the calls that are computed here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(_aten, "attention", self.count)

    def count(self, *args: Any) -> Any:
        self.calls += 1
        return _attention.attention(*args)

    def least(self, elements: float) -> None:
        self.monkeypatch.setattr(_attention, "_LEAST", elements)

    def keep(self, size: float) -> None:
        self.monkeypatch.setattr(_attention_blocks, "_KEPT", size)

    def block(self, size: int) -> None:
        self.monkeypatch.setattr(_attention_blocks, "_BLOCK", size)


def case(dtype: Any = torch.float32, layout: str = "contiguous", sizes: tuple[int, ...] = SIZES) -> list[Any]:
    """Return query, key and value, and a gradient of the result."""
    torch.manual_seed(0)
    n, h, rows, columns, width, out = sizes
    tensors = []
    for length, w in ((rows, width), (columns, width), (columns, out), (rows, out)):
        shape = {
            "contiguous": (n, h, length, w),
            "multihead": (length, n, h, w),
            "gpt": (n, length, h, w),
            "3d": (n * h, length, w),
        }
        x = torch.randn(shape[layout], dtype=dtype)
        tensors.append(
            {"multihead": lambda x: x.permute(1, 2, 0, 3), "gpt": lambda x: x.transpose(1, 2)}.get(layout, lambda x: x)(
                x
            )
        )
    return [x.requires_grad_(i < 3) for i, x in enumerate(tensors)]


def masks(dtype: Any) -> dict[str, dict[str, Any]]:
    n, h, rows, columns = SIZES[:4]
    torch.manual_seed(1)
    some = torch.rand(rows, columns) < 0.8
    some[5] = False  # a row that sees nothing
    padding = torch.arange(columns) < torch.tensor([50, 0])[:, None]  # the second sample is nothing but padding
    added = torch.randn(n, h, rows, columns, dtype=dtype)
    added[1, 2, 3] = -math.inf
    return {
        "none": {},
        "causal": {"is_causal": True},
        "bool": {"attn_mask": some},
        "padding": {"attn_mask": padding[:, None, None, :]},
        "added": {"attn_mask": added},
        "heads": {"attn_mask": torch.randn(h, 1, columns, dtype=dtype), "scale": 0.5},
    }


def run(tensors: list[Any], **options: Any) -> list[Any]:
    """Return the result and the gradients, always with the same mask."""
    *qkv, g = tensors
    torch.manual_seed(3)
    y = attend(*qkv, dropout_p=P, **options)
    mask = options.get("attn_mask")
    wanted = [*qkv, mask] if mask is not None and mask.requires_grad else qkv
    return [y, *torch.autograd.grad(y, wanted, g.to(y.dtype).expand_as(y))]


def check(got: list[Any], expected: list[Any]) -> None:
    for one, other in zip(got, expected, strict=True):
        tolerance = TOLERANCE[one.dtype]
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
