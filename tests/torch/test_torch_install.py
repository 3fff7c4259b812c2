"""PyTorch's own dropout while it is served by simdrop: what PyTorch documents must hold."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import simdrop

torch = pytest.importorskip("torch")
F = torch.nn.functional
import simdrop.torch as st  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch_helpers import mask_of  # noqa: E402

FORMS: list[Callable[..., Any]] = [
    F.dropout,
    F.dropout1d,
    F.dropout2d,
    F.dropout3d,
    F.alpha_dropout,
    F.feature_alpha_dropout,
]
SHAPE = {F.dropout1d: (20, 30, 8), F.dropout3d: (20, 30, 2, 2, 2)}
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def shape_for(form: Callable[..., Any]) -> tuple[int, ...]:
    return SHAPE.get(form, (20, 30, 2, 4))


@pytest.fixture
def installed() -> Iterator[None]:
    with st.accelerated():
        yield


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, simdrop; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_and_installing_do_not_import_the_compiler() -> None:
    code = (
        "import sys, torch\nbefore = set(sys.modules)\nimport simdrop.torch as st\nst.install()\n"
        "st.dropout(torch.ones(9), 0.5, rng=3)\n"
        "torch.nn.functional.dropout(torch.ones(9))\n"
        "heavy = ('torch._dynamo', 'torch._inductor', 'torch.fx.experimental.symbolic_shapes', 'sympy')\n"
        "print([m for m in heavy if m in set(sys.modules) - before])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_install_twice_uninstall_and_blocks() -> None:
    assert not st.installed()
    st.uninstall()
    st.install()
    st.install()
    assert st.installed()
    with st.accelerated():
        st.uninstall()
        assert st.installed()
        with st.accelerated():
            pass
        assert st.installed()
    assert not st.installed()
    x = torch.ones(1000)
    torch.manual_seed(3)
    ours_is_gone = F.dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(ours_is_gone, F.dropout(x, 0.5))
    calls = st.kernel_calls()
    F.dropout(x, 0.5)
    assert st.kernel_calls() == calls


def test_a_block_ends_when_it_raises() -> None:
    with pytest.raises(KeyError), st.accelerated():
        raise KeyError
    assert not st.installed()


def test_installing_is_silent() -> None:
    code = (
        "import warnings; warnings.simplefilter('error')\nimport torch, simdrop.torch as st\n"
        "st.install(); st.uninstall(); st.install(); torch.nn.functional.dropout(torch.ones(9))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert result.stdout == ""


def test_install_and_uninstall_while_others_compute() -> None:
    stop = threading.Event()
    wrong = []

    def work(size: int) -> None:
        x = torch.ones(size, requires_grad=True)
        while not stop.is_set():
            y = F.dropout(x, 0.5)
            (gradient,) = torch.autograd.grad(y.sum(), x)
            if not torch.equal(gradient, y):
                wrong.append(size)
            torch.native_dropout(x, 0.5, True)

    with st.accelerated():
        threads = [threading.Thread(target=work, args=(size,)) for size in (100, 100_000)]
        for thread in threads:
            thread.start()
    for _ in range(100):
        with st.accelerated():
            time.sleep(0.002)
        calls = st.kernel_calls()
        assert not st.installed()
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert calls > 0
    # kernels that pass everything on are PyTorch's own
    torch.manual_seed(1)
    passed_on = F.dropout(torch.ones(1000), 0.5)
    assert torch._C._dispatch_has_kernel_for_dispatch_key("aten::dropout", "AutogradCPU")
    st.uninstall()
    alone = threading.active_count() == 1  # the tests of others may have left a thread behind
    assert torch._C._dispatch_has_kernel_for_dispatch_key("aten::dropout", "AutogradCPU") != alone
    torch.manual_seed(1)
    assert torch.equal(F.dropout(torch.ones(1000), 0.5), passed_on)


def test_blocks_of_two_threads_overlap() -> None:
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def first() -> None:
        with st.accelerated():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with st.accelerated():
            second_in.set()
            first_out.wait(10)
            seen.append(st.installed())

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == [True]
    assert not st.installed()


@pytest.mark.usefixtures("installed")
def test_results_on_large_pages() -> None:
    # 4 MiB and more: new memory of that size is advised before it is written, here not from a page's border on.
    keep = mask_of(5, (5 << 18,), 0.3)
    y = F.dropout(torch.ones(5 << 18), 0.3)
    assert torch.equal(y != 0, keep)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("p", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_dropout_is_the_mask_of_the_seed_from_the_generator(dtype: Any, p: float) -> None:
    x = torch.randn(33, 65, dtype=torch.float64).to(dtype)
    keep = mask_of(7, (33, 65), p)
    y = F.dropout(x, p)
    assert y.dtype == dtype
    assert torch.equal(y != 0, keep & (x != 0))
    q = simdrop.Mask(1, p, seed=0).keep_probability
    wide = x.double() if dtype == torch.float64 else x.float()
    scale = 1 / q if dtype == torch.float64 else float(np.float32(1 / q))
    assert torch.equal(y, torch.where(keep, wide * scale, 0.0).to(dtype))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("form", FORMS)
def test_inactive_and_edges(form: Callable[..., Any]) -> None:
    x = torch.randn(shape_for(form))
    assert torch.equal(form(x, 0.5, training=False), x)
    assert torch.equal(form(x, 0.0, training=True), x)
    assert torch.equal(form(x, 1.0, training=True), torch.zeros_like(x))
    empty = torch.empty((0, *shape_for(form)[1:]))
    assert form(empty, 0.5, training=True).shape == empty.shape
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
            form(x, p, training=True)
    before = torch.get_rng_state()
    form(x, 0.5, training=False)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.usefixtures("installed")
def test_bad_arguments_are_the_errors_of_pytorch() -> None:
    x = torch.randn(4, 4)
    for op in (torch.dropout, torch.dropout_, torch.alpha_dropout, torch.feature_dropout):
        for p in (-0.5, 1.5, float("nan")):
            with pytest.raises(RuntimeError, match="dropout probability has to be between 0 and 1"):
                op(x, p, True)
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        torch.feature_dropout(torch.ones(3), 0.5, True)
    with pytest.raises(RuntimeError):
        F.dropout(torch.ones(4, dtype=torch.int64), 0.5)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("form", FORMS[1:4])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_features_are_whole_channels(form: Callable[..., Any], inplace: bool, dtype: Any) -> None:
    x = torch.full(shape_for(form), 3.0, dtype=dtype)
    keep = mask_of(11, (20, 30), 0.25)
    y = form(x, 0.25, training=True, inplace=inplace)
    assert (y is x) == inplace
    flat = y.reshape(20, 30, -1)
    assert torch.equal(flat, torch.where(keep, 4.0, 0.0).to(dtype)[..., None].expand_as(flat))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("form", FORMS[4:])
@pytest.mark.parametrize("inplace", [False, True])
def test_alpha_keeps_mean_and_variance(form: Callable[..., Any], inplace: bool) -> None:
    torch.manual_seed(5)
    x = torch.randn(200, 300, 4)
    given = x.clone()
    keep = mask_of(6, (200, 300) if form is F.feature_alpha_dropout else (200, 300, 4), 0.2)
    y = form(x, 0.2, training=True, inplace=inplace)
    assert (y is x) == inplace
    assert abs(float(y.mean())) < 0.02
    assert abs(float(y.var()) - 1) < 0.02
    keep = keep.reshape(200, 300, -1).expand_as(y)
    alpha = 1.7580993408473766
    a = ((alpha**2 * 0.2 + 1) * 0.8) ** -0.5
    expected = torch.where(keep, given, -alpha) * a + alpha * a * 0.2
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("installed")
def test_native_dropout_and_its_backward() -> None:
    x = torch.randn(40, 50, requires_grad=True)
    keep = mask_of(8, (40, 50), 0.3)
    y, mask = torch.native_dropout(x, 0.3, True)
    assert torch.equal(mask, keep)
    assert torch.equal(y != 0, keep)
    assert not mask.requires_grad
    g = torch.randn(40, 50)
    y.backward(g)
    torch.testing.assert_close(x.grad, torch.where(keep, g / 0.7, 0.0))
    torch.testing.assert_close(torch.ops.aten.native_dropout_backward(g, keep, 1 / 0.7), x.grad)
    y, mask = torch.native_dropout(x.detach(), 0.3, False)
    assert torch.equal(y, x)
    assert bool(mask.all())
    y, mask = torch.native_dropout(x.detach().to(torch.complex64), 0.3, True)
    assert torch.equal(y != 0, mask)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("kind", ["channels_last", "transposed", "sliced", "expanded", "scalar", "ones"])
def test_layouts(kind: str) -> None:
    x = {
        "channels_last": lambda: torch.randn(3, 5, 7, 11).contiguous(memory_format=torch.channels_last),
        "transposed": lambda: torch.randn(30, 50).t(),
        "sliced": lambda: torch.randn(30, 50)[::2, 3:40:3],
        "expanded": lambda: torch.randn(30, 1).expand(30, 50),
        "scalar": lambda: torch.tensor(3.0),
        "ones": lambda: torch.randn(1, 40, 1).transpose(0, 1),
    }[kind]()
    x = x.detach().requires_grad_()
    torch.manual_seed(2)
    y = F.dropout(x, 0.3)
    keep = y != 0
    torch.testing.assert_close(y, torch.where(keep, x / 0.7, 0.0))
    stock = x.detach() * torch.ones_like(x)
    significant = [d for d in range(x.dim()) if x.shape[d] > 1]
    assert [y.stride(d) for d in significant] == [stock.stride(d) for d in significant]
    # whatever layout the gradient has, it meets the mask of the forward pass
    reversed_strides = torch.randn(y.shape[::-1]).permute(tuple(reversed(range(y.dim()))))
    for g in (torch.randn(y.shape), torch.ones(()).expand(y.shape), reversed_strides, torch.randn_like(y)):
        (got,) = torch.autograd.grad(y, x, g, retain_graph=True)
        torch.testing.assert_close(got, torch.where(keep, g / 0.7, 0.0))
    if kind in ("channels_last", "transposed"):  # elements count over memory
        flat = y.detach().as_strided((y.numel(),), (1,))
        assert torch.equal(flat != 0, mask_of(2, (y.numel(),), 0.3))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.t(), lambda x: x[::2, 1:40:3], lambda x: x[3]])
def test_in_place_on_any_strides(view: Callable[[Any], Any]) -> None:
    base = torch.randn(30, 50)
    x, before = view(base), view(base.clone())
    version = x._version
    assert F.dropout(x, 0.3, inplace=True) is x
    assert x._version > version
    torch.testing.assert_close(x, torch.where(x != 0, before / 0.7, 0.0))
    assert 0 < int((x == 0).sum()) < x.numel()


@pytest.mark.usefixtures("installed")
def test_in_place_on_shared_elements_is_refused() -> None:
    with pytest.raises(RuntimeError, match="single memory location"):
        F.dropout(torch.ones(1, 5).expand(4, 5), 0.5, inplace=True)


@pytest.mark.usefixtures("installed")
def test_what_is_not_taken_is_pytorchs_own() -> None:
    calls = st.kernel_calls()
    assert F.dropout(torch.ones(100, device="meta"), 0.5).is_meta
    with FakeTensorMode() as mode:
        F.dropout(mode.from_tensor(torch.ones(10)), 0.5)
    assert st.kernel_calls() == calls


@pytest.mark.usefixtures("installed")
def test_a_dropped_nan_is_zero() -> None:
    y = F.dropout(torch.full((1000,), float("nan")), 0.5)
    assert int(y.isnan().sum()) + int((y == 0).sum()) == 1000
    assert 400 < int((y == 0).sum()) < 600
    assert not torch.signbit(F.dropout(-torch.ones(100), 1.0)).any()
    z = F.dropout2d(torch.full((40, 50, 2, 3), float("nan")).contiguous(memory_format=torch.channels_last), 0.5)
    assert int(z.isnan().sum()) + int((z == 0).sum()) == z.numel()
    assert torch.equal(z.isnan(), z.isnan()[:, :, :1, :1].expand_as(z))
