"""Attention of nested tensors with dropout: that of the padded tensors, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import simdrop  # noqa: E402
import simdrop.torch as st  # noqa: E402
from torch_helpers import seed_after  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # that nested tensors are a prototype
attend = torch.nn.functional.scaled_dot_product_attention
QUERIES, KEYS, HEADS, P = (4, 16, 9), (5, 3, 12), 2, 0.3  # longer and shorter keys than queries


@pytest.fixture
def served() -> Iterator[None]:
    with st.accelerated():
        yield


def tensors() -> Any:
    torch.manual_seed(0)
    widths = zip((QUERIES, KEYS, KEYS), (8, 8, 6), strict=True)
    return tuple([torch.randn(n, HEADS, d, requires_grad=True) for n in lengths] for lengths, d in widths)


def nested(samples: list[Any], layout: Any) -> Any:
    whole = torch.nested.as_nested_tensor(samples, layout=layout).transpose(1, 2)
    return whole if layout == torch.jagged else whole.contiguous()


def expected(query: Any, key: Any, value: Any, scale: float | None = None) -> list[Any]:
    """Compute it from the definition of the mask of the padded matrix."""
    seed = seed_after(7)
    whole = simdrop.Mask((len(QUERIES), HEADS, max(QUERIES), max(KEYS)), P, seed=seed).keep()
    results = []
    for keep, q, k, v in zip(torch.from_numpy(whole), query, key, value, strict=True):
        weights = torch.softmax(q.transpose(0, 1) @ k.permute(1, 2, 0) * (scale or 1 / math.sqrt(8)), -1)
        kept = keep[:, : len(q), : len(k)] / (1 - P)
        results.append((weights * kept @ v.transpose(0, 1)).transpose(0, 1))
    return results


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
@pytest.mark.parametrize("scale", [None, 0.5])
def test_it_is_that_of_the_padded_matrix(layout: Any, scale: float | None) -> None:
    given = tensors()
    query, key, value = given
    right = expected(query, key, value, scale)
    calls = st.kernel_calls()
    y = attend(*(nested(x, layout) for x in given), dropout_p=P, scale=scale)
    assert st.kernel_calls() == calls + len(QUERIES)
    assert y.layout == layout
    parts = y.transpose(1, 2).unbind()
    for part, other in zip(parts, right, strict=True):
        torch.testing.assert_close(part, other)
    leaves = [x for samples in given for x in samples]
    gradients = torch.autograd.grad(sum(part.square().sum() for part in parts), leaves)
    others = torch.autograd.grad(sum(part.square().sum() for part in right), leaves)
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, other)


@pytest.mark.usefixtures("served")
def test_what_stays_pytorchs() -> None:
    given = [nested(x, torch.strided) for x in tensors()]
    calls = st.kernel_calls()
    attend(*given)
    assert st.kernel_calls() == calls
    with torch.inference_mode():
        attend(*(nested([x.detach() for x in samples], torch.strided) for samples in tensors()), dropout_p=P)
    assert st.kernel_calls() == calls + 1  # of the one piece of memory in which PyTorch has all samples' weights
    assert not attend(*given, dropout_p=1.0).values().any()


def test_pytorchs_own_is_back_afterwards() -> None:
    given = [nested(x, torch.jagged) for x in tensors()]
    for _ in range(2):
        calls = st.kernel_calls()
        with st.accelerated():
            attend(*given, dropout_p=P)
        assert st.kernel_calls() == calls + len(QUERIES)
        attend(*given, dropout_p=P)
        assert st.kernel_calls() == calls + len(QUERIES)
