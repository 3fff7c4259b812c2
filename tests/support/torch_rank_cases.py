"""What each rank of torch_ranks.py checks: its part of a result is that which one process computes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import simdrop.torch as st
import torch
import torch.distributed as dist
import torch.nn.functional as F
from simdrop.torch import _ranks
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch_rank_models import MODELS

S0, S1, S2, R, P = Shard(0), Shard(1), Shard(2), Replicate(), Partial()
Form = Callable[[Tensor], Tensor]


def _line() -> Any:
    return init_device_mesh("cpu", (4,))


def _square() -> Any:
    return init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "model"))


def _integers(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return small integers, whose sums and doubles are exact."""
    return torch.randint(-8, 8, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _placed(x: Tensor, mesh: Any, placements: list[Any]) -> DTensor:
    """Return a DTensor that stands for `x`; along a partial dimension the ranks have summands of it."""
    whole = [R if p.is_partial() else p for p in placements]
    y = distribute_tensor(x, mesh, whole)
    for i, p in enumerate(placements):
        if p.is_partial():
            at, n = mesh.get_coordinate()[i], mesh.size(i)
            piece = y.to_local() * (at + 1) if at < n - 1 else y.to_local() * (1 - n * (n - 1) // 2)
            whole[i] = p
            y = DTensor.from_local(piece, mesh, whole, run_check=False, shape=x.shape, stride=x.stride())
    return y


def _alone(form: Form, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the result and the gradient of one process."""
    torch.manual_seed(7)
    x = x.clone().requires_grad_()
    y = form(x)
    y.backward(gradient)  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return y.detach(), x.grad


def _check(form: Form, x: Tensor, mesh: Any, placements: list[Any], gradient_placements: list[Any]) -> Any:
    """Compare result and gradient with those of one process, bit for bit."""
    gradient = _integers(tuple(x.shape), 2, x.dtype)
    expected, expected_gradient = _alone(form, x, gradient)
    torch.manual_seed(7)
    leaf = _placed(x, mesh, placements).requires_grad_()
    y: Any = form(leaf)
    y.backward(_placed(gradient, mesh, gradient_placements))
    where = f"{form}, {x.dtype}, {placements} of {tuple(x.shape)}"
    assert y.shape == x.shape, where
    assert torch.equal(y.full_tensor(), expected), where
    assert torch.equal(leaf.grad.full_tensor(), expected_gradient), where  # type: ignore[union-attr]
    assert st.kernel_calls() > 0
    return y


def placements_of_a_line(rank: int) -> None:
    """1-D mesh: every placement, even and uneven and with empty pieces, forward and backward."""
    mesh, half = _line(), nn.Dropout(0.5)
    for shape in ((8, 6, 5), (6, 3, 9), (2, 13, 3)):
        for placement in (S0, S1, Shard(-1), R, P, Partial("max")):
            x = _integers(shape, 1)
            if placement.is_partial("max"):
                placed = DTensor.from_local(x - rank, mesh, [placement], run_check=False)
                torch.manual_seed(7)
                y: Any = half(placed)
                assert y.placements == (placement,)
                assert torch.equal(y.full_tensor(), _alone(half, x, x)[0])
                continue
            y = _check(half, x, mesh, [placement], [R if placement.is_partial() else placement])
            assert y.placements == placed_as(placement, x)
            assert not (y == 0).all().full_tensor()


def placed_as(placement: Any, x: Tensor) -> tuple[Any, ...]:
    """Return the placement that a DTensor says it has."""
    return (Shard(placement.dim % x.dim()),) if placement.is_shard() else (placement,)


def placements_of_a_square(_: int) -> None:
    """2-D mesh: pairs of placements, gradients that come in another placement than the results."""
    mesh = _square()
    for pair in itertools.product((S0, S1, S2, R, P), repeat=2):
        x = _integers((5, 7, 6), 1)
        _check(nn.Dropout(0.5), x, mesh, list(pair), [R, R])
    for gradients in ([S1, S2], [P, S0], [R, P]):
        _check(nn.Dropout(0.5), _integers((5, 7, 6), 1), mesh, [S0, R], gradients)


def members(_: int) -> None:
    """All members of the family, with a general p, in every type."""
    mesh = _square()
    forms: dict[str, Form] = {
        "dropout": lambda x: F.dropout(x, 0.3),
        "dropout_": lambda x: F.dropout(x * 1, 0.3, inplace=True),
        "alpha": nn.AlphaDropout(0.3),
        "feature": nn.Dropout2d(0.4),
        "feature_alpha": nn.FeatureAlphaDropout(0.4),
        "path": lambda x: st.drop_path(x, 0.5),
        "named": lambda x: st.dropout(x, 0.3, rng=9),
        "everything": lambda x: F.dropout(x, 1.0),
        "native": lambda x: torch.native_dropout(x, 0.3, True)[0],
    }
    x = _integers((4, 6, 3, 3), 1)
    for form in forms.values():
        for placements in ([S0, S1], [R, S2], [S1, S0], [S0, S0]):
            y = _check(form, x, mesh, placements, placements)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        _check(forms["dropout"], x.to(dtype), mesh, [S0, S1], [S0, S1])
    # what is not linear is reduced first
    y = _check(forms["alpha"], x, mesh, [P, S0], [R, S0])
    assert y.placements == (R, S0)
    # a pair (result, mask)
    torch.manual_seed(7)
    expected = torch.native_dropout(x, 0.3, True)[1]
    torch.manual_seed(7)
    pair: Any = torch.native_dropout(_placed(x, mesh, [S0, S1]), 0.3, True)
    assert torch.equal(pair[1].full_tensor(), expected)
    assert torch.equal(pair[0].full_tensor() != 0, expected & (x != 0))


def orders(_: int) -> None:
    """Elements are counted in the order of the dimensions, whatever the memory of the pieces."""
    mesh = _line()
    x = _integers((6, 5, 4), 3)
    torch.manual_seed(7)
    expected = F.dropout(x, 0.5)
    for turned in (x.permute(2, 0, 1), x.permute(1, 2, 0)):
        torch.manual_seed(7)
        expected = F.dropout(turned.contiguous(), 0.5)
        torch.manual_seed(7)
        y: Any = F.dropout(distribute_tensor(turned, mesh, [S1]), 0.5)
        assert torch.equal(y.full_tensor(), expected)
        back = distribute_tensor(turned.contiguous(), mesh, [S1]).transpose(0, 2)
        torch.manual_seed(7)
        y = F.dropout(back, 0.5)
        torch.manual_seed(7)
        assert torch.equal(y.full_tensor(), F.dropout(turned.transpose(0, 2).contiguous(), 0.5))


def second_derivatives(_: int) -> None:
    """The derivative of the derivative goes through the same window."""
    x = _integers((6, 4), 1)

    def squared(z: Any) -> Tensor:
        (first,) = torch.autograd.grad((F.dropout(z, 0.5) ** 3).sum(), z, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), z)
        return second  # type: ignore[no-any-return]

    torch.manual_seed(7)
    expected = squared(x.clone().requires_grad_())
    torch.manual_seed(7)
    y: Any = squared(distribute_tensor(x, _line(), [S0]).requires_grad_())
    assert torch.equal(y.full_tensor(), expected)


def inference_mode(_: int) -> None:
    """DTensor's own dispatch, without the autograd key, is told too."""
    x = _integers((6, 4, 2, 3), 1)
    mesh = _square()
    for form in (nn.Dropout(0.5), nn.Dropout2d(0.5), nn.AlphaDropout(0.5)):
        torch.manual_seed(7)
        expected = form(x)
        torch.manual_seed(7)
        with torch.inference_mode():
            y: Any = form(distribute_tensor(x, mesh, [S0, S1]))
            assert torch.equal(y.full_tensor(), expected)


def part_of_the_ranks(rank: int) -> None:
    """A mesh of two of the four: the others take their draws, and have nothing."""
    x = _integers((5, 4), 1)
    mesh = DeviceMesh("cpu", [0, 2])
    torch.manual_seed(7)
    expected = nn.AlphaDropout(0.5)(x), F.dropout(x, 0.5)
    state = torch.get_rng_state()
    torch.manual_seed(7)
    placed = distribute_tensor(x, mesh, [S0]).requires_grad_()
    found = nn.AlphaDropout(0.5)(placed), F.dropout(placed, 0.5)
    found[1].sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(torch.get_rng_state(), state)
    for y, whole in zip(found, expected, strict=True):
        piece = y.to_local()
        assert torch.equal(piece, whole.chunk(2)[rank // 2]) if rank % 2 == 0 else piece.numel() == 0


def evaluation(_: int) -> None:
    """Nothing is drawn where nothing is dropped."""
    x: Any = distribute_tensor(_integers((6, 4), 1), _line(), [S0])
    state = torch.get_rng_state()
    for y in (F.dropout(x, 0.5, training=False), F.dropout(x, 0.0)):
        assert torch.equal(y.full_tensor(), x.full_tensor())  # type: ignore[attr-defined]
    assert torch.equal(torch.get_rng_state(), state)


def _raised(what: Callable[[], object], *parts: str) -> None:
    with pytest.raises((RuntimeError, ValueError, TypeError)) as caught:
        what()
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def ranks_that_disagree(rank: int) -> None:
    """Each rank raises, and says who has what; nothing is written."""
    mesh = _line()
    x = distribute_tensor(torch.ones(8, 3), mesh, [S0])
    _ranks._calls.clear()
    torch.manual_seed(rank == 2)
    _raised(lambda: F.dropout(x, 0.5, inplace=True), "got seeds", "on rank 2", "accepted: one seed")
    assert torch.equal(x.full_tensor(), torch.ones(8, 3))
    # one that comes later is noticed soon after
    torch.manual_seed(0)
    for _ in range(9):
        F.dropout(x, 0.5)
    torch.rand(1) if rank == 3 else None
    _raised(lambda: [F.dropout(x, 0.5) for _ in range(64)], "got seeds", "on rank 3")
    # pieces of other sizes than those of the chunks, and wholes of other sizes
    torch.manual_seed(0)
    piece, whole = torch.ones(1 + rank, 3), torch.Size((10, 3))
    uneven = DTensor.from_local(piece, mesh, [S0], run_check=False, shape=whole, stride=(3, 1))
    if rank == 2:  # has the three rows that it should have
        F.dropout(uneven, 0.5)
    else:
        _raised(lambda: F.dropout(uneven, 0.5), "got a piece of shape", "torch.chunk")
    _ranks._calls.clear()
    other = DTensor.from_local(piece, mesh, [S0], run_check=False)
    _raised(lambda: F.dropout(other, 0.5), "accepted: the same call on all ranks")
    _raised(lambda: st.drop_block2d(distribute_tensor(torch.ones(4, 4, 8, 8), mesh, [S0]), 0.5, 2), "DTensor")


def blocks_that_disagree(rank: int) -> None:
    """The same for `shard`."""

    def enter(**given: Any) -> Callable[[], None]:
        def run() -> None:
            with st.shard(**given):
                raise AssertionError("the block began")

        return run

    torch.manual_seed(rank % 2)
    _raised(enter(index=rank, of=4), "different states", "on rank 1")
    torch.manual_seed(0)
    _raised(enter(index=rank, of=4, dim=rank // 2), "accepted: one cut", "dim 1")
    _raised(enter(index=0, of=4), "another part on each rank")
    _raised(enter(index=rank, of=[1 + rank, 1, 1, 1]), "accepted: one cut")
    _raised(enter(index=0, of=3, check=True), "4 ranks for 3 parts")
    torch.manual_seed(rank)
    with st.shard(index=rank, of=4, check=False):
        F.dropout(torch.ones(3), 0.5)


class Net(nn.Module):
    """Everything that drops in training: attention, an encoder layer, channels, a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.between = nn.Sequential(nn.Linear(16, 16), nn.SELU(), nn.AlphaDropout(0.1))
        self.channels = nn.Dropout1d(0.2)
        self.out = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a number for each sample."""
        x = self.channels(self.encoder(x))
        x = torch.utils.checkpoint.checkpoint(self.between, x, use_reentrant=False)
        return self.out(x).mean((1, 2))  # type: ignore[no-any-return]


def _train(model: nn.Module, batches: list[tuple[Tensor, Tensor, float]], block: Callable[[int], Any]) -> list[float]:
    """Train on this process' parts; each loss is the sum over the part, divided by the size of the whole batch."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses = []
    torch.manual_seed(11)
    for x, target, whole in batches:
        with block(len(target)):
            loss = ((model(x) - target) ** 2).sum() / whole
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def data_parallel(rank: int) -> None:
    """DistributedDataParallel on 2 and 4 ranks trains the network of one process; the last batch is uneven."""
    x = torch.randn(28, 6, 16, generator=torch.Generator().manual_seed(1))
    target = x[:, 0, 0].clone()
    rows = [range(0, 8), range(8, 16), range(16, 24), range(24, 28)]
    rows[-1] = range(25, 28)  # three, of which the last of four ranks gets nothing
    torch.manual_seed(3)
    alone = Net()
    start = {name: value.clone() for name, value in alone.state_dict().items()}
    expected = _train(alone, [(x[r], target[r], len(r)) for r in rows], lambda _: nullcontext())
    pairs = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    for n, at, group in ((4, rank, dist.group.WORLD), (2, rank % 2, pairs[rank // 2])):
        model = Net()
        model.load_state_dict(start)
        # DDP divides the sum of gradients by the number of ranks
        parallel = DistributedDataParallel(model, process_group=group)
        sizes = [[len(part) for part in torch.tensor(list(r)).tensor_split(n)] for r in rows]
        mine = [torch.tensor(list(r)).tensor_split(n)[at] for r in rows]
        steps = iter(sizes)

        def block(_: int, steps: Any = steps, at: int = at, group: Any = group) -> Any:
            return st.shard(index=at, of=next(steps), check=group)

        batches = [(x[i], target[i], len(r) / n) for i, r in zip(mine, rows, strict=True)]
        losses = torch.tensor(_train(parallel, batches, block)) / n
        dist.all_reduce(losses, group=group)
        torch.testing.assert_close(losses, torch.tensor(expected), rtol=1e-5, atol=1e-6)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-5)


CASES: dict[str, Callable[[int], None]] = {
    case.__name__: case
    for case in (
        placements_of_a_line,
        placements_of_a_square,
        members,
        orders,
        second_derivatives,
        inference_mode,
        part_of_the_ranks,
        evaluation,
        ranks_that_disagree,
        blocks_that_disagree,
        data_parallel,
        *MODELS,
    )
}
