"""What torch.nn.functional.dropout finds in front of the dispatcher, and the short way of small tensors."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional
import simdrop.torch as st  # noqa: E402
from simdrop.torch import _front, _memory  # noqa: E402
from torch_helpers import mask_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, of torch.jit


@pytest.fixture
def served() -> Iterator[None]:
    with st.accelerated():
        yield


DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# one element, no dimension, less than a vector, the last small one and the first that is not
SHAPES = [(1,), (), (7,), (64,), (3, 5, 11), (16383,), (16384,)]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_both_ways_give_the_same_bytes(dtype: Any, p: float) -> None:
    for shape in SHAPES:
        torch.manual_seed(1)
        x = torch.randn(shape, dtype=dtype)
        for i, odd in enumerate((math.nan, math.inf, -math.inf, -0.0)):
            x.view(-1)[3 * i :: 17] = odd
        g = torch.where(x.isnan(), -math.inf, x)
        results = []
        for dropout in (F.dropout, lambda x, p: torch.ops.aten.dropout(x, p, True)):
            leaf = x.clone().requires_grad_()
            torch.manual_seed(2)
            y = dropout(leaf, p)
            (gradient,) = torch.autograd.grad(y, leaf, g, retain_graph=True)
            torch.manual_seed(2)
            results.append([y.detach(), gradient, dropout(x, p)])
        for front, behind in zip(*results, strict=True):
            assert front.dtype == dtype
            assert torch.equal(front.view(-1).view(torch.uint8), behind.contiguous().view(-1).view(torch.uint8))


def test_which_tensors_are_small() -> None:
    x = torch.randn(4, 6)
    assert _memory.is_small(x)
    assert _memory.is_small(x[1:3])
    others = [
        *(x.t(), x[:, 1:], x.expand(2, 4, 6), torch._neg_view(x), torch._lazy_clone(x), x.to_sparse(), x.to_mkldnn()),
        *(torch._efficientzerotensor((4, 6)), x.to("meta"), x.long(), x.to(torch.complex64), torch.nn.Parameter(x)),
        *(torch.empty(0, 3), torch.empty(16384), torch._to_functional_tensor(x)),
    ]
    for other in others:
        assert not _memory.is_small(other)


@pytest.mark.usefixtures("served")
def test_gradients_that_are_not_small_and_plain() -> None:
    x = torch.randn(4, 6, requires_grad=True)
    keep = mask_of(3, (4, 6), 0.5)
    scaled = keep.float() * 2
    y = F.dropout(x, 0.5)
    ones = torch.ones(6, 4)
    for gradient in (ones.t(), torch.ones(()).expand(4, 6), torch._neg_view(-torch.ones(4, 6))):
        assert torch.equal(torch.autograd.grad(y, x, gradient, retain_graph=True)[0], scaled)
    batch = torch.autograd.grad(y, x, torch.ones(3, 4, 6), retain_graph=True, is_grads_batched=True)[0]
    assert torch.equal(batch, scaled.expand(3, 4, 6))
    w = torch.ones(4, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(y, x, w, create_graph=True)
    assert torch.equal(torch.autograd.grad(gradient.sum(), w)[0], scaled)
    y.sum().backward()
    assert torch.equal(x.grad, scaled)
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


@pytest.mark.usefixtures("served")
def test_without_dropout_the_argument_comes_back() -> None:
    for x in (torch.ones(3), torch.ones(3, requires_grad=True), torch.nn.Parameter(torch.ones(3))):
        for p, train in ((0.5, False), (0.0, False), (0.0, True)):
            assert F.dropout(x, p, train) is x


def test_wrong_arguments_are_refused_as_by_pytorch() -> None:
    wrong: list[tuple[Any, ...]] = [([1.0], 0.5), (None, 0.5), (torch.ones(3), 0.5, None), (torch.ones(3), "0.5")]
    for arguments in wrong:
        with pytest.raises(TypeError) as expected:
            F.dropout(*arguments)
        with st.accelerated(), pytest.raises(TypeError) as error:
            F.dropout(*arguments)
        assert str(error.value) == str(expected.value)


@pytest.mark.usefixtures("served")
def test_it_is_taken_away_again_and_leaves_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    functions: Any = torch._VF
    assert functions.dropout is _front.dropout
    _front.leave_front()
    assert "dropout" not in vars(functions)
    other: Any = len
    monkeypatch.setattr(functions, "dropout", other, raising=False)
    _front.serve_front()
    assert functions.dropout is other
    _front.leave_front()
    assert functions.dropout is other


@pytest.mark.usefixtures("served")
def test_what_looks_on_sees_the_operator() -> None:
    x = torch.ones(10)
    traced = torch.jit.trace(lambda x: F.dropout(x, 0.5), x, check_trace=False)
    assert "aten::dropout" in str(traced.graph)
    with torch.profiler.profile() as profile:
        F.dropout(x, 0.5)
    assert "aten::dropout" in {event.name for event in profile.events()}


SCRIPT = """
import sys, torch, simdrop.torch
def double(x):
    return torch.nn.functional.dropout(x, 0.5) * 2
def once(x):
    return torch.nn.functional.dropout(x, 0.5)
if sys.argv[1] == "after":
    torch.jit.script(torch.nn.Linear(2, 2))  # makes the table of what a script may call
simdrop.torch.install()
calls = simdrop.torch.kernel_calls()
for function in (double, once):
    assert "aten::dropout" in str(torch.jit.script(function).inlined_graph)
    torch.jit.script(function)(torch.ones(9))
assert simdrop.torch.kernel_calls() == calls + 2
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_scripts_are_compiled(when: str, tmp_path: Any) -> None:
    script = tmp_path / "script.py"  # its source is read
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script, when], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("served")
def test_versions_of_pytorch_without_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_exchange", None)  # before 2.10
    x = torch.ones(64, requires_grad=True)
    keep = mask_of(3, (64,), 0.5)
    y = F.dropout(x, 0.5)
    assert torch.equal(y != 0, keep)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], y)
