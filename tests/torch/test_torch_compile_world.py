"""The backend "simdrop" beside others: options, defaults, exported programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import simdrop.torch as st  # noqa: E402
from torch_compile_cases import SPELLINGS, cache, check, fresh, recorded, results  # noqa: E402, F401

# What PyTorch's compiler itself warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")
F = torch.nn.functional


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
