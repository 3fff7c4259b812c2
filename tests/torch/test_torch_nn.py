"""simdrop.torch.nn, the functions behind it, and replace."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest
import simdrop
from simdrop import layers

torch = pytest.importorskip("torch")
import simdrop.torch as st  # noqa: E402
from torch_helpers import mask_of  # noqa: E402

NAMES = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]
SHAPES = {"Dropout1d": (8, 9, 5), "Dropout3d": (8, 9, 2, 3, 2)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("inplace", [False, True])
def test_modules_are_those_of_pytorch(name: str, inplace: bool) -> None:
    module = getattr(st.nn, name)(0.3, inplace)
    own = getattr(torch.nn, name)(0.3, inplace)
    assert isinstance(module, getattr(torch.nn, name))
    assert repr(module) == repr(own)
    x = torch.randn(SHAPES.get(name, (8, 9, 4, 3)))
    a, b = x.clone(), x.clone()
    torch.manual_seed(4)
    y = module(a)
    assert (y is a) == inplace
    torch.manual_seed(4)
    with st.accelerated():
        assert torch.equal(y, own(b))
    if not name.startswith(("Dropout2d", "FeatureAlpha")):  # one sample, without a batch
        sample = x[0].clone()
        z = module(sample)
        assert z.shape == sample.shape
        assert (z is sample) == inplace
    module.eval()
    assert torch.equal(module(x), x)
    for bad in (-0.1, 1.1):
        with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
            getattr(st.nn, name)(bad)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), x)
    assert copy.deepcopy(module).p == 0.3


def test_wrong_dimensions() -> None:
    for module in (st.nn.Dropout1d(), st.nn.Dropout3d()):
        with pytest.raises(RuntimeError, match="expected"):
            module(torch.ones(3))
    with pytest.raises(ValueError, match="dimensions"):
        st.feature_dropout(torch.ones(3))
    with pytest.raises(ValueError, match="dimensions"):
        st.drop_block2d(torch.ones(3, 3, 3))
    with pytest.raises(ValueError, match="block_size"):
        st.drop_block2d(torch.ones(3, 3, 3, 3), 0.5, 0)
    for module_type in (st.nn.DropPath, st.nn.DropBlock2d):
        with pytest.raises(ValueError, match="between 0 and 1"):
            module_type(1.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        st.nn.DropConnect(3, 3, -1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_drop_path_drops_samples(dtype: Any) -> None:
    x = torch.full((100, 3, 5), 3.0, dtype=dtype, requires_grad=True)
    keep = mask_of(2, (100,), 0.25)
    y = st.nn.DropPath(0.25)(x)
    expected = torch.where(keep, 4.0, 0.0).to(dtype)[:, None, None].expand(100, 3, 5)
    assert torch.equal(y, expected)
    y.backward(torch.full_like(y, 3.0))
    assert torch.equal(x.grad, expected)
    assert repr(st.nn.DropPath(0.25)) == "DropPath(p=0.25)"
    assert st.nn.DropPath(0.25).eval()(x) is x


def test_drop_connect_drops_weights() -> None:
    layer = st.nn.DropConnect(20, 30, 0.5)
    x = torch.randn(7, 20)
    keep = mask_of(2, (30, 20), 0.5)
    y = layer(x)
    torch.testing.assert_close(y, torch.nn.functional.linear(x, torch.where(keep, layer.weight * 2, 0.0), layer.bias))
    y.sum().backward()
    assert torch.equal(layer.weight.grad != 0, keep)
    layer.eval()
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    assert layer.load_state_dict(torch.nn.Linear(20, 30).state_dict())
    assert repr(layer) == "DropConnect(in_features=20, out_features=30, bias=True, p=0.5)"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_drop_block_drops_squares(size: int) -> None:
    torch.manual_seed(size)
    x = torch.ones(50, 4, 12, 12, requires_grad=True)
    y = st.drop_block2d(x, 0.2, size)
    kept = y != 0
    rate = 1 - float(kept.float().mean())
    assert 0.1 < rate < 0.25
    torch.testing.assert_close(float(y.detach().sum()), float(y.numel()), rtol=1e-4, atol=0)
    y.backward(torch.ones_like(y))
    assert torch.equal(x.grad, y)
    # every dropped element lies in a dropped square: opening by the square changes nothing
    side = min(size, 12)
    dropped = (~kept).float()
    inner = -torch.nn.functional.max_pool2d(-dropped, side, stride=1)
    opened = torch.nn.functional.max_pool2d(torch.nn.functional.pad(inner, (side - 1,) * 4), side, stride=1)
    assert torch.equal(opened, dropped)
    assert repr(st.nn.DropBlock2d(0.2, 3)) == "DropBlock2d(p=0.2, block_size=3)"
    assert st.nn.DropBlock2d(0.2, 3)(x).shape == x.shape


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_drop_block_is_that_of_numpy(p: float, size: int) -> None:
    x = torch.rand(2, 3, 9, 11) + 1
    y = st.drop_block2d(x, p, size, rng=5)
    torch.testing.assert_close(y, torch.from_numpy(simdrop.drop_block2d(x.numpy(), p, size, rng=5)))
    assert bool(y.any()) == (p < 1 or size > 1)  # gamma is below 1
    torch.manual_seed(1)
    first, second = st.drop_block2d(x, p, size), st.drop_block2d(x, p, size)
    assert torch.equal(first, second) == (p == 1 and size == 1)


def test_a_default_is_that_of_numpy() -> None:
    for name in ("dropout", "dropout_", "alpha_dropout", "feature_alpha_dropout", "drop_path", "drop_block2d"):
        ours, other = (inspect.signature(getattr(package, name)).parameters["p"] for package in (st, simdrop))
        assert ours.default == other.default
    for name in ("Dropout", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout", "DropPath", "DropBlock2d"):
        ours, other = (inspect.signature(getattr(package, name)).parameters["p"] for package in (st.nn, layers))
        assert ours.default == other.default


@pytest.mark.parametrize("form", [st.drop_path, st.drop_block2d, st.feature_dropout, st.alpha_dropout])
def test_the_kernels_do_not_take_it(form: Any) -> None:
    assert form(torch.ones(3, 4, 8, 8, device="meta"), 0.5).shape == (3, 4, 8, 8)
    y = torch.vmap(form, randomness="different")(torch.ones(3, 4, 5, 8, 8))
    assert not torch.equal(y[0], y[1])


def test_replace() -> None:
    shared = torch.nn.Dropout(0.2)
    model: Any = torch.nn.Sequential(
        shared,
        torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3),
        torch.nn.ModuleDict({"a": shared, "b": torch.nn.Dropout2d(0.4, inplace=True)}),
        torch.nn.AlphaDropout(0.5).eval(),
    )
    seen: list[Any] = []
    shared.register_forward_hook(lambda *_: seen.append(1))
    keys = list(model.state_dict())
    assert st.replace(model) is model
    assert list(model.state_dict()) == keys
    assert type(model[0]) is st.nn.Dropout
    assert model[0] is model[2]["a"]
    channels = model[2]["b"]
    assert type(channels) is st.nn.Dropout2d
    assert (channels.p, channels.inplace) == (0.4, True)
    assert type(model[3]) is st.nn.AlphaDropout
    assert not model[3].training
    assert {type(m) for m in model[1].modules() if isinstance(m, torch.nn.Dropout)} == {st.nn.Dropout}
    calls = st.kernel_calls()
    model[0](torch.ones(10))
    assert seen == [1]
    assert st.kernel_calls() == calls + 1
    alone = st.replace(torch.nn.Dropout(0.1))
    assert (type(alone), alone.p) == (st.nn.Dropout, 0.1)

    Special = type("Special", (torch.nn.Dropout,), {})
    assert type(st.replace(torch.nn.Sequential(Special()))[0]) is Special
