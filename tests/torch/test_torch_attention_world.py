"""Attention with dropout while it is served: what surrounds it, and what goes to PyTorch's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import simdrop.torch as st  # noqa: E402
from simdrop.torch import _aten  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torch_attention_cases import P, Served, attend, case, check, run  # noqa: E402


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with st.accelerated():
        yield Served(monkeypatch)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoint_and_the_state_of_the_generator(served: Served, use_reentrant: bool) -> None:
    tensors = case()
    expected = run(tensors)
    torch.manual_seed(3)
    y = checkpoint(lambda *qkv: attend(*qkv, dropout_p=P), *tensors[:3], use_reentrant=use_reentrant)
    y.backward(tensors[3])
    check([y, *(x.grad for x in tensors[:3])], expected)
    assert served.calls == 3
    with torch.random.fork_rng():
        first = attend(*tensors[:3], dropout_p=P)
    second = attend(*tensors[:3], dropout_p=P)
    assert torch.equal(first, second)
    assert not torch.equal(second, attend(*tensors[:3], dropout_p=P))


def test_modules_arrive_here(served: Served) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 64, 32)
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, dropout=P, batch_first=True)
    gradients = []
    for least in (1, math.inf):
        served.least(least)
        torch.manual_seed(3)
        gradients.append(torch.autograd.grad(layer(x).square().sum(), list(layer.parameters())))
    assert served.calls == 1
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    served.least(1)
    layer.eval()
    layer(x)
    assert served.calls == 1


UNUSUAL: dict[str, Callable[[Any, Any, Any], Any]] = {
    "no dropout": attend,
    "only dropout": lambda q, k, v: attend(q, k, v, dropout_p=1.0),
    # of which the attention matrix, and so its mask, is the same for all
    "broadcast to the values": lambda q, k, v: attend(q[:1], k[:1], v, dropout_p=P),
    "no keys": lambda q, k, v: attend(q, k[:, :, :0], v[:, :, :0], dropout_p=P),
    "mode": lambda q, k, v: counted(lambda: attend(q, k, v, dropout_p=P)),
    "vmap": torch.vmap(lambda q, k, v: attend(q, k, v, dropout_p=P), randomness="different"),
}
WRONG: dict[str, Callable[[Any, Any, Any], Any]] = {
    "mask and causal": lambda q, k, v: attend(q, k, v, torch.ones(80, 70, dtype=torch.bool), P, True),
    "heads of groups": lambda q, k, v: attend(q, k[:, :2], v[:, :2], dropout_p=P, enable_gqa=True),
    "probability": lambda q, k, v: attend(q, k, v, dropout_p=1.5),
    "keys": lambda q, k, v: attend(q, k[..., :5], v, dropout_p=P),
    "values": lambda q, k, v: attend(q, k, v[:, :, :5], dropout_p=P),
    "types": lambda q, k, v: attend(q, k, v.double(), dropout_p=P),
    "type of mask": lambda q, k, v: attend(q, k, v, torch.ones(80, 70).double(), P),
    "size of mask": lambda q, k, v: attend(q, k, v, torch.ones(80, 7), P),
    "dimensions of mask": lambda q, k, v: attend(q, k, v, torch.ones(1, 1, 1, 80, 70), P),
    "composition switched off": lambda q, k, v: fused(lambda: attend(q, k, v, dropout_p=P)),
}


def counted(function: Callable[[], Any]) -> Any:
    with FlopCounterMode(display=False) as counter:
        y = function()
    assert counter.get_total_flops() > 0
    return y


def fused(function: Callable[[], Any]) -> Any:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return function()


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_goes_to_pytorch(served: Served, name: str) -> None:
    q, k, v, _ = case()
    y = UNUSUAL[name](q, k, v)
    assert y.numel() == 2 * 3 * 80 * 9
    assert served.calls == 0
    attend(q, k, v, dropout_p=P)
    assert served.calls == 1


@pytest.mark.filterwarnings("ignore::UserWarning")  # why PyTorch's fused kernel was not used
@pytest.mark.parametrize("name", WRONG)
def test_errors_are_those_of_pytorch(served: Served, name: str) -> None:
    q, k, v, _ = case()
    with pytest.raises(RuntimeError) as here:
        WRONG[name](q, k, v)
    _aten.serve(False)
    try:
        with pytest.raises(RuntimeError) as there:
            WRONG[name](q, k, v)
    finally:
        _aten.serve(True)
    assert str(here.value) == str(there.value)
    assert served.calls == 0


def test_autocast_and_inference_mode(served: Served) -> None:
    tensors = case()
    with torch.autocast("cpu", torch.bfloat16):
        y = attend(*tensors[:3], dropout_p=P)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert served.calls == 1
    expected = run(tensors)[0]
    with torch.inference_mode():
        torch.manual_seed(3)
        assert torch.equal(attend(*tensors[:3], dropout_p=P), expected)
    assert served.calls == 3


def test_a_compiled_function_is_pytorchs(served: Served) -> None:
    tensors = case()

    @torch.compile(fullgraph=True, backend="aot_eager")  # type: ignore[untyped-decorator]
    def function(q: Any, k: Any, v: Any) -> Any:
        return attend(q, k, v, dropout_p=P).sin()

    y = function(*tensors[:3])
    torch.autograd.grad(y, tensors[:3], tensors[3])
    assert y.shape == tensors[3].shape
    assert served.calls == 0


def test_batched_gradients(served: Served) -> None:
    *qkv, g = case(torch.float64)
    torch.manual_seed(3)
    y = attend(*qkv, dropout_p=P)
    both = torch.stack([g, g.sin()])
    batched = torch.autograd.grad(y, qkv, both, retain_graph=True, is_grads_batched=True)
    for i in range(2):
        check([x[i] for x in batched], list(torch.autograd.grad(y, qkv, both[i], retain_graph=True)))
    assert served.calls == 1
