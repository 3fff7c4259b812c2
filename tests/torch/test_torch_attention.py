"""Attention with dropout while it is served: PyTorch's composition of it gives the same, but for rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import simdrop

torch = pytest.importorskip("torch")
import simdrop.torch as st  # noqa: E402
from torch_attention_cases import BLOCKS, SIZES, P, Served, attend, case, check, masks, run  # noqa: E402
from torch_helpers import seed_after  # noqa: E402


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with st.accelerated():
        yield Served(monkeypatch)


both = pytest.mark.parametrize("kept", [math.inf, 0], ids=["kept", "again"])


@pytest.mark.parametrize("layout", ["contiguous", "multihead", "gpt", "3d"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", masks(torch.float32))
@both
def test_the_composition_gives_the_same(served: Served, kept: float, name: str, dtype: Any, layout: str) -> None:
    served.keep(kept)
    options = masks(dtype)[name]
    if layout == "3d" and "attn_mask" in options:
        mask = options["attn_mask"].expand(*SIZES[:4])
        options["attn_mask"] = mask.flatten(0, 1)
    tensors = case(dtype, layout)
    got = run(tensors, **options)
    assert served.calls == 1
    after = torch.get_rng_state()
    served.least(math.inf)
    expected = run(tensors, **options)
    assert served.calls == 1
    assert torch.equal(torch.get_rng_state(), after)
    check(got, expected)
    assert got[0].stride() == expected[0].stride()
    assert not any(x.isnan().any() for x in got)
    if name == "bool" and layout != "3d":
        assert not got[0][:, :, 5].any()


@pytest.mark.parametrize("causal", [False, True])
def test_the_definition(served: Served, causal: bool) -> None:
    tensors = case()
    q, k, v = (x.detach().double().numpy() for x in tensors[:3])
    scores = q @ k.swapaxes(-1, -2) * 0.2
    if causal:
        scores[..., np.tri(*scores.shape[-2:]) == 0] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mask = simdrop.Mask(scores.shape, P, seed=seed_after(3))
    expected = np.where(mask.keep(), weights / mask.keep_probability, 0) @ v
    got = run(tensors, scale=0.2, is_causal=causal)[0]
    assert served.calls == 1
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", masks(torch.float32))
@pytest.mark.parametrize("layout", ["contiguous", "gpt"])
@both
def test_blocks_do_not_matter(served: Served, kept: float, name: str, layout: str) -> None:
    served.keep(kept)
    tensors, options = case(layout=layout), masks(torch.float32)[name]
    served.least(math.inf)
    expected = run(tensors, **options)
    served.least(1)
    runs = []
    for size in BLOCKS:
        served.block(size)
        calls = st.kernel_calls()
        check(run(tensors, **options), expected)
        runs.append(st.kernel_calls() - calls)
        with torch.no_grad():
            torch.manual_seed(3)
            check([attend(*tensors[:3], dropout_p=P, **options)], expected[:1])
    # one run forward and two backward for each block: 3 blocks of rows, whole heads, 2 and 1 heads, batches, all
    assert runs == [3 * 3 * 6, 3 * 6, 3 * 4, 3 * 2, 3]


def test_threads_do_not_matter() -> None:
    tensors, before = case(), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(run(tensors))
        check(*results)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["none", "causal", "mask", "added"])
def test_gradcheck_and_gradgradcheck(served: Served, name: str) -> None:
    served.keep(0)
    served.least(1)
    served.block(8 * 32 * 3)
    *qkv, _ = case(torch.float64, sizes=(1, 2, 34, 3, 2, 2))  # two blocks of rows for each head
    mask = torch.ones(34, 3, dtype=torch.bool)
    mask[4], mask[5, 1] = False, False
    added = torch.randn(2, 1, 3, dtype=torch.float64, requires_grad=True)
    options = {"none": {}, "causal": {"is_causal": True}, "mask": {"attn_mask": mask}, "added": {}}[name]
    qkv += [added] if name == "added" else []

    def function(*tensors: Any) -> Any:
        torch.manual_seed(3)
        return attend(*tensors, dropout_p=P, **options)

    assert torch.autograd.gradcheck(function, qkv)
    assert torch.autograd.gradcheck(function, qkv, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, qkv)
    assert served.calls


def test_the_gradient_with_a_graph_is_the_same() -> None:
    *qkv, g = case(torch.float64)
    torch.manual_seed(3)
    y = attend(*qkv, dropout_p=P, attn_mask=masks(torch.float64)["added"]["attn_mask"])
    plain = torch.autograd.grad(y, qkv, g, retain_graph=True)
    with_graph = torch.autograd.grad(y, qkv, g, create_graph=True)
    assert all(x.requires_grad for x in with_graph)
    check(list(with_graph), list(plain))


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_the_gradients_that_are_wanted(served: Served, wanted: tuple[bool, ...]) -> None:
    tensors = case()
    expected = run(tensors)[1:]
    torch.manual_seed(3)
    parts = [x.detach().requires_grad_(yes) for x, yes in zip(tensors, wanted, strict=False)]
    attend(*parts, dropout_p=P).backward(tensors[3])
    for x, yes, gradient in zip(parts, wanted, expected, strict=True):
        assert (x.grad is not None) == yes
        assert not yes or torch.equal(x.grad, gradient)
    assert served.calls == 2


def test_one_tensor_as_query_key_and_value(served: Served) -> None:
    x = case(sizes=(2, 3, 80, 80, 16, 16))[0]
    gradients = []
    for least in (1, math.inf):
        served.least(least)
        torch.manual_seed(3)
        # sum() gives a gradient whose elements are one
        gradients.append(torch.autograd.grad(attend(x, x, x, dropout_p=P).sum(), x)[0])
    check([gradients[0]], [gradients[1]])
    assert served.calls == 1


def saved_elements(tensors: list[Any]) -> list[int]:
    sizes = []

    def pack(x: Any) -> Any:
        sizes.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        attend(*tensors[:3], dropout_p=P)
    return sizes


def test_a_matrix_is_saved_if_it_is_small(served: Served) -> None:
    tensors = case()
    matrix = math.prod(SIZES[:4])
    arguments = sorted(x.numel() for x in tensors[:3])
    served.keep(4 * matrix)
    assert saved_elements(tensors)[3:] == [matrix]
    served.keep(4 * matrix - 1)
    assert sorted(saved_elements(tensors)) == arguments
    with torch.no_grad():
        assert saved_elements(tensors) == []
    assert saved_elements([x.detach() for x in tensors]) == []
    assert served.calls == 4


def test_hooks_on_saved_tensors_may_change_the_form() -> None:
    tensors = case()
    expected = run(tensors)

    def unpack(x: Any) -> Any:
        return x.float().mT.contiguous().mT  # of other strides

    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.double(), unpack):
        y = attend(*tensors[:3], dropout_p=P)
    check([y, *torch.autograd.grad(y, tensors[:3], tensors[3])], expected)


def test_a_change_before_the_backward_pass_is_an_error() -> None:
    for changed in range(3):
        tensors = [x.detach() for x in case()]
        leaf = tensors[1 - min(changed, 1)].requires_grad_()
        mask = torch.ones(SIZES[2:4], dtype=torch.bool)
        y = attend(*tensors[:3], mask, dropout_p=P)
        mask.zero_()  # of which nothing is kept, as in PyTorch's own
        torch.autograd.grad(y.sum(), leaf, retain_graph=True)
        tensors[changed].add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()
