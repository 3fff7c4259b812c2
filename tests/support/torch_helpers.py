"""What the tests of simdrop.torch share."""

from __future__ import annotations

from typing import Any

import simdrop
import torch


def seed_after(seed: int) -> int:
    """Return the seed that the first dropout after torch.manual_seed(seed) takes, and set the generator so."""
    torch.manual_seed(seed)
    drawn = int(torch.randint(-(2**63), 2**63 - 1, ()))
    torch.manual_seed(seed)
    return drawn % 2**64


def mask_of(seed: int, shape: tuple[int, ...], p: float) -> Any:
    """Return what that dropout keeps, made by the NumPy side, and set the generator so."""
    return torch.from_numpy(simdrop.Mask(shape, p, seed=seed_after(seed)).keep())
