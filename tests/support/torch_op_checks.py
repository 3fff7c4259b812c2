"""What PyTorch's own tests ask of an operator, as functions of one entry of its operator information and one sample.

PyTorch's test files are not in its wheel; the entries and the tools that the tests are made of are
(torch.testing._internal). Each check raises if the operator fails it. The docstrings name the tests of PyTorch that it
stands for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.autograd.forward_ad as fwad
from functorch.compile import aot_function, nop  # type: ignore[import-untyped]
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close
from torch.testing._internal import composite_compliance
from torch.testing._internal.common_utils import noncontiguous_like
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch_op_samples import detached, function_of, gradients_of, need, seeded, tensors_of, weights_for

Check = Callable[[Any, Any], None]
_func: Any = torch.func
_is_lazy_copy: Any = getattr(torch._C, "_is_cow_tensor")  # noqa: B009


def _variants(op: Any) -> Iterator[bool]:
    """Out of place, and in place where there is such a variant."""
    yield False
    if op.inplace_variant:
        yield True


def eager(op: Any, sample: Any) -> None:
    """TestCommon.test_variant_consistency_eager."""
    call, leaves = function_of(op, sample)
    for inplace in _variants(op):
        other, _ = function_of(op, sample, inplace)
        assert_close(other(*leaves), call(*leaves))
        assert_close(gradients_of(other, leaves), gradients_of(call, leaves))


def noncontiguous(op: Any, sample: Any) -> None:
    """TestCommon.test_noncontiguous_samples."""
    call, leaves = function_of(op, sample)
    strided = [noncontiguous_like(x) for x in leaves]
    assert_close(call(*strided), call(*leaves))
    assert_close(gradients_of(call, strided), gradients_of(call, leaves))


def negative_view(op: Any, sample: Any) -> None:
    """TestMathBits.test_neg_view."""
    for inplace in _variants(op):
        call, leaves = function_of(op, sample, inplace)
        negative = [torch._neg_view(-x.detach()) for x in leaves]
        assert_close(call(*negative), call(*leaves))
        assert_close(gradients_of(call, negative), gradients_of(call, leaves))


def backward(op: Any, sample: Any) -> None:
    """TestBwdGradients.test_fn_grad, test_inplace_grad."""
    need(op.supports_autograd)
    for inplace in _variants(op):
        assert gradcheck(*function_of(op, sample, inplace), check_batched_grad=op.check_batched_grad, fast_mode=True)


def backward_twice(op: Any, sample: Any) -> None:
    """TestBwdGradients.test_fn_gradgrad, test_inplace_gradgrad."""
    need(op.supports_autograd and op.supports_gradgrad)
    for inplace in _variants(op):
        call, leaves = function_of(op, sample, inplace)
        assert gradgradcheck(call, leaves, check_batched_grad=op.check_batched_gradgrad, fast_mode=True)


def forward_mode(op: Any, sample: Any) -> None:
    """TestFwdGradients.test_forward_mode_AD, test_inplace_forward_mode_AD."""
    need(op.supports_forward_ad)
    options: Any = dict.fromkeys(("check_backward_ad", "check_undefined_grad", "check_batched_grad"), False)
    for inplace in _variants(op):
        call, leaves = function_of(op, sample, inplace)
        batched = op.check_batched_forward_grad and not inplace
        gradcheck(call, leaves, check_forward_ad=True, check_batched_forward_grad=batched, fast_mode=True, **options)
        with fwad.dual_level():
            dual = call(*(fwad.make_dual(x.detach(), torch.ones_like(x)) for x in leaves))
            assert_close([fwad.unpack_dual(y).primal for y in tensors_of(dual)], tensors_of(call(*detached(leaves))))


def forward_over_reverse(op: Any, sample: Any) -> None:
    """TestFwdGradients.test_fn_fwgrad_bwgrad."""
    need(op.supports_fwgrad_bwgrad)
    options: Any = dict.fromkeys(("check_rev_over_rev", "check_undefined_grad", "check_batched_grad"), False)
    for inplace in _variants(op):
        gradgradcheck(*function_of(op, sample, inplace), check_fwd_over_rev=True, fast_mode=True, **options)


def _equal(actual: Any, expected: Any, **options: Any) -> None:
    assert_close(actual, expected, **options)


def _few_tensors(sample: Any) -> bool:
    """Whether it does not take minutes to wrap every subset of the tensors."""
    return len(tensors_of((sample.input, sample.args, sample.kwargs))) <= 6


def composite(op: Any, sample: Any) -> None:
    """TestCompositeCompliance.test_operator."""
    args = (sample.input, *sample.args)
    composite_compliance.check_with_mode(seeded(op.op), args, sample.kwargs, _equal)
    need(_few_tensors(sample))
    composite_compliance.check_all_permutations(seeded(op.op), args, sample.kwargs, _equal)


def composite_backward(op: Any, sample: Any) -> None:
    """TestCompositeCompliance.test_backward."""
    need(op.supports_autograd and _few_tensors(sample))
    more = sample.output_process_fn_grad, op.gradcheck_wrapper, _equal
    composite_compliance.check_backward_formula(seeded(op.op), (sample.input, *sample.args), sample.kwargs, *more)


def composite_forward(op: Any, sample: Any) -> None:
    """TestCompositeCompliance.test_forward_ad."""
    need(op.supports_forward_ad and _few_tensors(sample))
    args = (sample.input, *sample.args)
    composite_compliance.check_forward_ad_formula(seeded(op.op), args, sample.kwargs, op.gradcheck_wrapper, _equal)


def copy_on_write(op: Any, sample: Any) -> None:
    """TestCompositeCompliance.test_cow_input, with the values too."""
    call, leaves = function_of(op, sample)
    expected, gradients = call(*leaves), gradients_of(call, leaves)
    lazy = [torch._lazy_clone(x.detach()).requires_grad_() for x in leaves]
    results = call(*lazy)
    assert_close(results, expected)
    assert all(_is_lazy_copy(x) for x in lazy), "an input was copied by the forward pass"
    outputs = [y for y in tensors_of(results) if y.requires_grad]
    if outputs and op.supports_cow_input_no_materialize_backward:
        weights = [torch._lazy_clone(weights_for(y)) for y in outputs]
        assert_close(torch.autograd.grad(outputs, lazy, weights, allow_unused=True), gradients)
        assert all(_is_lazy_copy(x) for x in (*lazy, *weights)), "an input was copied by the backward pass"


def function_gradients(op: Any, sample: Any) -> None:
    """functorch's TestOperators.test_grad, test_vjp."""
    call, leaves = function_of(op, sample)
    plain = detached(leaves)
    primal, vjp = _func.vjp(call, *plain)
    assert_close(primal, call(*plain))
    expected = gradients_of(call, plain)
    if expected:
        zeros = tuple(torch.zeros_like(x) if g is None else g for x, g in zip(plain, expected, strict=True))
        assert_close(vjp(tree_map(weights_for, primal)), zeros)


