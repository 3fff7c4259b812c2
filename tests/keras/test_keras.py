"""simdrop.keras on Keras' PyTorch backend."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simdrop

missing = [name for name in ("torch", "keras") if importlib.util.find_spec(name) is None]
if missing:
    pytest.skip(f"not installed: {missing}", allow_module_level=True)
os.environ["KERAS_BACKEND"] = "torch"  # without it Keras would look for TensorFlow
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras  # noqa: E402
import simdrop.keras as sk  # noqa: E402
import simdrop.torch as st  # noqa: E402
import torch  # noqa: E402
from keras.layers import Dense  # noqa: E402
from keras_classifier import classifier, data  # noqa: E402
from simdrop._formulas import selu_values  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def scaled(mask: simdrop.Mask, x: Any) -> Any:
    return torch.from_numpy(mask.apply(np.broadcast_to(x.detach().numpy(), mask.shape).copy()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_a_seed_is_a_mask(dtype: Any) -> None:
    layer = sk.Dropout(0.3, seed=7, dtype=str(dtype).split(".")[1])
    x = torch.ones(40, 50, dtype=dtype, requires_grad=True)
    for call in range(3):
        calls = st.kernel_calls()
        y = layer(x, training=True)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert st.kernel_calls() == calls + 2
        keep = torch.from_numpy(simdrop.Mask((40, 50), 0.3, seed=7, stream=call).keep())
        assert torch.equal(y != 0, keep)
        assert torch.equal(gradient, y)
        torch.testing.assert_close(y, torch.where(keep, x / 0.7, torch.zeros((), dtype=dtype)))
    assert torch.equal(layer(x, training=False), x)
    assert torch.equal(layer(x), x)


def test_the_generator_is_left_as_keras_leaves_it() -> None:
    layer, own = sk.Dropout(0.5, seed=2**31 - 5), keras.random.SeedGenerator(2**31 - 5)
    for _ in range(3):
        layer(torch.ones(4, 5), training=True)
        own.next()
    assert torch.equal(layer.seed_generator.state.value, own.state.value)
    with keras.StatelessScope() as scope:  # where states are those of the scope
        layer(torch.ones(4, 5), training=True)
    assert torch.equal(layer.seed_generator.state.value, own.state.value)
    own.next()
    assert torch.equal(scope.get_current_value(layer.seed_generator.state), own.state.value)


NOISE: list[tuple[type, dict[str, Any], tuple[int, ...], tuple[int, ...]]] = [
    (sk.Dropout, {"noise_shape": (None, 1, 6)}, (3, 5, 6), (3, 1, 6)),
    (sk.Dropout, {"noise_shape": [5, 1]}, (3, 5, 6), (1, 5, 1)),
    (sk.SpatialDropout1D, {}, (3, 5, 6), (3, 1, 6)),
    (sk.SpatialDropout2D, {}, (3, 4, 5, 6), (3, 1, 1, 6)),
    (sk.SpatialDropout2D, {"data_format": "channels_first"}, (3, 4, 5, 6), (3, 4, 1, 1)),
    (sk.SpatialDropout3D, {}, (3, 4, 5, 2, 6), (3, 1, 1, 1, 6)),
]


@pytest.mark.parametrize(("cls", "options", "shape", "mask"), NOISE)
def test_shared_masks(cls: Any, options: dict[str, Any], shape: tuple[int, ...], mask: tuple[int, ...]) -> None:
    x = torch.randn(shape, requires_grad=True)
    calls = st.kernel_calls()
    y = cls(0.4, seed=3, **options)(x, training=True)
    assert st.kernel_calls() > calls
    keep = torch.from_numpy(simdrop.Mask(mask, 0.4, seed=3).keep())
    torch.testing.assert_close(y, torch.where(keep, x / 0.6, 0.0))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, torch.where(keep, 1 / 0.6, 0.0).expand(shape))


def test_a_mask_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise_shape: got \(3, 4\); accepted: .*\(3, 5\)"):
        sk.Dropout(0.5, noise_shape=(3, 4))(torch.ones(3, 5), training=True)


def test_alpha() -> None:
    x = torch.randn(30, 40)
    factor, shift, dropped = selu_values(0.3)
    keep = torch.from_numpy(simdrop.Mask((30, 40), 0.3, seed=3).keep())
    y = sk.AlphaDropout(0.3, seed=3)(x, training=True)
    torch.testing.assert_close(y, torch.where(keep, x * factor + shift, dropped))
    y = sk.AlphaDropout(0.3, noise_shape=(30, 1), seed=3)(x, training=True)
    keep = torch.from_numpy(simdrop.Mask((30, 1), 0.3, seed=3).keep())
    torch.testing.assert_close(y, torch.where(keep, x * factor + shift, dropped))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_normal_noise(dtype: Any) -> None:
    x = torch.linspace(0.5, 2, 2000, dtype=dtype).view(40, 50).requires_grad_()
    name = str(dtype).split(".")[1]
    for layer, noise in (
        (sk.GaussianDropout(0.2, seed=3, dtype=name), simdrop.Noise((40, 50), 0.5, seed=3, stream=1)),
        (
            sk.GaussianNoise(0.1, seed=3, dtype=name),
            simdrop.Noise((40, 50), 0.1, multiplicative=False, seed=3, stream=1),
        ),
    ):
        layer(x, training=True)
        y = layer(x, training=True)
        expected = torch.empty_like(x, requires_grad=False)
        noise.apply(x.detach(), out=expected)
        assert torch.equal(y, expected)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        if noise.multiplicative:
            torch.testing.assert_close(gradient * x, y, rtol=0.02, atol=0.02)
        else:
            assert torch.equal(gradient, torch.ones_like(x))
        assert torch.equal(layer(x), x)


def test_a_model_trains_and_a_seed_repeats_it() -> None:
    x, labels = data()
    losses = []
    for _ in range(2):
        model = classifier(sk.Dropout(0.5, seed=1))
        calls = st.kernel_calls()
        losses.append(model.fit(x, labels, batch_size=32, epochs=3, verbose=0, shuffle=False).history["loss"])
        assert st.kernel_calls() == calls + 2 * 3 * 8
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
    other = classifier(sk.Dropout(0.5, seed=2)).fit(x, labels, epochs=3, verbose=0, shuffle=False).history["loss"]
    assert other != losses[0]


def test_replace() -> None:
    x, labels = data()
    inner = keras.Sequential([keras.Input((64,)), keras.layers.GaussianNoise(0.1, seed=4, name="noise")], name="inner")
    inputs = keras.Input((20,))
    hidden = keras.layers.Dropout(0.5, seed=3, name="drop")(inner(Dense(64, name="first")(inputs)))
    model = keras.Model(inputs, Dense(10, activation="softmax")(hidden))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(x, labels, epochs=1, verbose=0)
    ours = sk.replace(model)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in model.layers]
    assert type(ours.get_layer("drop")) is sk.Dropout
    assert type(ours.get_layer("inner").get_layer("noise")) is sk.GaussianNoise
    assert type(model.get_layer("drop")) is keras.layers.Dropout
    np.testing.assert_array_equal(ours.predict(x, verbose=0), model.predict(x, verbose=0))
    states = [m.get_layer("drop").seed_generator.state.value.tolist() for m in (model, ours)]
    assert states == [[3, 8]] * 2  # as many calls as batches
    calls = st.kernel_calls()
    ours.fit(x, labels, epochs=1, verbose=0)
    assert st.kernel_calls() > calls
    with pytest.raises(ValueError, match="model: got a Own; accepted: a functional or sequential"):
        sk.replace(type("Own", (keras.Model,), {})())
    shared = keras.layers.Dropout(0.5)
    with pytest.raises(ValueError, match="model: got one that shares"):
        sk.replace(keras.Sequential([shared, keras.layers.TimeDistributed(shared)]))
    fresh = sk.replace(keras.Sequential([keras.layers.Dropout(0.5)]))
    assert type(fresh.layers[0]) is sk.Dropout


LAYERS: list[Any] = [
    sk.Dropout(0.5, noise_shape=(None, 1, 6), seed=1),
    sk.SpatialDropout1D(0.5, seed=1),
    sk.SpatialDropout2D(0.5, data_format="channels_first", seed=1),
    sk.SpatialDropout3D(0.5, seed=1),
    sk.AlphaDropout(0.5, seed=1),
    sk.GaussianDropout(0.5, seed=1),
    sk.GaussianNoise(0.5, seed=1),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_configurations_come_back(layer: Any) -> None:
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    name = type(layer).__name__
    theirs, other = (getattr(keras.layers, name).from_config(layer.get_config()) for _ in range(2))
    model = keras.Sequential([theirs, keras.layers.TimeDistributed(other)])
    assert [type(sk.replace(model).layers[0]), type(sk.replace(model).layers[1].layer)] == [type(layer)] * 2


LOAD = """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np
how, path, inputs, outputs = sys.argv[1:]
if how == "with":
    import simdrop.keras
    model = keras.models.load_model(path)
    assert type(model.layers[1]) is simdrop.keras.Dropout
