"""Autograd keeps numbers, not masks: gradients of any order, in-place rules, checkpoints, seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import simdrop

torch = pytest.importorskip("torch")
F = torch.nn.functional
Function: Any = torch.autograd.Function
import simdrop.torch as st  # noqa: E402
import torch.autograd.forward_ad as fwad  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch_helpers import mask_of  # noqa: E402

FORMS: dict[str, Callable[..., Any]] = {
    "dropout": lambda x, **k: F.dropout(x, 0.4, **k),
    "feature": lambda x, inplace: (torch.feature_dropout_ if inplace else torch.feature_dropout)(x, 0.4, True),
    "alpha": lambda x, **k: F.alpha_dropout(x, 0.4, training=True, **k),
    "feature_alpha": lambda x, **k: F.feature_alpha_dropout(x, 0.4, training=True, **k),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    with st.accelerated():
        yield


def fixed(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function with the same mask in every call."""

    def call(x: Any) -> Any:
        torch.manual_seed(9)
        return function(x)

    return call


def channels_last(shape: tuple[int, ...]) -> Any:
    return torch.randn(shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last)


@every_form
@pytest.mark.parametrize("inplace", [False, True])
def test_gradcheck_and_gradgradcheck(form: Callable[..., Any], inplace: bool) -> None:
    function = fixed(lambda x: form(x * 1, inplace=inplace))
    for x in (torch.randn(2, 3, 2, 2, dtype=torch.float64), channels_last((2, 3, 2, 2))):
        x.requires_grad_()
        assert torch.autograd.gradcheck(function, x)
        assert torch.autograd.gradcheck(function, x, check_batched_grad=True)
        assert torch.autograd.gradgradcheck(function, x)
        # a function that is not linear after it, so that the second derivative is not zero
        assert torch.autograd.gradgradcheck(lambda x: function(x).square(), x)


def test_native_dropout_gradcheck() -> None:
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    function = fixed(lambda x: torch.native_dropout(x, 0.3, True)[0])
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


def saved_bytes(function: Callable[[Any], Any], x: Any) -> int:
    total = 0

    def pack(tensor: Any) -> Any:
        nonlocal total
        total += tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = function(x)
    assert y.requires_grad
    return total


@every_form
@pytest.mark.parametrize("inplace", [False, True])
def test_nothing_is_saved_for_backward(form: Callable[..., Any], inplace: bool) -> None:
    for shape in ((2, 2, 2, 2), (16, 16, 16, 16), (300, 200)):
        x = torch.randn(shape, requires_grad=True)
        if inplace:
            x = x + 0
        assert saved_bytes(lambda x: form(x, inplace=inplace), x) == 0
    assert saved_bytes(lambda x: torch.native_dropout(x, 0.5, True)[0], torch.ones(99, requires_grad=True)) == 0


def test_the_gradient_of_a_dropped_element_is_zero_whatever_it_is() -> None:
    x = torch.ones(1000, requires_grad=True)
    y = F.dropout(x, 0.5)
    y.backward(torch.full((1000,), float("inf")))
    assert torch.equal(x.grad == 0, y == 0)


def test_leaves_and_views_are_refused_before_anything_is_written() -> None:
    x = torch.ones(10, 5, 2, requires_grad=True)
    for form in FORMS.values():
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            form(x, inplace=True)
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
            form(x[:5], inplace=True)
    assert bool((x == 1).all())
    with torch.no_grad():
        F.dropout(x, 0.5, inplace=True)
    assert not bool((x == 1).any())