def function_tangents(op: Any, sample: Any) -> None:
    """functorch's TestOperators.test_jvp, test_jvpvjp, test_vjpvjp."""
    need(op.supports_forward_ad)
    call, leaves = function_of(op, sample)
    plain = tuple(detached(leaves))
    ones = tuple(torch.ones_like(x) for x in plain)
    primal, tangent = _func.jvp(call, plain, ones)
    assert_close(primal, call(*plain))
    if isinstance(primal, torch.Tensor):
        with fwad.dual_level():
            dual = call(*(fwad.make_dual(x, one) for x, one in zip(plain, ones, strict=True)))
            expected = fwad.unpack_dual(dual).tangent
            assert_close(tangent, torch.zeros_like(primal) if expected is None else expected.clone())

    def gradient(*tensors: Any) -> Any:
        result, vjp = _func.vjp(call, *tensors)
        return vjp(tree_map(torch.sin, result))

    assert_close(torch.func.jvp(gradient, plain, ones)[0], gradient(*plain))
    assert_close(_func.vjp(gradient, *plain)[0], gradient(*plain))


def _batched(op: Any, sample: Any) -> tuple[Callable[..., Any], list[Any], list[Any]]:
    """Return the entry without a seed of its own inside of transforms, one example, and three."""
    call, leaves = function_of(op, sample)
    plain = detached(leaves)
    return call, plain, [torch.stack([x, x + 1, x + 2]) for x in plain]


