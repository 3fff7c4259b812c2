"""The forms of dropout, each written once for every engine.

A form takes an engine, a tensor and a probability above 0. Elements that share a bit of the mask are dropped together.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from simdrop._formulas import block_gamma, selu_values
from simdrop.torch._engines import Engine


def elementwise(engine: Engine, x: Tensor, p: float) -> Tensor:
    """Drop each element for itself."""
    return engine.drop(x, p)


def feature(engine: Engine, x: Tensor, p: float) -> Tensor:
    """Drop whole channels: the first two dimensions have a mask."""
    return engine.drop(x, p, range(2, x.dim()))


def path(engine: Engine, x: Tensor, p: float) -> Tensor:
    """Drop whole samples: the first dimension has a mask."""
    return engine.drop(x, p, range(1, x.dim()))


def _selu(p: float) -> tuple[float, float, float] | None:
    """Return what keeps mean 0 and variance 1: a factor, what a kept zero and what a dropped element becomes.

    PyTorch gives zeros for p = 1.
    """
    return None if p == 1 else selu_values(p)


def alpha(engine: Engine, x: Tensor, p: float) -> Tensor:
    """Set elements to the low end of SELU, then scale and shift all."""
    return engine.drop(x, p, (), _selu(p))


def feature_alpha(engine: Engine, x: Tensor, p: float) -> Tensor:
    """Do that to whole channels."""
    return engine.drop(x, p, range(2, x.dim()), _selu(p))


def block(engine: Engine, x: Tensor, p: float, size: int) -> Tensor:
    """Drop squares of the last two dimensions of (N, C, H, W): DropBlock (Ghiasi, Lin and Le, 2018)."""
    height, width = x.shape[2:]
    size = min(size, height, width)
    rows, columns = height - size + 1, width - size + 1
    rate = block_gamma(p, size, (height, width))
    corners = engine.factors(x, (*x.shape[:2], rows, columns), rate, 1.0)

    def factors() -> Tensor:
        around = (size - 1,) * 4
        kept = 1 - F.max_pool2d(F.pad(1 - corners(), around), size, stride=1)
        return kept * (kept.numel() / kept.sum().clamp(min=1.0))

    return engine.multiply(x, factors)
