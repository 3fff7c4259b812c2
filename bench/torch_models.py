"""What bench_torch.py times and trains: three models, and the three ways in which their dropout can run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import simdrop.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

P = 0.1
Step = Callable[[], float]


class Switch:
    """Sets how PyTorch's dropout runs: its own way, on simdrop, or not at all."""

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()

    def sides(self) -> dict[str, Callable[[], None]]:
        """Return both sides by name."""
        return {"PyTorch": self.stock, "simdrop": self.simdrop}

    def stock(self) -> None:
        """PyTorch's own dropout."""
        self._undo.close()
        if torch._C._dispatch_has_kernel_for_dispatch_key("aten::dropout", "AutogradCPU"):
            raise RuntimeError("dropout is still registered: a thread is alive, and PyTorch's own would be slowed")

    def simdrop(self) -> None:
        """Dropout by simdrop."""
        self._undo.close()
        self._undo.enter_context(simdrop.torch.accelerated())

    def identity(self) -> None:
        """Dropout that returns its argument: the same step without its cost.

        Setting p = 0 would not do: PyTorch then picks another attention kernel, which cannot drop.
        """
        self._undo.close()
        library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
        self._undo.callback(library._destroy)
        for key in ("CPU", "AutogradCPU"):
            library.impl("dropout", lambda x, p, train: x, key)  # type: ignore[no-untyped-call]


def settle_allocator() -> None:
    """Bring glibc's malloc to where any training process has it.

    What it gives back to the system, to be had again page by page, depends on the largest block that was ever freed
    (mallopt(3), M_MMAP_THRESHOLD, at most 32 MiB). A process that has only seen the 4 MiB of a small case pays more for
    pages than for dropout, on either side.
    """
    for _ in range(2):
        torch.zeros(31 << 18)  # 31 MiB


def encoder(sequence: int, batch: int = 8, backend: Any = None) -> Step:
    """Return a training step of a transformer encoder: 4 layers, width 256, 4 heads; compiled if a backend is given."""
    layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=P, batch_first=True)
    model = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    x = torch.randn(batch, sequence, 256)
    run = torch.compile(model, backend=backend) if backend else model
    return _step(model, lambda: run(x).square().mean())


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Sequential(nn.Linear(width, width), nn.Dropout(P))
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(P))

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=P if self.training else 0.0)
        x = x + self.out(a.transpose(1, 2).reshape(n, t, c))
        return x + self.mlp(self.norms[1](x))  # type: ignore[no-any-return]


class _Gpt(nn.Module):
    def __init__(self, sequence: int, width: int = 256, symbols: int = 65) -> None:
        super().__init__()
        self.tokens = nn.Embedding(symbols, width)
        self.places = nn.Embedding(sequence, width)
        self.blocks = nn.Sequential(nn.Dropout(P), *(_Block(width, 4) for _ in range(4)), nn.LayerNorm(width))
        self.head = nn.Linear(width, symbols)

    def forward(self, symbols: Tensor) -> Tensor:
        x = self.tokens(symbols) + self.places.weight[: symbols.shape[1]]
        return self.head(self.blocks(x))  # type: ignore[no-any-return]


def gpt(sequence: int, batch: int = 8) -> Step:
    """Return a training step of a small GPT on characters: 4 layers, width 256, 4 heads."""
    model = _Gpt(sequence)
    text = torch.randint(0, 65, (batch, sequence + 1))
    return _step(model, lambda: F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten()))


def mlp(batch: int = 256) -> Step:
    """Return a training step of a multilayer perceptron for images of 784 pixels, p = 0.5."""
    model = nn.Sequential(
        *(nn.Linear(784, 1024), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(1024, 1024), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(1024, 10),
    )
    x, labels = torch.randn(batch, 784), torch.randint(0, 10, (batch,))
    return _step(model, lambda: F.cross_entropy(model(x), labels))


def _step(model: nn.Module, loss: Callable[[], Tensor]) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    return lambda: _update(optimizer, loss)


def _update(optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> float:
    optimizer.zero_grad()
    value = loss()
    value.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(value.detach())


def loss_curve(images: Tensor, labels: Tensor, seed: int, epochs: int) -> list[float]:
    """Train a classifier from a seed and return its mean training loss in each epoch."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    # the order of the images is that of the seed on both sides, whatever dropout took from the default generator
    order = torch.Generator().manual_seed(seed)

    def loss(batch: Tensor) -> Tensor:
        return F.cross_entropy(model(images[batch]), labels[batch])

    curve = []
    for _ in range(epochs):
        batches = torch.randperm(len(images), generator=order).split(64)  # type: ignore[no-untyped-call]
        losses = [_update(optimizer, partial(loss, batch)) for batch in batches]
        curve.append(sum(losses) / len(losses))
    return curve


def saved_bytes(function: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Return how much memory autograd keeps for the backward pass of `function`."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage: Any = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = function(x)
    assert y.requires_grad
    return sum(kept.values())
