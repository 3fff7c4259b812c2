"""The operator simdrop::dropout: torch.compile, torch.export, fake tensors, opcheck."""

from __future__ import annotations

from typing import Any

import pytest
import simdrop

torch = pytest.importorskip("torch")
import simdrop.torch as st  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402
from torch_helpers import mask_of  # noqa: E402

# What PyTorch's compiler itself warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")
F = torch.nn.functional


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_opcheck(dtype: Any, requires_grad: bool) -> None:
    x = torch.randn(4, 3, 5, 6, dtype=dtype)
    seed = torch.tensor([5])
    for given, order in (
        (x, [0, 1, 2, 3]),
        (x.contiguous(memory_format=torch.channels_last), [0, 2, 3, 1]),
        (x[:, ::2, 1:], [0, 1, 2, 3]),
        (torch.ones((), dtype=dtype), []),
        (torch.ones((0, 3), dtype=dtype), [0, 1]),
    ):
        sample = given.detach().requires_grad_(requires_grad)
        torch.library.opcheck(st.dropout_op, (sample, seed, 0.3, 0.0, order))
    torch.library.opcheck(st.dropout_op, (x, torch.tensor([5, 7]), 0.3, 1.5, [3, 1, 2, 0]))


def test_the_operator_is_the_mask_of_its_numbers() -> None:
    y = st.dropout_op(torch.ones(4, 6), torch.tensor([-3, 2]), 0.5, 0.0, [0, 1])
    assert ((y != 0).numpy() == simdrop.Mask((4, 6), 0.5, seed=2**64 - 3, stream=2).keep()).all()
    assert (
        (st.dropout_op(torch.ones(4, 6), torch.tensor([1]), 0.5, 3.0, [1, 0]).t() != 0).numpy()
        == (simdrop.Mask((6, 4), 0.5, seed=1).keep())
    ).all()
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: st.dropout_op(x, torch.tensor([1]), 0.5, 0.0, [0, 1]), x)
    assert torch.autograd.gradgradcheck(lambda x: st.dropout_op(x, torch.tensor([1]), 0.5, 0.0, [0, 1]), x)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_graph_draws_the_masks_of_eager_calls(backend: str) -> None:
    function = torch.compile(lambda x: st.dropout(x.sin(), 0.4).cos(), backend=backend, fullgraph=True)
    for x in (torch.randn(40, 50), torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)):
        x.requires_grad_()
        torch.manual_seed(3)
        compiled = function(x)
        (gradient,) = torch.autograd.grad(compiled.sum(), x)
        torch.manual_seed(3)
        y = st.dropout(x.sin(), 0.4).cos()
        torch.testing.assert_close(compiled, y)
        torch.testing.assert_close(gradient, torch.autograd.grad(y.sum(), x)[0])
        assert not torch.equal(function(x), compiled)


FORMS: dict[str, Any] = {
    "dropout": st.dropout,
    "feature": st.feature_dropout,
    "alpha": st.alpha_dropout,
    "feature_alpha": st.feature_alpha_dropout,
    "path": st.drop_path,
    "block": lambda x, p, **k: st.drop_block2d(x, p, 3, **k),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_the_same_compiled(name: str) -> None:
    form = FORMS[name]
    x = torch.randn(4, 6, 8, 9, requires_grad=True)
    torch.manual_seed(1)
    y = form(x, 0.3)
    torch.manual_seed(1)
    z = torch.compile(form, backend="aot_eager", fullgraph=True)(x, 0.3)
    torch.testing.assert_close(y, z)
    g = torch.randn(y.shape)
    torch.testing.assert_close(*(torch.autograd.grad(result, x, g)[0] for result in (y, z)))
    torch.manual_seed(1)
    w = x.detach().clone()
    assert torch.compile(lambda w: form(w, 0.3, inplace=True), backend="aot_eager", fullgraph=True)(w) is not None
    torch.testing.assert_close(w, y)


def test_inductor_runs_the_kernel() -> None:
    model: Any = st.replace(torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Dropout(0.5)))
    compiled = torch.compile(model, fullgraph=True)
    x = torch.randn(16, 32)
    calls = st.kernel_calls()
    torch.manual_seed(1)
    y = compiled(x)
    y.sum().backward()
    assert st.kernel_calls() == calls + 2
    full = model[1](model[0](x))
    torch.testing.assert_close(y, torch.where(y != 0, full * 2, 0.0))
    (gradient,) = torch.autograd.grad((full * (y != 0) * 2).sum(), model[0].weight)
    torch.testing.assert_close(model[0].weight.grad, gradient)
    torch.manual_seed(1)
    assert torch.equal(compiled(x), y)
    assert not torch.equal(compiled(x), y)


def test_pytorchs_dropout_compiles_while_installed() -> None:
    function = torch.compile(lambda x: F.dropout(x, 0.5), backend="aot_eager", fullgraph=True)
    x = torch.ones(1000, requires_grad=True)
    y = function(x)  # traced before
    with st.accelerated():
        torch._dynamo.reset()
        for y in (function(x), F.dropout(x, 0.5)):
            assert set(y.tolist()) == {0.0, 2.0}
            assert torch.equal(torch.autograd.grad(y.sum(), x)[0], y)
    torch._dynamo.reset()
    assert set(function(x).tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("strict", [False, True])
def test_export(strict: bool) -> None:
    model: Any = st.replace(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5))).train()
    program = torch.export.export(
        model, (torch.randn(3, 4),), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=strict
    )
    assert any("simdrop.dropout" in str(node.target) for node in program.graph.nodes)
    exported = program.module()
    x = torch.randn(70, 4)
    keep = mask_of(3, (70, 8), 0.5)
    torch.testing.assert_close(exported(x), torch.where(keep, model[0](x) * 2, 0.0))


def test_fake_tensors_and_modes() -> None:
    with FakeTensorMode() as mode:
        x = torch.empty(3, 4, 5, 6).contiguous(memory_format=torch.channels_last)
        y = st.dropout(x, 0.5)
        assert (y.shape, y.stride(), y.dtype) == (x.shape, x.stride(), x.dtype)
        with st.accelerated():
            assert torch.nn.functional.dropout(x, 0.5).shape == x.shape
    assert isinstance(st.dropout(mode.from_tensor(torch.ones(3)), 0.5), torch._subclasses.FakeTensor)
    graph = make_fx(lambda x: st.dropout(x, 0.5))(torch.ones(10))
    assert not torch.equal(graph(torch.ones(100)), graph(torch.ones(100)))


def test_a_seed_of_its_own_works_in_a_compiled_function() -> None:
    function = torch.compile(lambda x: st.dropout(x + 1, 0.5, rng=42) + 1, backend="eager")
    x = torch.ones(64)
    assert torch.equal(function(x), st.dropout(x + 1, 0.5, rng=42) + 1)
