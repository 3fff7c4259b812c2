"""Keras 3: its dropout and noise layers by the kernels of this package, with seeds, and a way to put them in a model.

>>> import os; os.environ["KERAS_BACKEND"] = "torch"  # doctest: +SKIP
>>> import keras, simdrop.keras  # doctest: +SKIP
>>> from keras.layers import Dense  # doctest: +SKIP
>>> model = keras.Sequential(
...     [Dense(64, activation="relu"), simdrop.keras.Dropout(0.5, seed=1), Dense(10, activation="softmax")]
... )  # doctest: +SKIP

Each layer is a subclass of Keras' layer of the same name, takes the same arguments and draws from the same
`keras.random.SeedGenerator`: call number n of a layer with seed s has the mask of ``simdrop.Mask(shape, rate, seed=s,
stream=n)``, on Keras' PyTorch backend and on its JAX backend. The kernels serve ordinary arrays on the CPU; whatever
else arrives is Keras' own, and so is normal noise on the JAX backend. Other backends are refused.

Keras is imported by importing this module, and by nothing else in the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from simdrop._formulas import dropout_sd, selu_values

__all__ = [
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "replace",
]

_BACKEND = keras.backend.backend()
if _BACKEND == "torch":
    from simdrop.torch import _keras as _kernels
elif _BACKEND == "jax":
    from simdrop.jax import _keras as _kernels  # type: ignore[no-redef]
else:
    raise ImportError(
        f'simdrop.keras: got the backend "{_BACKEND}" of Keras; accepted: "torch" and "jax", which KERAS_BACKEND '
        "in the environment names before Keras is imported"
    )
_served = _kernels.served


def _shared(x: Any, noise_shape: Sequence[int | None] | None) -> tuple[int, ...]:
    """Return the dimensions of `x` along which elements share the bits of a mask."""
    if noise_shape is None:
        return ()
    shape = tuple(x.shape)
    aligned = (1,) * (len(shape) - len(noise_shape)) + tuple(noise_shape)
    known = tuple(whole if n is None else n for n, whole in zip(aligned, shape, strict=False))
    if len(aligned) != len(shape) or any(n not in (1, whole) for n, whole in zip(known, shape, strict=True)):
        raise ValueError(f"noise_shape: got {tuple(noise_shape)}; accepted: what can be broadcast to {shape}")
    return tuple(d for d, n in enumerate(aligned) if n == 1)


def _drop(x: Any, rate: float, noise_shape: Sequence[int | None] | None, generator: Any, alpha: bool = False) -> Any:
    """Return dropout of a tensor that the kernels take."""
    values = selu_values(rate) if alpha and rate < 1 else None
    return _kernels.drop(x, rate, _shared(x, noise_shape), values, generator)


@keras.saving.register_keras_serializable(package="simdrop")
class Dropout(keras.layers.Dropout):
    """Drops each element with probability `rate` and divides the others by ``1 - rate``.

    As `keras.layers.Dropout`, whose arguments it takes.

    Parameters
    ----------
    rate : float
        Probability of dropping an element, from 0 to 1.
    noise_shape : sequence of int or None, optional
        Shape of the mask, broadcast to the input; None stands for the input's own length.
    seed : int, optional
        Seed of the layer's `keras.random.SeedGenerator`.
    **kwargs
        As for `keras.layers.Layer`.

    Raises
    ------
    ValueError
        If an argument is not as said, or the mask can't be broadcast to the input.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the input with elements dropped, or the input itself in inference mode."""
        if training and self.rate > 0 and _served(inputs):
            return _drop(inputs, self.rate, self.noise_shape, self.seed_generator)
        return super().call(inputs, training=training)


class _Spatial:
    """What the spatial layers share: a mask of the shape that Keras' layer names."""

    def call(self: Any, inputs: Any, training: bool = False) -> Any:
        """Return the input with channels dropped, or the input itself in inference mode."""
        if training and self.rate > 0 and _served(inputs):
            return _drop(inputs, self.rate, self._get_noise_shape(inputs), self.seed_generator)
        return super().call(inputs, training=training)  # type: ignore[misc]


@keras.saving.register_keras_serializable(package="simdrop")
class SpatialDropout1D(_Spatial, keras.layers.SpatialDropout1D):
    """Drops whole channels of (samples, steps, channels); as `keras.layers.SpatialDropout1D`."""


@keras.saving.register_keras_serializable(package="simdrop")
class SpatialDropout2D(_Spatial, keras.layers.SpatialDropout2D):
    """Drops whole channels of images, in either data format; as `keras.layers.SpatialDropout2D`."""