elif how == "named":
    model = keras.models.load_model(path, custom_objects={"simdrop>Dropout": keras.layers.Dropout})
    assert type(model.layers[1]) is keras.layers.Dropout
    assert "simdrop" not in sys.modules
else:
    try:
        keras.models.load_model(path)
    except TypeError as error:
        assert "simdrop.keras" in str(error), error
        sys.exit()
    raise AssertionError("loaded")
np.testing.assert_allclose(model.predict(np.load(inputs), verbose=0), np.load(outputs), rtol=1e-5)
assert model.layers[1].seed_generator.state.value.tolist() == [1, 0]  # Keras does not save it
"""


@pytest.mark.parametrize("how", ["with", "named", "without"])
def test_saved_models(how: str, tmp_path: Path) -> None:
    x, labels = data()
    model = classifier(sk.Dropout(0.5, seed=1))
    model.fit(x, labels, epochs=1, verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", model.predict(x, verbose=0))
    words = [sys.executable, "-c", LOAD, how, *map(str, (path, tmp_path / "x.npy", tmp_path / "y.npy"))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_symbolic_tensors_are_keras_own() -> None:
    layer = sk.Dropout(0.5, seed=1)
    calls = st.kernel_calls()
    x = keras.Input((4,))
    assert keras.Model(x, layer(x, training=True)).output_shape == (None, 4)
    assert st.kernel_calls() == calls


def test_compiled_training() -> None:
    x, labels = data()
    model = keras.Sequential([keras.Input((20,)), sk.Dropout(0.2, seed=1), Dense(10, activation="softmax")])
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", jit_compile=True)
    calls = st.kernel_calls()
    first, last = model.fit(x, labels, epochs=2, verbose=0).history["loss"]
    assert st.kernel_calls() > calls
    assert last < first


def test_the_package_does_not_import_keras() -> None:
    probe = "import simdrop, sys; assert not {'keras', 'torch'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