def test_a_tensor_saved_before_it_was_changed_is_an_error() -> None:
    x = torch.randn(10, requires_grad=True)
    y = x.exp()  # saves its result
    F.dropout(y, 0.5, inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_in_place_on_a_part_of_a_tensor() -> None:
    x = torch.randn(20, 30, requires_grad=True)
    y = x * 1
    keep = mask_of(5, (30,), 0.5)
    F.dropout(y[3], 0.5, inplace=True)
    F.dropout(y.t()[4:6], 1.0, inplace=True)
    y.sum().backward()
    expected = torch.ones(20, 30)
    expected[3] = keep * 2.0
    expected[:, 4:6] = 0
    assert torch.equal(x.grad, expected)


def test_unused_results_have_no_gradient() -> None:
    x = torch.ones(4, requires_grad=True)
    y, z = F.dropout(x.unbind(0)[0].reshape(1), 0.5), x * 2
    assert y is not None
    z.sum().backward()
    assert x.grad.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoint_recomputes_the_same_mask(use_reentrant: bool) -> None:
    seen = []

    def block(x: Any) -> Any:
        y = F.dropout(x.sin(), 0.5)
        seen.append(y.detach() != 0)
        return y.sin()

    x = torch.randn(100, requires_grad=True)
    checkpoint(block, x, use_reentrant=use_reentrant).sum().backward()
    assert len(seen) == 2
    assert torch.equal(*seen)
    keep = seen[0]
    expected = torch.where(keep, (x.sin() * 2).cos() * 2 * x.cos(), 0.0)
    torch.testing.assert_close(x.grad, expected)


def test_the_state_of_the_generator_governs_the_mask() -> None:
    x = torch.ones(500)

    def draw() -> list[float]:
        return F.dropout(x, 0.5).tolist()  # type: ignore[no-any-return]

    torch.manual_seed(1)
    first, second = draw(), draw()
    assert first != second
    torch.manual_seed(1)
    assert draw() == first
    state = torch.get_rng_state()
    assert draw() == second
    torch.set_rng_state(state)
    with torch.random.fork_rng():
        assert draw() == second
    assert draw() == second


def test_generator_and_rng_arguments() -> None:
    x = torch.ones(64)
    state = torch.get_rng_state()
    a = st.dropout(x, 0.5, generator=torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(a, st.dropout(x, 0.5, generator=generator))
    assert not torch.equal(a, st.dropout(x, 0.5, generator=generator))
    stream = simdrop.Stream(3)
    for number in range(2):
        expected = simdrop.Mask(64, 0.5, seed=3, stream=number).keep()
        assert ((st.dropout(x, 0.5, rng=stream) != 0).numpy() == expected).all()
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="got both"):
        st.dropout(x, 0.5, generator=generator, rng=3)
    with pytest.raises(TypeError, match="rng"):
        st.dropout(x, 0.5, rng="three")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="accepted together with rng or generator"):
        st.dropout(torch.ones(4, device="meta"), 0.5, rng=3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        st.dropout(x, 1.5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, of torch.jit
def test_forward_mode_gives_the_tangent_of_the_same_mask() -> None:
    x = torch.ones(100)
    with fwad.dual_level():
        y = F.dropout(fwad.make_dual(x, torch.full((100,), 3.0)), 0.5)
        primal, tangent = fwad.unpack_dual(y)
        torch.testing.assert_close(tangent, primal * 3)
        z = F.dropout(fwad.make_dual(x * 1, torch.full((100,), 3.0)), 0.5, inplace=True)
        primal, tangent = fwad.unpack_dual(z)
        torch.testing.assert_close(tangent, primal * 3)


LARGE = 100_000


def large_case() -> tuple[Any, Any]:
    x = torch.randn(LARGE, requires_grad=True)
    return x, F.dropout(x, 0.5)


def test_a_gradient_that_nobody_else_sees_is_changed_where_it_is() -> None:
    x, y = large_case()
    places = []
    y.register_hook(lambda g: places.append(g.data_ptr()))
    (y * 3).sum().backward()
    assert torch.equal(x.grad, torch.where(y != 0, 6.0, 0.0))
    assert places == [x.grad.data_ptr()]

    # a view of a tensor that nobody else sees: what a linear layer gives
    x = torch.randn(10, 20, 100, requires_grad=True)
    y = F.dropout(x, 0.5)
    places.clear()
    y.register_hook(lambda g: places.append(g.data_ptr()))
    weight = torch.randn(7, 100)
    z = F.linear(y, weight)
    z.backward(torch.ones_like(z))
    torch.testing.assert_close(x.grad, torch.where(y != 0, 2 * weight.sum(0).expand(x.shape), 0.0))
    assert places == [x.grad.data_ptr()]


def test_a_gradient_that_somebody_sees_stays_as_it_is() -> None:
    x, y = large_case()
    expected = torch.where(y != 0, 6.0, 0.0)
    three = torch.full((LARGE,), 3.0)

    given = three.clone()
    for _ in range(2):
        assert torch.equal(torch.autograd.grad(y, x, given, retain_graph=True)[0], expected)
        assert torch.equal(given, three)
    with torch.no_grad():
        direct = y.grad_fn.apply(given)  # the node called by hand
    assert torch.equal(direct[0] if isinstance(direct, tuple) else direct, expected)
    assert torch.equal(given, three)

    kept: list[Any] = []
    x, y = large_case()
    expected = torch.where(y != 0, 6.0, 0.0)
    y.register_hook(kept.append)
    y.retain_grad()
    z = y * 3
    in_the_middle, at_the_end = torch.autograd.grad(z.sum(), (y, x), retain_graph=True)
    assert torch.equal(in_the_middle, three)
    assert torch.equal(at_the_end, expected)
    y.grad = x.grad = None
    z.sum().backward(retain_graph=True)
    assert torch.equal(y.grad, three)
    assert torch.equal(x.grad, expected)
    assert all(torch.equal(g, three) for g in kept)

    # one gradient for two inputs of a sum: a residual connection, two dropouts, a view
    for other in (lambda x: x, lambda x: F.dropout(x, 0.5), lambda x: x.view(LARGE)):
        x = torch.randn(LARGE, requires_grad=True)
        w = torch.ones(LARGE, requires_grad=True)
        y, r = F.dropout(x, 0.5), other(w)
        ((y + r) * 3).sum().backward()
        assert torch.equal(x.grad, torch.where(y != 0, 6.0, 0.0))
        assert torch.equal(w.grad, three if torch.equal(r, w) else torch.where(r != 0, 6.0, 0.0))

    class Keeps(Function):
        constant = three.clone()

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:  # type: ignore[override]
            return Keeps.constant

    x, y = large_case()
    Keeps.apply(y).sum().backward()
    assert torch.equal(x.grad, torch.where(y != 0, 6.0, 0.0))
    assert torch.equal(Keeps.constant, three)

    # memory of a NumPy array
    class Foreign(Function):
        array = three.clone().numpy()

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:  # type: ignore[override]
            return torch.from_numpy(Foreign.array)

    x, y = large_case()
    Foreign.apply(y).sum().backward()
    assert torch.equal(x.grad, torch.where(y != 0, 6.0, 0.0))
    assert (Foreign.array == 3).all()

    # memory that a view shares
    x, y = large_case()
    buffer = torch.full((2, LARGE), 3.0)
    y.backward(buffer[0])
    assert bool((buffer == 3).all())
    x, y = large_case()
    y.view(1, -1).backward(buffer[:1])
    assert bool((buffer == 3).all())
    x, y = large_case()
    whole = torch.full((LARGE,), 3.0)
    y.view(2, -1).backward(whole.view(2, -1))
    assert bool((whole == 3).all())

    # two views of one new gradient
    x, y = large_case()
    w = torch.ones(2, LARGE // 2, requires_grad=True)
    ((y.view(2, -1) + w) * 3).sum().backward()
    assert torch.equal(x.grad, torch.where(y != 0, 6.0, 0.0))
    assert torch.equal(w.grad, torch.full_like(w, 3.0))


@pytest.mark.parametrize("n", [100, 100_000])
def test_a_profiler_that_records_shapes_takes_every_seed(n: int) -> None:
    # A seed of 2^63 or more is no int64, which is what the profiler makes of the numbers that it finds.
    x = torch.ones(n, requires_grad=True)
    q = torch.ones(1, 1, 128, 8, requires_grad=True)
    functional = torch.nn.functional
    with st.accelerated(), torch.random.fork_rng(), torch.profiler.profile(record_shapes=True):
        for state in range(8):  # half of all seeds are that large
            torch.manual_seed(state)
            functional.dropout(x, 0.5).sum().backward()
            functional.dropout(x * 1, 0.5, inplace=True).sum().backward()
            functional.dropout2d(x.view(1, 10, -1, 1), 0.5).sum().backward()
            torch.native_dropout(x, 0.5, True)[0].sum().backward()
            functional.scaled_dot_product_attention(q, q, q, dropout_p=0.5).sum().backward()
        for seed in (2**63, 2**64 - 1):
            y = st.dropout(x, 0.5, rng=simdrop.Stream(seed))
            y.sum().backward()
            assert torch.equal(y != 0, torch.from_numpy(simdrop.Mask((n,), 0.5, seed=seed).keep()))
