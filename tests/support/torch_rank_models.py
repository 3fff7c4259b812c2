"""A transformer block for the ranks of torch_ranks.py, parallel in each of PyTorch's ways."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import simdrop.torch as st
import torch
import torch.distributed as dist
import torch.nn.functional as F
from simdrop.torch._attention_pieces import serves_pieces
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    PrepareModuleOutput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

STEPS = 20
WIDTH, HEADS = 16, 4


class Attention(nn.Module):
    """Self-attention with dropout on the weights; `block` surrounds it where a rank has some of the heads."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)
        self.block: Any = nullcontext

    def forward(self, x: Tensor) -> Tensor:
        """Return what attention makes of (batch, length, width)."""
        q, k, v = (f(x).unflatten(-1, (-1, WIDTH // HEADS)).transpose(1, 2) for f in (self.q, self.k, self.v))
        with self.block():
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.2)
        return self.out(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Feed(nn.Module):
    """Two linear layers with dropout between them."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.drop, self.down = nn.Linear(WIDTH, 32), nn.Dropout(0.2), nn.Linear(32, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output."""
        return self.down(self.drop(F.gelu(self.up(x))))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A block of a transformer with four dropouts."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.feed = Attention(), Feed()
        self.drop1, self.drop2 = nn.Dropout(0.2), nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output, of the shape of `x`."""
        x = x + self.drop1(self.attention(self.norm1(x)))
        return x + self.drop2(self.feed(self.norm2(x)))  # type: ignore[no-any-return]


def _data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(STEPS, 4, 8, WIDTH, generator=generator), torch.randn(STEPS, 4, 8, WIDTH, generator=generator)


def _block() -> Block:
    torch.manual_seed(5)
    return Block()


def _losses(model: nn.Module, part: slice = slice(None), block: Any = nullcontext) -> Tensor:
    """Train for twenty steps on a part of the batch; return the losses."""
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    losses = []
    torch.manual_seed(6)
    for x, target in zip(*_data(), strict=True):
        with block():
            loss = F.mse_loss(model(x[part]), target[part])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


_alone: list[Tensor] = []


def _expected() -> Tensor:
    """Return the losses of one process, which fall."""
    if not _alone:
        _alone.append(_losses(_block()))
        assert _alone[0][-1] < 0.9 * _alone[0][0]
    return _alone[0]


def _close(losses: Tensor) -> None:
    torch.testing.assert_close(losses, _expected(), rtol=1e-4, atol=1e-5)


def _in_dtensors(model: nn.Module, mesh: Any) -> nn.Module:
    """Cut a block along heads and hidden units, and what lies between along the sequence."""
    between = Shard(1)
    columns = ColwiseParallel(use_local_output=False)
    rows = RowwiseParallel(output_layouts=between, use_local_output=False)
    whole = PrepareModuleInput(input_layouts=(between,), desired_input_layouts=(Replicate(),))
    plan: dict[str, Any] = {
        "": PrepareModuleInput(input_layouts=(Replicate(),), desired_input_layouts=(between,)),
        "attention": whole,
        **{f"attention.{name}": columns for name in "qkv"},
        "attention.out": rows,
        "feed": whole,
        "feed.up": columns,
        "feed.down": rows,
        **{name: SequenceParallel() for name in ("norm1", "norm2", "drop1", "drop2")},
    }
    back = PrepareModuleOutput(output_layouts=(between,), desired_output_layouts=(Replicate(),))
    return parallelize_module(nn.Sequential(parallelize_module(model, mesh, plan)), mesh, {"0": back})


def sequence_parallel(_: int) -> None:
    """Tensor and sequence parallel, as DTensors all along: nothing but `install` is needed."""
    mesh = init_device_mesh("cpu", (4,))
    calls = st.kernel_calls()
    _close(_losses(_in_dtensors(_block(), mesh)))
    assert st.kernel_calls() >= calls + 2 * 4 * STEPS


def tensor_parallel_of_pieces(rank: int) -> None:
    """The same with ordinary tensors between the layers, PyTorch's default: heads and hidden units are windows."""
    mesh = init_device_mesh("cpu", (4,))
    columns = ColwiseParallel()
    model: Any = parallelize_module(
        _block(),
        mesh,
        {
            **{f"attention.{name}": columns for name in "qkv"},
            "attention.out": RowwiseParallel(),
            "feed.up": columns,
            "feed.drop": SequenceParallel(sequence_dim=2, use_local_output=True),
            "feed.down": RowwiseParallel(),
        },
    )
    model.attention.block = lambda: st.shard(dim=1, index=rank, of=4, check=False)
    _close(_losses(model))


def attention_of_heads(rank: int) -> None:
    """Attention's dropout, bit for bit: a rank's heads have their window, in both ways."""
    mesh = init_device_mesh("cpu", (4,))
    eye = torch.eye(64).expand(2, 8, 64, 64)  # as values it gives the weights away
    query = torch.zeros(2, 8, 64, 16)

    def attend(q: Any, v: Any) -> Any:
        torch.manual_seed(8)
        return F.scaled_dot_product_attention(q, q, v, dropout_p=0.25)

    expected = attend(query, eye)
    for cut in (Shard(1), Replicate()):
        placed = [distribute_tensor(x, mesh, [cut]) for x in (query, eye)]
        assert serves_pieces(placed[0], placed[0], placed[1], None, False, False)
        assert torch.equal(attend(*placed).full_tensor(), expected)
    placed = [distribute_tensor(x, mesh, [Shard(2)]) for x in (query, eye)]  # what PyTorch composes
    assert not serves_pieces(placed[0], placed[0], placed[1], None, False, False)
    assert torch.equal(attend(*placed).full_tensor(), expected)
    for dim, at, parts in ((0, rank % 2, 2), (1, rank, 4)):
        n = query.shape[dim] // parts
        with st.shard(dim=dim, index=at, of=parts, check=False):
            part = attend(query.narrow(dim, at * n, n), eye.narrow(dim, at * n, n))
        assert torch.equal(part, expected.narrow(dim, at * n, n))
    # gradients of fewer heads of keys, causal, of 2 x 2 pieces of batch and heads
    shapes = (4, 8, 40, 16), (4, 4, 40, 16), (4, 4, 40, 8)
    whole = [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i, shape in enumerate(shapes)]
    square = init_device_mesh("cpu", (2, 2))
    results = []
    for place in (lambda x: x.clone(), lambda x: distribute_tensor(x, square, [Shard(0), Shard(1)])):
        q, k, v = leaves = [place(x).requires_grad_() for x in whole]
        torch.manual_seed(8)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25, is_causal=True, enable_gqa=True)
        (y * y).sum().backward()  # type: ignore[no-untyped-call]
        results.append([x.full_tensor() if isinstance(x, DTensor) else x for x in (y, *(x.grad for x in leaves))])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def fully_sharded(rank: int) -> None:
    """FSDP2: parameters lie on all ranks, each of which has a sample of the batch."""
    mesh = init_device_mesh("cpu", (4,))
    model = _block()
    fully_shard(model, mesh=mesh)
    losses = _losses(model, slice(rank, rank + 1), lambda: st.shard(index=rank, of=4))
    dist.all_reduce(losses)
    _close(losses / 4)


def fully_sharded_and_tensor_parallel(rank: int) -> None:
    """FSDP2 along one dimension of a mesh, tensor and sequence parallel along the other."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "model"))
    model = _in_dtensors(_block(), mesh["model"])
    fully_shard(model, mesh=mesh["data"])
    at, group = mesh.get_local_rank("data"), mesh.get_group("data")
    losses = _losses(model, slice(2 * at, 2 * at + 2), lambda: st.shard(index=at, of=2, check=group))
    losses = losses.full_tensor() if isinstance(losses, DTensor) else losses
    dist.all_reduce(losses, group=group)
    _close(losses / 2)


MODELS = (
    sequence_parallel,
    tensor_parallel_of_pieces,
    attention_of_heads,
    fully_sharded,
    fully_sharded_and_tensor_parallel,
)
