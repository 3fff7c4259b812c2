"""PyTorch's own dropout while it is served by simdrop: modules, threads, processes, tracing."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional
import simdrop.torch as st  # noqa: E402
from torch_helpers import mask_of  # noqa: E402


@pytest.fixture
def installed() -> Iterator[None]:
    with st.accelerated():
        yield


@pytest.mark.usefixtures("installed")
def test_inference_mode() -> None:
    with torch.inference_mode():
        x = torch.ones(1000)
        calls = st.kernel_calls()
        assert 300 < int((F.dropout(x, 0.5) == 0).sum()) < 700
        F.dropout(x, 0.5, inplace=True)
        assert 300 < int((x == 0).sum()) < 700
        torch.native_dropout(torch.ones(10), 0.5, True)
        assert st.kernel_calls() == calls + 3
    y = torch.ones(10)
    version = y._version
    with torch.inference_mode():
        F.dropout(y, 0.5, inplace=True)
    assert y._version > version
    F.dropout(torch.ones(10), 0.5)  # the cell of the generator still works outside


@pytest.mark.usefixtures("installed")
def test_modules_that_call_dropout_themselves() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 16, 32)
    cases: list[tuple[Any, int]] = [
        (torch.nn.TransformerEncoderLayer(32, 2, 64, dropout=0.1, batch_first=True), 4),
        (torch.nn.LSTM(32, 32, num_layers=3, dropout=0.5), 2),
        (torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.AlphaDropout(0.5)), 2),
    ]
    for model, expected in cases:
        calls = st.kernel_calls()
        y = model(x)
        assert st.kernel_calls() == calls + expected
        y = y[0] if isinstance(y, tuple) else y
        y.sum().backward() if y.requires_grad else None
        model.eval()
        calls = st.kernel_calls()
        model(x)
        assert st.kernel_calls() == calls
    q = torch.randn(1, 2, 8, 8, requires_grad=True)
    calls = st.kernel_calls()
    F.scaled_dot_product_attention(q, q, q, dropout_p=0.5).sum().backward()
    assert st.kernel_calls() == calls + 2


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, of torch.jit
def test_scripted_modules_arrive_here() -> None:
    scripted = torch.jit.script(torch.nn.Dropout(0.5))
    calls = st.kernel_calls()
    assert 300 < int((scripted(torch.ones(1000)) == 0).sum()) < 700
    assert st.kernel_calls() > calls


class _Items(torch.utils.data.Dataset):  # type: ignore[misc, name-defined]
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        before = st.kernel_calls()
        y = F.dropout(torch.ones(300_000), 0.5)
        return y[:64].clone(), st.kernel_calls() - before


@pytest.mark.usefixtures("installed")
def test_data_loader_workers() -> None:
    F.dropout(torch.ones(300_000), 0.5)  # threads are running when the workers fork
    seen = []
    for _ in range(2):
        torch.manual_seed(4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of fork in a process with threads
            loader = torch.utils.data.DataLoader(
                _Items(), batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=60
            )
            batches = list(loader)
        assert all(bool((calls == 1).all()) for _, calls in batches)
        seen.append(torch.cat([y for y, _ in batches]))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0][0], seen[0][1])


@pytest.mark.usefixtures("installed")
def test_threads_draw_different_masks() -> None:
    results: list[Any] = []

    def work() -> None:
        for _ in range(50):
            y = F.dropout(torch.ones(64), 0.5)
            results.append(tuple((y != 0).tolist()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(results)) == 200


@pytest.mark.usefixtures("installed")
def test_masks_do_not_depend_on_threads_or_instruction_set(isa: str) -> None:
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(1)
            results.append(F.dropout(torch.ones(300_001), 0.1))
        assert torch.equal(*results)
        assert torch.equal(results[0] != 0, mask_of(1, (300_001,), 0.1))
    finally:
        torch.set_num_threads(before)
