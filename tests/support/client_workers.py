"""What the workers of a DataLoader do; they are processes of their own, and import this."""

from __future__ import annotations

from typing import Any

import simdrop.torch as st
import torch


class Noisy(torch.utils.data.Dataset[Any]):
    """Vectors of ones that are dropped where they are loaded, with the calls of a kernel that this took."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        before = st.kernel_calls()
        y = torch.nn.functional.dropout(torch.ones(64), 0.5)
        return index, y, st.kernel_calls() - before


def install(worker: int) -> None:
    st.install()
