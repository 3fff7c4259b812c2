"""torch.compile(backend="simdrop"): the masks of a compiled graph are those of the same calls outside of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import simdrop.torch as st  # noqa: E402
from torch_compile_cases import SPELLINGS, cache, check, fresh, recorded, results  # noqa: E402, F401
from torch_helpers import mask_of  # noqa: E402

# What PyTorch's compiler itself warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")
F = torch.nn.functional


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling(name: str) -> None:
    check(SPELLINGS[name], torch.randn(3, 4, 5, 8), recorded, fullgraph=True)


def test_some_spellings_at_once_by_inductor() -> None:
    some = [SPELLINGS[name] for name in ("in place", "channels", "attention")]
    check(lambda x: torch.stack([f(x) for f in some]), torch.randn(3, 4, 5, 8), fullgraph=True)


def test_channels_last() -> None:
    x = torch.randn(3, 4, 5, 6).contiguous(memory_format=torch.channels_last)
    check(lambda x: F.dropout(x.cos(), 0.3), x, fullgraph=True)
    check(lambda x: F.dropout(x.mT.cos(), 0.3), torch.randn(30, 40), recorded, fullgraph=True)


def test_layers() -> None:
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
    check(layer, torch.randn(2, 8, 16), recorded, fullgraph=True)
    attention = torch.nn.MultiheadAttention(16, 2, dropout=0.2, batch_first=True)
    check(lambda x: attention(x, x, x)[0], torch.randn(2, 8, 16), recorded, fullgraph=True)


RECURRENT: dict[str, dict[str, Any]] = {
    "LSTM": {"num_layers": 3},
    "GRU": {"num_layers": 2, "bidirectional": True, "batch_first": True},
    "RNN": {"num_layers": 2, "bias": False},
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers(name: str) -> None:
    torch.manual_seed(0)
    layers = getattr(torch.nn, name)(8, 8, dropout=0.5, **RECURRENT[name])
    with torch._dynamo.config.patch(allow_rnn=True):
        check(layers, torch.randn(4, 2, 8), recorded, fullgraph=True)


def test_evaluation_is_untouched() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.5)).eval()
    compiled = torch.compile(model, backend="simdrop", fullgraph=True)
    x = torch.randn(4, 8)
    calls, state = st.kernel_calls(), torch.get_rng_state()
    torch.testing.assert_close(compiled(x), model(x))
    assert (st.kernel_calls(), torch.equal(torch.get_rng_state(), state)) == (calls, True)
    model.train()
    assert int((compiled(x) == 0).sum()) > 0
    assert st.kernel_calls() == calls + 1
    assert torch.compile(lambda x: F.dropout(x, 1.0), backend="simdrop")(x).count_nonzero() == 0
    assert torch.equal(torch.get_rng_state(), state) is False


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode: Callable[[], Any]) -> None:
    compiled = torch.compile(lambda x: F.dropout(x.sin(), 0.3), backend=recorded, fullgraph=True)
    x = torch.rand(40, 50)
    with mode():
        keep = mask_of(5, (40, 50), 0.3)
        torch.testing.assert_close(compiled(x), torch.where(keep, x.sin() / 0.7, 0.0))


def test_dynamic_shapes() -> None:
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("simdrop")
    function = lambda x: F.dropout2d(F.dropout(x.transpose(1, 2).cos(), 0.3).contiguous(), 0.3)  # noqa: E731
    compiled = torch.compile(function, backend=counter, dynamic=True, fullgraph=True)
    for size in (5, 7, 11, 4):
        x = torch.randn(size, size + 2, 2 * size)
        with st.accelerated():
            expected = results(function, x)
        for one, other in zip(results(compiled, x), expected, strict=True):
            torch.testing.assert_close(one, other)
    assert counter.frame_count == 1


def test_a_probability_that_changes() -> None:
    module = torch.nn.Dropout(0.1)
    compiled = torch.compile(module, backend=recorded)
    for p in (0.1, 0.25, 0.5, 0.75, 0.0, 1.0):
        module.p = p
        y = compiled(torch.ones(4000))
        assert abs(float((y == 0).float().mean()) - p) < 0.04
        assert p == 1 or float(y.max()) == pytest.approx(1 / (1 - p))


def test_graph_breaks() -> None:
    def function(x: Any) -> Any:
        x = F.dropout(x.sin(), 0.3)
        torch._dynamo.graph_break()
        return F.dropout(x.cos(), 0.3)

    check(function, torch.randn(40, 50), recorded)


def test_the_order_of_draws_is_the_programs() -> None:
    def function(x: Any) -> Any:
        # what is drawn first is used last
        parts = [F.dropout(torch.ones_like(x), 0.5) for _ in range(6)]
        return torch.stack([part * x for part in reversed(parts)])

    for backend in ("simdrop", "aot_eager"):
        torch._dynamo.reset()
        with st.accelerated():
            torch.manual_seed(1)
            expected = function(torch.ones(64))
            torch.manual_seed(1)
            assert torch.equal(torch.compile(function, backend=backend)(torch.ones(64)), expected)


@pytest.mark.parametrize("backend", ["eager", "simdrop"])
def test_recurrent_layers_left_out_of_the_graph(backend: str) -> None:
    # as docs/torch.md says: Dynamo, which leaves them out too, would trace what serves them there
    recurrent = torch.compiler.disable(torch.nn.LSTM(8, 8, 2, dropout=0.5))
    first = torch.nn.Linear(8, 8)
    with st.accelerated():
        compiled = torch.compile(lambda x: recurrent(first(x))[0], backend=backend)
        calls = st.kernel_calls()
        for length in (5, 6):  # the second is where Dynamo makes sizes symbols
            compiled(torch.randn(length, 2, 8)).sum().backward()
        assert st.kernel_calls() - calls == 4
