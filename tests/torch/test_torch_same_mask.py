"""One seed is one mask however a call arrives: as a dual tensor, under a transform or a mode, negated, compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional
import simdrop.torch as st  # noqa: E402
import torch.autograd.forward_ad as fwad  # noqa: E402
import torch.utils.flop_counter  # noqa: E402
from simdrop.torch._aten import serve  # noqa: E402
from torch.testing._internal.two_tensor import TwoTensor  # noqa: E402
from torch_helpers import mask_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, of torch.jit
SHAPE = (6, 5, 4, 3)
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
FORMS: dict[str, Callable[..., Any]] = {
    "F.dropout": lambda x: F.dropout(x, 0.3),
    "F.dropout2d": lambda x: F.dropout2d(x, 0.3),
    "F.alpha_dropout": lambda x: F.alpha_dropout(x, 0.3, training=True),
    "F.feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, 0.3, training=True),
    "F.dropout inplace": lambda x: F.dropout(x * 1, 0.3, inplace=True),
    "F.alpha_dropout inplace": lambda x: F.alpha_dropout(x * 1, 0.3, training=True, inplace=True),
    "dropout": lambda x: st.dropout(x, 0.3),
    "dropout_": lambda x: st.dropout_(x * 1, 0.3),
    "feature_alpha_dropout": lambda x: st.feature_alpha_dropout(x, 0.3),
    "drop_path": lambda x: st.drop_path(x, 0.3),
    "drop_block2d": lambda x: st.drop_block2d(x, 0.3, 2),
    "p = 1": lambda x: F.dropout(x, 1.0),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@pytest.fixture
def installed() -> Iterator[None]:
    with st.accelerated():
        yield


class Watch(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc, name-defined]
    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def under(mode: Any) -> Callable[..., Any]:
    def call(form: Callable[..., Any], x: Any) -> Any:
        with mode:
            return form(x)

    return call


def dual(form: Callable[..., Any], x: Any) -> Any:
    with fwad.dual_level():
        return fwad.unpack_dual(form(fwad.make_dual(x, torch.ones_like(x)))).primal


ARRIVALS: dict[str, Callable[..., Any]] = {
    "dual": dual,
    "dual level, ordinary tensor": under(fwad.dual_level()),
    "negated": lambda form, x: form(torch._neg_view(-x)),
    "lazy copy": lambda form, x: form(torch._lazy_clone(x)),
    "mode": under(Watch()),
    "flop counter": under(torch.utils.flop_counter.FlopCounterMode(display=False)),
    "subclass": lambda form, x: form(TwoTensor(x, x)).b,
    "grad": lambda form, x: torch.func.vjp(form, x)[0],
    "jvp": lambda form, x: torch.func.jvp(form, (x,), (x,))[0],
    "vmap": lambda form, x: torch.vmap(form, randomness="same")(x[None])[0],
    "vmap, last": lambda form, x: torch.vmap(form, -1, -1, randomness="same")(x[..., None])[..., 0],
    "vmap of grad": lambda f, x: torch.vmap(lambda x: torch.func.vjp(f, x)[0], randomness="same")(x[None])[0],
    "requires grad": lambda form, x: form(x.requires_grad_()).detach(),
}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("arrival", ARRIVALS.values(), ids=ARRIVALS.keys())
@every_form
def test_bytes_and_seeds_are_those_of_the_plain_call(form: Callable[..., Any], arrival: Callable[..., Any]) -> None:
    for dtype in FLOATS:
        for memory in (torch.contiguous_format, torch.channels_last):
            torch.manual_seed(1)
            x = torch.randn(SHAPE).to(dtype).contiguous(memory_format=memory)
            torch.manual_seed(3)
            expected, state = form(x.clone()), torch.get_rng_state()
            torch.manual_seed(3)
            y = arrival(form, x.clone())
            assert torch.equal(y, expected)
            assert y.dtype == dtype
            assert torch.equal(torch.get_rng_state(), state)  # one number, whatever the form


@pytest.mark.usefixtures("installed")
def test_vmap_asks_for_as_many_masks_as_it_says() -> None:
    x = torch.ones(4, 100)
    for function in (lambda x: F.dropout(x, 0.5), lambda x: st.dropout(x, 0.5), torch.nn.Dropout(0.5)):
        first, second, *_ = torch.vmap(function, randomness="different")(x)
        assert not torch.equal(first, second)
        first, second, *_ = torch.vmap(lambda _, f=function: f(torch.ones(100)), randomness="different")(x)
        assert not torch.equal(first, second)
        nested = torch.vmap(torch.vmap(function, randomness="different"), randomness="different")(x.view(2, 2, 100))
        assert len({tuple(row.tolist()) for row in nested.view(4, 100)}) == 4
        mixed = torch.vmap(torch.vmap(function, randomness="same"), randomness="different")(x.view(2, 2, 100))
        assert torch.equal(mixed[:, 0], mixed[:, 1])
        assert not torch.equal(mixed[0], mixed[1])
        for calls in (function, lambda x, f=function: x + f(torch.ones(100))):
            with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
                torch.vmap(calls)(x)


@pytest.mark.usefixtures("installed")
def test_a_seed_of_ones_own_under_transforms() -> None:
    x = torch.randn(100)
    expected = st.dropout(x, 0.5, rng=3)
    assert torch.equal(torch.vmap(lambda x: st.dropout(x, 0.5, rng=3))(x[None])[0], expected)
    assert torch.equal(torch.func.vjp(lambda x: st.dropout(x, 0.5, rng=3), x)[0], expected)
    assert torch.equal(st.dropout(torch._neg_view(-x), 0.5, rng=3), expected)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("transform", ["vjp", "vmap"])
@pytest.mark.parametrize("length", [5, 200])  # composed, and in blocks
def test_attention(transform: str, length: int) -> None:
    q = torch.randn(1, 2, length, 8, dtype=torch.float64)

    def attend(q: Any) -> Any:
        return F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)

    torch.manual_seed(2)
    expected = attend(q)
    torch.manual_seed(2)
    if transform == "vmap":
        attend = torch.vmap(attend, randomness="same")
        torch.testing.assert_close(attend(q[None])[0], expected)
    else:
        torch.testing.assert_close(torch.func.vjp(attend, q)[0], expected)


@pytest.mark.usefixtures("installed")
def test_recurrent_layers_under_transforms() -> None:
    model, x = torch.nn.LSTM(8, 8, num_layers=2, dropout=0.5), torch.randn(5, 3, 8)
    torch.manual_seed(2)
    expected = model(x)[0].detach()
    torch.manual_seed(2)
    torch.testing.assert_close(torch.func.vjp(lambda x: model(x)[0], x)[0], expected)


@pytest.mark.usefixtures("installed")
def test_lazy_copies_stay_lazy() -> None:
    base = torch.randn(40)
    for view in (lambda x: x, lambda x: x[3:], lambda x: x.view(4, 10).t(), lambda x: x.view(4, 10)[:, 2:7]):
        torch.manual_seed(4)
        expected = F.dropout(view(base.clone()), 0.5)
        lazy = view(torch._lazy_clone(base))
        torch.manual_seed(4)
        assert torch.equal(F.dropout(lazy, 0.5), expected)
        assert torch._C._is_cow_tensor(lazy)
        before = base.clone()
        F.dropout(lazy, 1.0, inplace=True)
        assert torch.equal(base, before)
        assert not lazy.any()


def test_transforms_in_a_process_that_has_given_dropout_back() -> None:
    # while other threads are alive kernels stay registered and pass calls on; under transforms PyTorch has its own, too
    forms = [
        *(F.dropout, F.alpha_dropout, F.feature_alpha_dropout, F.dropout2d, F.dropout3d),
        lambda x, training: F.dropout(x * 1, training=training, inplace=True),
    ]
    x = torch.randn(3, 4, 5, 6, 7)
    results = []
    for registered in (True, False):
        with st.accelerated() if registered else contextlib.nullcontext():
            serve(False)  # as `uninstall` does
            torch.manual_seed(5)
            kinds = ("same", "different")
            results.append(
                [torch.vmap(lambda x, f=f: f(x, training=True), randomness=r)(x) for f in forms for r in kinds]
            )
    for passed_on, stock in zip(*results, strict=True):
        torch.testing.assert_close(passed_on, stock)


@pytest.mark.usefixtures("installed")
@every_form
def test_a_compiled_function(form: Callable[..., Any]) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: form(x.sin()).cos(), backend="aot_eager", fullgraph=True)
    x = torch.randn(SHAPE, requires_grad=True)
    for seed in (3, 4):
        results = []
        for function in (compiled, lambda x: form(x.sin()).cos()):
            torch.manual_seed(seed)
            y = function(x)
            results.append((y, *torch.autograd.grad(y.sum(), x), torch.get_rng_state()))
        torch.testing.assert_close(*results)


@pytest.mark.usefixtures("installed")
def test_an_exported_graph_and_one_taken_apart_are_pytorchs() -> None:
    program = torch.export.export(torch.nn.Sequential(torch.nn.Dropout(0.5)), (torch.ones(10),))
    assert "simdrop" not in program.graph_module.code
    table = torch._decomp.core_aten_decompositions()
    graph = torch.fx.experimental.proxy_tensor.make_fx(lambda x: F.dropout(x, 0.5), table)(torch.ones(10))
    assert "simdrop" not in graph.code
    graph = torch.fx.experimental.proxy_tensor.make_fx(lambda x: F.dropout(x, 0.5))(torch.ones(10))
    keep = mask_of(8, (10,), 0.5)
    assert torch.equal(graph(torch.ones(10)), keep * 2.0)
