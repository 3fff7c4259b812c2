"""DTensors and data parallel training on four real processes: each has its part of what one process computes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
tensor = pytest.importorskip("torch.distributed.tensor")
import simdrop.torch as st  # noqa: E402
from places import ROOT, SUPPORT  # noqa: E402
from simdrop.torch import _attention_blocks  # noqa: E402
from torch_rank_cases import CASES  # noqa: E402


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Run all cases on all ranks, in processes of their own that end with this one or after two minutes."""
    folder: Path = tmp_path_factory.mktemp("ranks")
    ranks = subprocess.Popen(
        [sys.executable, str(SUPPORT / "torch_ranks.py"), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        output, _ = ranks.communicate(timeout=120)
    finally:
        if ranks.poll() is None:
            os.killpg(ranks.pid, signal.SIGKILL)
            ranks.wait()
    files = sorted(folder.glob("*.json"))
    assert len(files) == 4, output[-3000:]
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.parametrize("name", list(CASES))
def test_on_four_ranks(found: list[dict[str, str]], name: str) -> None:
    for rank, results in enumerate(found):
        assert results.get(name, "not reached") == "", f"rank {rank}"


def _mask(x: Any, **given: Any) -> Any:
    with st.shard(**given):
        return st.dropout(x, 0.5, rng=3)


def test_a_part_is_a_window() -> None:
    whole = st.dropout(torch.ones(12, 4, 6), 0.5, rng=3)
    assert torch.equal(_mask(torch.ones(3, 4, 6), index=2, of=4), whole[6:9])
    assert torch.equal(_mask(torch.ones(12, 2, 6), index=1, of=2, dim=1), whole[:, 2:])
    assert torch.equal(_mask(torch.ones(12, 4, 2), index=1, of=3, dim=-1), whole[..., 2:4])
    # sizes, of which a dimension may hold a multiple: 3 and 1 samples of 3 heads each
    assert torch.equal(_mask(torch.ones(9, 4, 6), index=0, of=[3, 1]), whole[:9])
    assert torch.equal(_mask(torch.ones(3, 4, 6), index=1, of=[3, 1]), whole[9:])
    with st.shard(index=1, of=2), st.shard(index=0, of=2, dim=1):  # two dimensions, and one twice
        assert torch.equal(st.dropout(torch.ones(6, 2, 6), 0.5, rng=3), whole[6:, :2])
    with st.shard(index=1, of=2), st.shard(index=0, of=2):
        assert torch.equal(st.dropout(torch.ones(3, 4, 6), 0.5, rng=3), whole[6:9])
    assert torch.equal(st.dropout(torch.ones(12, 4, 6), 0.5, rng=3), whole)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (0, 2, 1)], ids=str)
