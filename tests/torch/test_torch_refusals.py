"""What PyTorch refuses, its dropout refuses while it is served here: the same calls, with and without `install`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional
import simdrop.torch as st  # noqa: E402

Form = Callable[..., Any]
FORMS: dict[str, Form] = {
    "dropout": lambda x, inplace=False: F.dropout(x, 0.5, inplace=inplace),
    "dropout2d": lambda x, inplace=False: F.dropout2d(x, 0.5, inplace=inplace),
    "alpha": lambda x, inplace=False: F.alpha_dropout(x, 0.5, True, inplace),
    "feature_alpha": lambda x, inplace=False: F.feature_alpha_dropout(x, 0.5, True, inplace),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
both = pytest.mark.parametrize("served", [False, True], ids=["stock", "served"])
AGAIN = "Trying to backward through the graph a second time"
CHANGED = "one of the variables needed for gradient computation has been modified by an inplace operation"


def serving(served: bool) -> contextlib.AbstractContextManager[None]:
    return st.accelerated() if served else contextlib.nullcontext()


@both
@every_form
@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[1:], lambda x: x.transpose(2, 3), lambda x: x[:, :, ::2]])
def test_an_inference_tensor_is_not_changed_outside_of_inference_mode(form: Form, served: bool, view: Form) -> None:
    with torch.inference_mode():
        x = torch.ones(2, 3, 4, 5)
    with serving(served):
        with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
            form(view(x), inplace=True)
        assert served <= bool((x == 1).all())  # stock has written by then
        with torch.inference_mode():
            form(view(x), inplace=True)
    assert not bool((x == 1).all())


@both
@pytest.mark.parametrize("inplace", [False, True])
@every_form
def test_a_second_backward_is_refused(form: Form, inplace: bool, served: bool) -> None:
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    with serving(served):
        y = form(x + 0, inplace=inplace)
        y.sum().backward(retain_graph=True)
        y.sum().backward()
        with pytest.raises(RuntimeError, match=AGAIN):
            y.sum().backward()


@pytest.mark.parametrize("inplace", [False, True])
def test_a_second_backward_of_blocks_is_refused(inplace: bool) -> None:
    x = torch.randn(2, 3, 9, 9, requires_grad=True)
    y = st.drop_block2d(x + 0, 0.5, 3, inplace=inplace)
    y.sum().backward()
    with pytest.raises(RuntimeError, match=AGAIN):
        y.sum().backward()


@both
def test_the_mask_of_native_dropout_is_not_to_be_changed(served: bool) -> None:
    x = torch.randn(40, 50, requires_grad=True)
    with serving(served):
        for change in (
            lambda mask: mask.logical_not_(),
            lambda mask: mask[3].zero_(),
            lambda mask: mask.t()[:5].fill_(True),
        ):
            y, mask = torch.native_dropout(x, 0.5, True)
            change(mask)
            with pytest.raises(RuntimeError, match=CHANGED):
                y.sum().backward()
        y, mask = torch.native_dropout(x, 0.5, True)
        part = mask[3]
        del mask  # the base lives on in its view
        part.zero_()
        with pytest.raises(RuntimeError, match=CHANGED):
            y.sum().backward()
        y, _ = torch.native_dropout(x, 0.5, True)
        y.sum().backward()
        with pytest.raises(RuntimeError, match=AGAIN):
            y.sum().backward()


def test_the_mask_of_native_dropout_is_not_kept() -> None:
    x = torch.randn(1000, requires_grad=True)
    with st.accelerated():
        y, mask = torch.native_dropout(x, 0.5, True)
        kept = torch.where(mask, 2.0, 0.0)
        alive = torch._C._WeakTensorRef(mask)
        del mask
        assert alive.expired()
        y.sum().backward()
    assert torch.equal(x.grad, kept)


FLAGS = ("requires_grad", "is_leaf", "grad_fn", "output_nr", "dtype", "shape")


@pytest.mark.parametrize("memory", ["contiguous", "channels_last", "sliced"])
@pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("train", [True, False, None])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_the_flags_of_native_dropout(memory: str, mode: Any, train: bool | None, p: float) -> None:
    for requires_grad in (True, False):
        seen = []
        for served in (False, True):
            with serving(served), mode():
                x = torch.ones(4, 3, 5, 6)
                x = x.contiguous(memory_format=torch.channels_last) if memory == "channels_last" else x
                x = x[..., ::2] if memory == "sliced" else x
                if requires_grad and mode is not torch.inference_mode:
                    x = x.detach().requires_grad_()
                y, mask = torch.native_dropout(x, p, train)
                flags = [getattr(mask, name) for name in FLAGS]
                flags += [mask._is_view(), mask.is_inference(), mask.stride(), y.requires_grad, y.is_leaf, y.stride()]
                flags += [y._is_view(), y.is_inference(), y.dtype, mask.is_contiguous()]
                flags += [] if y.is_inference() else [mask._version]
                seen.append(flags)
        assert seen[0] == seen[1]
