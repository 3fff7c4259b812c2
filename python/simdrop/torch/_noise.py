"""Normal noise under autograd. Kept for the backward pass: a few numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simdrop import Noise


class _AddNoise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, noise: Noise) -> Tensor:
        ctx.noise = noise
        ctx.set_materialize_grads(False)
        return _applied(x, noise)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        if gradient is None or not ctx.noise.multiplicative:
            return gradient, None
        return add_noise(gradient, ctx.noise), None


def _applied(x: Tensor, noise: Noise) -> Tensor:
    y = torch.empty(x.shape, dtype=x.dtype, device="cpu")
    noise.apply(x.detach(), out=y, threads=torch.get_num_threads())
    return y


def add_noise(x: Tensor, noise: Noise) -> Tensor:
    """Return a plain tensor with noise added, or multiplied where the noise is multiplicative."""
    return _AddNoise.apply(x, noise)
