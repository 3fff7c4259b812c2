"""simdrop.keras on Keras' JAX backend. test_keras_jax.py runs this in a process of its own, with KERAS_BACKEND=jax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pytest
import simdrop
import simdrop.keras as sk
from keras_classifier import classifier, data
from simdrop._formulas import selu_values

pytestmark = pytest.mark.filterwarnings("ignore")


def scaled(mask: simdrop.Mask, x: Any) -> Any:
    return mask.apply(np.array(np.broadcast_to(x, mask.shape)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_seed_is_the_mask_of_the_other_backend(dtype: str) -> None:
    layer = sk.Dropout(0.3, seed=7, dtype=dtype)
    x = jnp.linspace(0.5, 2, 2000).reshape(40, 50).astype(dtype)
    numpy_type = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    for call in range(3):
        y = layer(x, training=True)
        expected = scaled(simdrop.Mask((40, 50), 0.3, seed=7, stream=call), np.asarray(x, numpy_type))
        np.testing.assert_array_equal(np.asarray(y), expected)
    assert layer(x, training=False) is x
    assert layer(x) is x


def test_gradients_have_the_mask() -> None:
    layer = sk.Dropout(0.5, seed=1)
    gradient = jax.grad(lambda x: layer(x, training=True).sum())(jnp.ones((30, 40)))
    np.testing.assert_array_equal(gradient, scaled(simdrop.Mask((30, 40), 0.5, seed=1), np.ones((30, 40), np.float32)))


def test_rates_of_zero_and_one() -> None:
    x = jnp.ones(100)
    nothing, everything = sk.Dropout(0.0, seed=1), sk.Dropout(1.0, seed=1)
    assert nothing(x, training=True) is x
    assert not everything(x, training=True).any()
    assert everything.seed_generator.state.value.tolist() == [1, 0]  # nothing was drawn


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
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    keep = simdrop.Mask(mask, 0.4, seed=3).keep()
    y = cls(0.4, seed=3, **options)(x, training=True)
    np.testing.assert_allclose(y, np.where(keep, x / 0.6, 0), rtol=1e-6)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise_shape: got \(3, 4\); accepted: .*\(3, 5\)"):
        sk.Dropout(0.5, noise_shape=(3, 4))(jnp.ones((3, 5)), training=True)


def test_alpha() -> None:
    x = np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32)
    factor, shift, dropped = selu_values(0.3)
    for shape in ((30, 40), (30, 1)):
        layer = sk.AlphaDropout(0.3, noise_shape=shape, seed=3)
        keep = simdrop.Mask(shape, 0.3, seed=3).keep()
        np.testing.assert_allclose(layer(x, training=True), np.where(keep, x * factor + shift, dropped), rtol=1e-5)


def test_normal_noise_is_keras_own() -> None:
    x = jnp.ones((30, 40))
    for name, argument in (("GaussianDropout", 0.2), ("GaussianNoise", 0.1)):
        ours, theirs = (getattr(module, name)(argument, seed=3) for module in (sk, keras.layers))
        np.testing.assert_array_equal(ours(x, training=True), theirs(x, training=True))


def test_the_generator_is_left_as_keras_leaves_it() -> None:
    layer, own = sk.Dropout(0.5, seed=2**31 - 5), keras.random.SeedGenerator(2**31 - 5)
    for _ in range(3):
        layer(jnp.ones((4, 5)), training=True)
        own.next()
    np.testing.assert_array_equal(layer.seed_generator.state.value, own.state.value)
    with keras.StatelessScope() as scope:  # where states are those of the scope
        layer(jnp.ones((4, 5)), training=True)
    np.testing.assert_array_equal(layer.seed_generator.state.value, own.state.value)
    own.next()
    np.testing.assert_array_equal(scope.get_current_value(layer.seed_generator.state), own.state.value)


def test_a_compiled_call_has_the_same_mask() -> None:
    model = keras.Sequential([keras.Input((20,)), sk.Dropout(0.5, seed=5), keras.layers.Activation("linear")])
    x = jnp.ones((16, 20))
    call = jax.jit(lambda states: model.stateless_call([], states, x, training=True))
    states = [v.value for v in model.non_trainable_variables]
    for stream in range(2):
        y, states = call(states)
        expected = scaled(simdrop.Mask((16, 20), 0.5, seed=5, stream=stream), np.ones((16, 20), np.float32))
        np.testing.assert_array_equal(y, expected)


def test_a_model_trains_and_a_seed_repeats_it() -> None:
    x, labels = data()
    losses = []
    for seed in (1, 1, 2):
        model = classifier(sk.Dropout(0.5, seed=seed))
        losses.append(model.fit(x, labels, batch_size=32, epochs=3, verbose=0, shuffle=False).history["loss"])
        assert model.layers[1].seed_generator.state.value.tolist() == [seed, 24]  # as many calls as batches
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    assert losses[0][-1] < losses[0][0]


def test_replace() -> None:
    x, labels = data()
    model = classifier(keras.layers.Dropout(0.5, seed=3, name="drop"))
    model.fit(x, labels, epochs=1, verbose=0)
    ours = sk.replace(model)
    assert type(ours.get_layer("drop")) is sk.Dropout
    assert type(model.get_layer("drop")) is keras.layers.Dropout
    np.testing.assert_array_equal(ours.predict(x, verbose=0), model.predict(x, verbose=0))
    states = [m.get_layer("drop").seed_generator.state.value.tolist() for m in (model, ours)]
    assert states == [[3, 8]] * 2
    ours.fit(x, labels, epochs=1, verbose=0)


def test_saved_models(tmp_path: Path) -> None:
    x, labels = data()
    model = classifier(sk.Dropout(0.5, seed=1))
    model.fit(x, labels, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.layers[1]) is sk.Dropout
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_symbolic_tensors_are_keras_own() -> None:
    layer = sk.Dropout(0.5, seed=1)
    x = keras.Input((4,))
    assert keras.Model(x, layer(x, training=True)).output_shape == (None, 4)
    assert layer.seed_generator.state.value.tolist() == [1, 0]