def _loop(function: Callable[..., Any], plain: list[Any]) -> Any:
    """Return what a loop over the examples gives, each call after the same seed."""
    rows = [function(*(x + i for x in plain)) for i in range(3)]
    return tuple(map(torch.stack, zip(*rows, strict=True))) if isinstance(rows[0], tuple) else torch.stack(rows)


def vmap_error(op: Any, sample: Any) -> None:
    """functorch's TestRandomness, randomness="error"."""
    call, _, batch = _batched(op, sample)
    torch.vmap(call)(*batch)


def vmap_same(op: Any, sample: Any) -> None:
    """functorch's TestRandomness, randomness="same": as in a loop where each call has the same seed."""
    call, plain, batch = _batched(op, sample)
    expected = _loop(call, plain)
    same = functools.partial(torch.vmap, randomness="same")
    assert_close(same(call)(*batch), expected)
    assert_close(same(call, in_dims=-1)(*(x.movedim(0, -1) for x in batch)), expected)
    assert_close(same(same(call))(*(x[None] for x in batch)), tree_map(lambda y: y[None], expected))


def vmap_different(op: Any, sample: Any) -> None:
    """functorch's TestRandomness, randomness="different": others for others, whether or not the tensor is a batch."""
    call, plain, batch = _batched(op, sample)
    one = call(*plain)
    assert_close(torch.vmap(call, randomness="different")(*batch).shape, torch.Size((3, *one.shape)))
    part = one.numel() > 16 and 0 < int((one == 0).sum()) < one.numel()
    rows = torch.vmap(lambda _: call(*plain), randomness="different")(torch.zeros(3))
    assert not part or not torch.equal(rows[0], rows[1])
    rows = torch.vmap(call, randomness="different")(*(x.expand(3, *x.shape) for x in plain))
    assert not part or not torch.equal(rows[0], rows[1])


def vmap_of_gradients(op: Any, sample: Any) -> None:
    """functorch's TestOperators.test_vmapvjp, test_vmapjvpvjp: as in a loop where each call has the same seed."""
    call, plain, batch = _batched(op, sample)

    def gradient(*tensors: Any) -> Any:
        result, vjp = _func.vjp(call, *tensors)
        return vjp(tree_map(torch.sin, result))

    assert_close(torch.vmap(gradient, randomness="same")(*batch), _loop(gradient, plain))


class _Watch(TorchDispatchMode):
    """A mode that lets everything happen."""

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def watched(op: Any, sample: Any) -> None:
    """The values and gradients under a dispatch mode."""
    call, leaves = function_of(op, sample)
    expected, gradients = call(*leaves), gradients_of(call, leaves)
    with _Watch():
        assert_close(call(*leaves), expected)
        assert_close(gradients_of(call, leaves), gradients)


def recorded(op: Any, sample: Any) -> None:
    """TestProxyTensorOpInfo.test_make_fx_exhaustive: the graph computes the same."""
    call, leaves = function_of(op, sample)
    plain = detached(leaves)
    for mode in ("real", "fake", "symbolic"):
        graph = make_fx(call, tracing_mode=mode)(*plain)
        assert_close(seeded(graph)(*plain), call(*plain))


def fake(op: Any, sample: Any) -> None:
    """TestFakeTensor.test_fake: shapes, strides and types of the results."""
    call, leaves = function_of(op, sample)
    expected = tensors_of(call(*leaves))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        results = tensors_of(call(*(mode.from_tensor(x.detach()) for x in leaves)))
    for result, y in zip(results, expected, strict=True):
        assert (result.shape, result.stride(), result.dtype) == (y.shape, y.stride(), y.dtype)


def compiled(op: Any, sample: Any) -> None:
    """TestEagerFusionOpInfo: values and gradients of what a compiler's front end makes of the function."""
    call, leaves = function_of(op, sample)
    graph = seeded(aot_function(call, nop))
    assert_close(graph(*leaves), call(*leaves))
    assert_close(gradients_of(graph, leaves), gradients_of(call, leaves))


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        *(eager, noncontiguous, negative_view, backward, backward_twice, forward_mode, forward_over_reverse),
        *(composite, composite_backward, composite_forward, copy_on_write, watched, recorded, fake, compiled),
        *(function_gradients, function_tangents, vmap_error, vmap_same, vmap_different, vmap_of_gradients),
    )
}
