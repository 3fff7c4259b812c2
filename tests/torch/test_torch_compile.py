"""torch.compile(backend="simdrop"): the masks of a compiled graph are those of the same calls outside of it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import simdrop.torch as st  # noqa: E402
from functorch.compile import make_boxed_compiler, min_cut_rematerialization_partition  # noqa: E402
from simdrop.torch._aten import record_in_graphs  # noqa: E402
from simdrop.torch._compile import _recording  # noqa: E402
from torch._dynamo.backends.common import aot_autograd  # noqa: E402
from torch._inductor.decomposition import select_decomp_table  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch_helpers import mask_of  # noqa: E402

# What PyTorch's compiler itself warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")
F = torch.nn.functional


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide what Inductor has written to disk before, which would hide what it makes now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()


def recorded(graph: Any, inputs: Any) -> Any:
    """Record what Inductor would compile, cut it in two as Inductor does, and run that, without C++."""
    record_in_graphs()
    with _recording():
        return aot_autograd(
            fw_compiler=make_boxed_compiler(lambda graph, _: graph.forward),
            decompositions=select_decomp_table(),
            partition_fn=min_cut_rematerialization_partition,
        )(graph, inputs)


def results(function: Callable[..., Any], x: Any, seed: int = 3) -> list[Any]:
    """Return what a function gives after a seed, the gradient, and where the generator is then."""
    leaf = x.detach().clone().requires_grad_()
    torch.manual_seed(seed)
    y = function(leaf)
    y = y[0] if isinstance(y, tuple) else y
    y.float().square().sum().backward()
    return [y.detach(), leaf.grad, torch.get_rng_state()]


def check(function: Callable[..., Any], x: Any, backend: Any = "simdrop", **options: Any) -> None:
    """Compare a function compiled with itself outside, where PyTorch's dropout is served."""
    with st.accelerated():
        expected = results(function, x)
    compiled = torch.compile(function, backend=backend, **options)
    calls = st.kernel_calls()
    found = results(compiled, x)
    assert st.kernel_calls() > calls
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    again = results(compiled, x)
    assert torch.equal(again[0], found[0])
    assert not torch.equal(results(compiled, x, 4)[0], found[0])


SPELLINGS: dict[str, Callable[[Any], Any]] = {
    "functional": lambda x: F.dropout(x.sin(), 0.3) + 1,
    "in place": lambda x: F.dropout(x.sin(), 0.3, inplace=True) + 1,
    "torch.dropout": lambda x: torch.dropout(x, 0.3, True),
    "native": lambda x: torch.native_dropout(x.sin(), 0.3, True)[0],
    "native, with its mask": lambda x: sum(torch.native_dropout(x.sin(), 0.3, True)),
    "channels": lambda x: F.dropout2d(x, 0.3),
    "channels in place": lambda x: F.dropout3d(x.sin()[None], 0.3, inplace=True),
    "one": lambda x: F.dropout1d(x.flatten(2), 0.3),
    "alpha": lambda x: F.alpha_dropout(x, 0.3, True),
    "feature alpha": lambda x: F.feature_alpha_dropout(x, 0.3, True),
    "twice": lambda x: F.dropout(F.dropout(x, 0.2).cos(), 0.3),
    "twice the same": lambda x: F.dropout(x, 0.2) + 2 * F.dropout(x, 0.2),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.3),
    "causal": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True, dropout_p=0.3),
    "ours": lambda x: st.dropout(x.sin(), 0.3) + F.dropout(x, 0.3),
}


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