@keras.saving.register_keras_serializable(package="simdrop")
class SpatialDropout3D(_Spatial, keras.layers.SpatialDropout3D):
    """Drops whole channels of volumes, in either data format; as `keras.layers.SpatialDropout3D`."""


@keras.saving.register_keras_serializable(package="simdrop")
class AlphaDropout(keras.layers.AlphaDropout):
    """Sets elements to the negative end of SELU, keeping mean and variance; as `keras.layers.AlphaDropout`."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the input with elements dropped, or the input itself in inference mode."""
        if training and self.rate > 0 and _served(inputs):
            return _drop(inputs, self.rate, self.noise_shape, self.seed_generator, alpha=True)
        return super().call(inputs, training=training)


@keras.saving.register_keras_serializable(package="simdrop")
class GaussianDropout(keras.layers.GaussianDropout):
    """Multiplies with normal noise of mean 1 and variance ``rate / (1 - rate)``; as `keras.layers.GaussianDropout`.

    Call number n has the noise of ``simdrop.Noise(shape, sd, seed=seed, stream=n)``.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the input with noise, or the input itself in inference mode."""
        if training and 0 < self.rate < 1 and _kernels.SERVES_NOISE and _served(inputs):
            return _kernels.noisy(inputs, dropout_sd(self.rate), True, self.seed_generator)
        return super().call(inputs, training=training)


@keras.saving.register_keras_serializable(package="simdrop")
class GaussianNoise(keras.layers.GaussianNoise):
    """Adds normal noise of standard deviation `stddev`; as `keras.layers.GaussianNoise`.

    Call number n has the noise of ``simdrop.Noise(shape, stddev, multiplicative=False, seed=seed, stream=n)``.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the input with noise, or the input itself in inference mode."""
        if training and self.stddev > 0 and _kernels.SERVES_NOISE and _served(inputs):
            return _kernels.noisy(inputs, self.stddev, False, self.seed_generator)
        return super().call(inputs, training=training)


_NAMES = frozenset(name for name in __all__ if name != "replace")


def _swapped(config: Any) -> Any:
    """Return a model's configuration with this module's layers in place of Keras', however deep they lie in it."""
    if isinstance(config, (list, tuple)):
        return [_swapped(part) for part in config]
    if not isinstance(config, dict):
        return config
    swapped = {key: _swapped(part) for key, part in config.items()}
    if config.get("module") == "keras.layers" and config.get("class_name") in _NAMES:
        swapped |= {"module": __name__, "registered_name": f"simdrop>{config['class_name']}"}
    return swapped


def replace(model: Any) -> Any:
    """Return a model like the one given, with the dropout and noise layers of this module for those of Keras.

    Parameters
    ----------
    model : keras.Model
        A functional or sequential model, built or not. It is left as it is. Only layers of exactly Keras' classes are
        swapped, in models and wrappers within the model too; not what a layer makes itself (`MultiHeadAttention`).

    Returns
    -------
    keras.Model
        Names, weights and the states of seed generators are those of `model`, as are the arguments of its `compile`;
        the state of its optimizer is not. It is made of the model's configuration, as a file is loaded: classes and
        functions of the caller's own are found if they are registered or in a `keras.saving.custom_object_scope`.

    Raises
    ------
    TypeError
        If the model holds a class or function that Keras does not know by name.
    ValueError
        If the model is neither functional nor sequential (what its own class makes cannot be known), or shares a layer
        in a way that its configuration does not tell.

    Examples
    --------
    >>> import keras, simdrop.keras  # doctest: +SKIP
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])  # doctest: +SKIP
    >>> simdrop.keras.replace(model).layers[0].__module__  # doctest: +SKIP
    'simdrop.keras'
    """
    if not isinstance(model, keras.Sequential) and not hasattr(model, "operations"):
        raise ValueError(f"model: got a {type(model).__name__}; accepted: a functional or sequential keras.Model")
    config = _swapped(keras.saving.serialize_keras_object(model))
    # it is the caller's own model, not a file: what it holds may be code
    made = keras.saving.deserialize_keras_object(config, safe_mode=False)
    if len(made.variables) != len(model.variables):
        raise ValueError(
            "model: got one that shares a layer between layers that hold it; accepted: models whose configuration says "
            "all there is, see keras.models.clone_model"
        )
    for old, new in zip(model.variables, made.variables, strict=True):
        new.assign(keras.ops.copy(old))  # or both would have one array, which JAX takes for the training of one of them
    return made