@pytest.mark.parametrize("size", [1, 2])
def test_elements_are_counted_in_the_memory_of_the_whole(order: tuple[int, ...], size: int) -> None:
    """As one process counts them: of a part of one sample the strides alone tell where the others lie."""
    back = tuple(order.index(d) for d in range(3))
    shape = (4, 5, 6)
    whole = st.dropout(torch.ones([shape[d] for d in order]).permute(back), 0.5, rng=3)
    assert whole.shape == shape
    parts = []
    for i in range(4 // size):
        mine = (size, 5, 6)
        x = torch.ones([mine[d] for d in order]).permute(back)
        parts.append(_mask(x, index=i, of=4 // size))
    assert torch.equal(torch.cat(parts), whole)


FORMS: dict[str, Callable[[Any], Any]] = {
    "channels": lambda x: st.feature_dropout(x, 0.5, rng=3),
    "alpha channels": lambda x: st.feature_alpha_dropout(x, 0.5, rng=3),
    "samples": lambda x: st.drop_path(x, 0.5, rng=3),
    "in place": lambda x: st.dropout(x * 1, 0.5, inplace=True, rng=3),
    "transformed": lambda x: torch.vmap(lambda z: st.dropout(z, 0.5, rng=3))(x[None])[0],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("dim", [0, 1, 3])
def test_members(form: Callable[[Any], Any], dim: int) -> None:
    x = torch.randn(6, 4, 5, 8)
    whole = form(x)
    for i, part in enumerate(x.split(x.shape[dim] // 2, dim)):
        with st.shard(index=i, of=2, dim=dim):
            assert torch.equal(form(part), whole.split(x.shape[dim] // 2, dim)[i])


def test_installed() -> None:
    x = torch.randn(8, 4)
    with st.accelerated():
        torch.manual_seed(0)
        whole, mask = torch.native_dropout(x, 0.5, True)
        torch.manual_seed(0)
        with st.shard(index=1, of=2):
            part, part_mask = torch.native_dropout(x[4:], 0.5, True)
        assert torch.equal(part, whole[4:])
        assert torch.equal(part_mask, mask[4:])
        # a part of nothing draws as the others do
        torch.manual_seed(0)
        with st.shard(index=0, of=[0, 8]):
            assert torch.nn.functional.dropout(x[:0], 0.5).shape == (0, 4)
        state = torch.get_rng_state()
        torch.manual_seed(0)
        torch.nn.functional.dropout(x, 0.5)
        assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [1 << 16, 1 << 19])  # a few rows; two heads
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("batch", "dim"), [((6,), 0), ((2, 4), 0), ((2, 4), 1), ((2, 2, 4), 0), ((2, 2, 4), 2)], ids=str
)
def test_attention(batch: tuple[int, ...], dim: int, causal: bool, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block, and composed by PyTorch where batch dimensions are merged."""
    monkeypatch.setattr(_attention_blocks, "_BLOCK", size)
    torch.manual_seed(0)
    whole = [torch.randn(*batch, 160, 8, dtype=torch.float64) for _ in range(3)]

    def attend(query: Any, key: Any, value: Any) -> tuple[Any, Any]:
        torch.manual_seed(1)
        query = query.clone().requires_grad_()
        y = torch.nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=0.4, is_causal=causal)
        return y.detach(), torch.autograd.grad(y.sum(), query)[0]

    with st.accelerated():
        expected = attend(*whole)
        for i in range(2):
            parts = [x.chunk(2, dim)[i] for x in whole]
            with st.shard(index=i, of=2, dim=dim):
                found = attend(*parts)
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other.chunk(2, dim)[i])


def test_micro_batches() -> None:
    """Gradients that are accumulated on one process are those of the whole batch."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.3, batch_first=True, dtype=torch.float64)
    x = torch.randn(6, 5, 16, dtype=torch.float64)
    with st.accelerated():
        state = torch.get_rng_state()
        layer(x).square().sum().backward()
        expected = [p.grad.clone() for p in layer.parameters()]
        layer.zero_grad()
        for i, part in enumerate(x.split([4, 1, 1])):
            torch.set_rng_state(state)
            with st.shard(index=i, of=[4, 1, 1], check=False):
                layer(part).square().sum().backward()
    for p, whole in zip(layer.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, whole)


def test_weights_are_whole() -> None:
    layer = st.nn.DropConnect(4, 3, 0.5)
    x = torch.randn(6, 4)
    torch.manual_seed(0)
    whole = layer(x)
    torch.manual_seed(0)
    with st.shard(index=1, of=2):
        torch.testing.assert_close(layer(x[3:]), whole[3:])


def test_compiled_graphs_are_refused() -> None:
    compiled = torch.compile(lambda x: st.dropout(x, 0.5), backend="aot_eager")
    compiled(torch.ones(4))
    with st.shard(index=0, of=2), pytest.raises(RuntimeError, match="got a compiled graph"):
        compiled(torch.ones(4))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"index": 2, "of": 2}, ValueError, "index: got 2; accepted: 0 to 1"),
        ({"index": -1, "of": 2}, ValueError, "index: got -1; accepted: 0 to 1"),
        ({"index": 0, "of": 0}, ValueError, "of: got 0; accepted: 1 and above"),
        ({"index": 0, "of": []}, ValueError, "of: got .*; accepted: sizes of 0 and above"),
        ({"index": 0, "of": [3, -1]}, ValueError, "of: got .*; accepted: sizes of 0 and above"),
        ({"index": 0, "of": [0, 0]}, ValueError, "of: got .*; accepted: sizes of 0 and above, one of them above 0"),
        ({"index": 0.0, "of": 2}, TypeError, "index: got 0.0; accepted: an integer"),
        ({"index": 0, "of": "2"}, TypeError, "of: got '2'; accepted: an integer"),
        ({"index": 0, "of": 2, "check": "all"}, TypeError, "check: got 'all'; accepted: None, False, or,"),
        ({"index": 0, "of": 2, "check": True}, TypeError, "check: got True; accepted: .* is initialized"),
        ({"index": 0, "of": 2, "dim": None}, TypeError, "dim: got None; accepted: an integer"),
        ({"index": 0, "of": 2, "dim": 2}, ValueError, r"got a tensor of shape \(3, 4\); accepted: .* a dimension 2"),
        ({"index": 0, "of": 2, "dim": -3}, ValueError, r"got a tensor of shape \(3, 4\); accepted: .* a dimension -3"),
        ({"index": 0, "of": [2, 1]}, ValueError, r"shape \(3, 4\); accepted: 2, the size of this part, or a multiple"),
        ({"index": 1, "of": [2, 0]}, ValueError, r"shape \(3, 4\); accepted: 0, the size of this part"),
        ({"index": 0, "of": 1 << 60, "dim": 1}, ValueError, r"2\^58"),
    ],
)
def test_refusals(given: dict[str, Any], error: type[Exception], message: str) -> None:
    x = torch.ones(3, 4)
    with pytest.raises(error, match=message), st.shard(**given):
        st.dropout_(x, 0.5)
    assert torch.equal(x, torch.ones(3, 4))
    assert torch.equal(st.dropout(x, 0.5, rng=1), st.dropout(x, 0.5, rng=1))  # the block has ended


def test_squares_are_refused() -> None:
    with st.shard(index=0, of=2), pytest.raises(RuntimeError, match="got squares"):
        st.drop_block2d(torch.ones(2, 2, 8, 8), 0.5, 3)


def test_without_what_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear error instead of a wrong mask."""
    monkeypatch.setattr(tensor.DTensor, "_op_dispatcher", object())
    with pytest.raises(RuntimeError, match=r"install: got PyTorch .*_custom_op_handlers"):
        st.install()
    st.uninstall()
    assert not st.installed()


LATE = """
import sys, torch, simdrop.torch as st
st.install()
assert "torch.distributed.tensor" not in sys.modules
with torch.inference_mode():
    torch.manual_seed(0)
    whole = torch.dropout(torch.ones(6, 4), 0.5, True)
import torch.distributed.tensor as dt
torch.distributed.init_process_group("fake", rank=1, world_size=2)
mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (2,))
x = dt.DTensor.from_local(torch.ones(3, 4), mesh, [dt.Shard(0)], run_check=False)
handlers = dt.DTensor._op_dispatcher._custom_op_handlers
with torch.inference_mode():
    torch.manual_seed(0)
    assert torch.equal(torch.dropout(x, 0.5, True).to_local(), whole[3:])
st.uninstall()
assert torch.ops.aten.dropout.default not in handlers
st.install()
assert torch.ops.aten.dropout.default in handlers
assert not any(type(finder).__module__.startswith("simdrop") for finder in sys.meta_path)

# in a compiled graph PyTorch's dropout is refused, and a function of this package breaks the graph
try:
    torch.compile(lambda x: torch.dropout(x, 0.5, True), backend="aot_eager")(x)
except Exception as error:
    assert "dropout of a DTensor: got a compiled graph" in str(error), error
else:
    raise AssertionError("it was not refused")
y = torch.compile(lambda x: st.dropout(x * 2, 0.5, rng=1) + 1, backend="aot_eager")(x)
assert torch.equal(y.to_local(), st.dropout(torch.ones(6, 4) * 2, 0.5, rng=1)[3:] + 1)
"""


def test_dtensor_may_be_imported_later_and_meet_compiled_graphs() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_example_runs(tmp_path: Path) -> None:
    for name in ("sklearn", "matplotlib"):
        pytest.importorskip(name, reason="the example needs it")
    script, picture = ROOT / "examples" / "torch_ranks.py", tmp_path / "picture.png"
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "--output", str(picture)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    apart = [float(number) for number in re.findall(r"by (\S+) at most", done.stdout)]
    assert len(apart) == 2
    assert apart[0] > 1e-3
    assert apart[1] < 1e-5
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_page_runs() -> None:
    page = (ROOT / "docs" / "distributed.md").read_text()
    blocks = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "torch" in block]
    assert len(blocks) == 1
    for block in blocks:
        exec(block, {})