class Block(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Large activations between two dropouts, all of which can be computed again."""

    def __init__(self, around: Callable[..., Any] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.around = torch.nn.Linear(16, 64), torch.nn.Linear(64, 16), around

    def inside(self, x: Any) -> Any:
        x = F.dropout(F.gelu(self.first(x)), 0.3)
        return F.dropout(self.second(x), 0.3) + F.dropout(x, 0.2).mean()

    def forward(self, x: Any) -> Any:
        x = F.dropout(x, 0.1)
        x = self.around(self.inside, x) if self.around else self.inside(x)
        return F.dropout(x, 0.1)


AROUND: dict[str, Callable[..., Any]] = {
    "not reentrant": lambda f, x: checkpoint(f, x, use_reentrant=False),
    "reentrant": lambda f, x: checkpoint(f, x, use_reentrant=True),
    "without the generator": lambda f, x: checkpoint(f, x, use_reentrant=False, preserve_rng_state=False),
}


@pytest.mark.parametrize("name", AROUND)
def test_checkpoints_inside(name: str) -> None:
    plain, block = Block(), Block(AROUND[name])
    x = torch.randn(30, 16)
    with st.accelerated():
        expected = results(plain, x)
    found = results(torch.compile(block, backend="simdrop" if name == "not reentrant" else recorded), x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_outside(reentrant: bool) -> None:
    block = Block()
    x = torch.randn(30, 16)
    with st.accelerated():
        expected = results(block, x)
    compiled = torch.compile(block, backend=recorded)
    found = results(lambda x: checkpoint(compiled, x, use_reentrant=reentrant), x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("budget", [0.0, 0.3])
def test_a_low_memory_budget_recomputes_the_same_masks(budget: float) -> None:
    with torch._functorch.config.patch(activation_memory_budget=budget):
        check(Block(), torch.randn(30, 16), fullgraph=True)


def saved(function: Callable[..., Any], *inputs: Any) -> list[Any]:
    """Return the tensors that autograd keeps."""
    kept: list[Any] = []

    def pack(tensor: Any) -> Any:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function(*inputs)
    return kept


def test_only_seeds_are_kept() -> None:
    compiled = torch.compile(lambda x: F.dropout(F.dropout(x, 0.3) + 1, 0.3), backend="simdrop", fullgraph=True)
    kept = saved(compiled, torch.randn(1000, requires_grad=True))
    assert [(t.dtype, t.numel()) for t in kept] == [(torch.int64, 1)] * 2


ATTENTION: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"is_causal": True, "scale": 0.3},
    "mask": {"attn_mask": torch.arange(64 * 64).view(64, 64) % 5 > 0},
}


@pytest.mark.parametrize("name", ATTENTION)
def test_large_attention_is_an_operator_that_keeps_no_matrix(name: str) -> None:
    inputs = [torch.randn(2, 3, 64, 8, requires_grad=True) for _ in range(3)]

    def function(query: Any, key: Any, value: Any) -> Any:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=0.2, **ATTENTION[name])

    found = []
    backend = "simdrop" if name == "mask" else recorded
    for run, context in (
        (function, st.accelerated()),
        (torch.compile(function, backend=backend, fullgraph=True), contextlib.nullcontext()),
    ):
        with context:
            torch.manual_seed(1)
            y = run(*inputs)
            found.append((y, *torch.autograd.grad(y.square().sum(), inputs)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    kept = saved(torch.compile(function, backend=backend, fullgraph=True), *inputs)
    assert max(t.numel() for t in kept) <= 64 * 64


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


def test_accumulation_and_autocast() -> None:
    block = Block()
    gradients = []
    compiled = torch.compile(block, backend=recorded, fullgraph=True)
    for run, context in ((block, st.accelerated()), (compiled, contextlib.nullcontext())):
        with context, torch.autocast("cpu", torch.bfloat16):
            block.zero_grad()
            torch.manual_seed(7)
            for part in range(3):
                run(torch.full((30, 16), part / 3.0)).float().square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in block.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)


def test_options_and_modes() -> None:
    seen = []

    class Pass(torch._inductor.custom_graph_pass.CustomGraphPass):  # type: ignore[misc, name-defined]
        def __call__(self, graph: Any) -> None:
            seen.append(graph)

        def uuid(self) -> str:
            return "test"

    options = {"joint_custom_pre_pass": Pass(), "epilogue_fusion": False}
    check(SPELLINGS["twice"], torch.randn(40, 50), options=options)
    assert seen
    with pytest.raises(Exception, match="Unexpected optimization option nonsense"):
        torch.compile(lambda x: x.sin(), backend="simdrop", options={"nonsense": 1})(torch.ones(3))
    check(SPELLINGS["twice"], torch.randn(41, 50), mode="reduce-overhead")
    check(SPELLINGS["twice"], torch.randn(42, 50), options={"fallback_random": True})


def test_inductor_itself_is_as_before() -> None:
    function = SPELLINGS["functional"]
    x = torch.randn(40, 50)
    check(function, x)
    torch._dynamo.reset()
    calls = st.kernel_calls()
    torch.compile(function, backend="inductor")(x)
    assert st.kernel_calls() == calls


def test_install_sets_the_default() -> None:
    function = SPELLINGS["functional"]
    x = torch.randn(40, 50)
    st.install(compile=True)
    try:
        assert torch.compiler.get_default_backend() == "simdrop"
        with st.accelerated():
            expected = results(function, x)
        for one, other in zip(results(torch.compile(function), x), expected, strict=True):
            torch.testing.assert_close(one, other)
        st.install(compile=True)
    finally:
        st.uninstall()
    assert torch.compiler.get_default_backend() == "inductor"
    torch.compiler.set_default_backend("eager")
    try:
        st.install(compile=True)
        assert torch.compiler.get_default_backend() == "eager"
    finally:
        st.uninstall()
        assert torch.compiler.get_default_backend() == "eager"
        torch.compiler.set_default_backend(None)


PROBE = """
import torch, sys
import importlib.metadata
assert not any("simdrop" in name for name in sys.modules)
f = torch.compile(lambda x: torch.nn.functional.dropout(x, 0.5), backend="simdrop", fullgraph=True)
assert set(f(torch.ones(1000)).tolist()) == {0.0, 2.0}
import simdrop.torch
assert simdrop.torch.kernel_calls() == 1
torch.nn.functional.dropout(torch.ones(1000), 0.5)
assert simdrop.torch.kernel_calls() == 1  # what is not compiled is as before
"""


def test_the_backend_is_found_without_an_import() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_exported_programs(tmp_path: Path) -> None:
    stock = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.5)).train()
    x = torch.randn(100, 8)
    with st.accelerated(), torch.no_grad():
        torch.manual_seed(1)
        expected = stock(x)
    program = torch.export.export(stock, (x,))
    assert any(node.target is torch.ops.aten.dropout.default for node in program.graph.nodes)
    ours: Any = st.replace(stock)
    exported = torch.export.export(ours, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(exported, tmp_path / "program.pt2")
    loaded = torch.export.load(tmp_path / "program.pt2").module()
    with torch.no_grad():
        package = torch._inductor.aoti_compile_and_package(exported, package_path=str(tmp_path / "compiled.pt2"))
        runs = (
            torch.compile(program.module(), backend=recorded),
            loaded,
            torch.compile(loaded, backend=recorded),
            torch._inductor.aoti_load_package(package),
        )
        for run in runs:
            calls = st.kernel_calls()
            torch.manual_seed(1)
            torch.testing.assert_close(run(x), expected)
            assert st.kernel_calls() == calls + 1
            assert not torch.equal(run(x), expected)
