"""Layers that drop or disturb elements, channels and samples of their input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsFloat, SupportsIndex

from simdrop._mask import Scaling
from simdrop._rng import RNG
from simdrop._shapes import NoiseShape
from simdrop.functional.alpha import alpha_dropout, feature_alpha_dropout
from simdrop.functional.channels import DataFormat, dropout1d, dropout2d, dropout3d, feature_dropout
from simdrop.functional.drop_path import PathMode, drop_path
from simdrop.functional.dropout import dropout
from simdrop.functional.gaussian import as_sd, gaussian_dropout, gaussian_noise
from simdrop.layers._base import Layer
from simdrop.schedules import Schedule


class Dropout(Layer):
    """`simdrop.dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layer = layers.Dropout(0.5, rng=42)
    >>> layer(np.ones(4))
    array([2., 2., 0., 0.])
    >>> layer.backward(np.ones(4))
    array([2., 2., 0., 0.])
    """

    _options = ("scaling", "noise_shape", "broadcast_dims")

    def __init__(
        self,
        p: SupportsFloat | Schedule = 0.5,
        *,
        scaling: Scaling = "inverted",
        noise_shape: NoiseShape = None,
        broadcast_dims: Sequence[SupportsIndex] = (),
        rng: RNG = None,
    ) -> None:
        super().__init__(p, rng=rng)
        self.scaling: Scaling = scaling
        self.noise_shape = noise_shape
        self.broadcast_dims = broadcast_dims

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        result, mask = dropout(
            x,
            p,
            rng=self.stream,
            training=self.training,
            scaling=self.scaling,
            noise_shape=self.noise_shape,
            broadcast_dims=self.broadcast_dims,
            return_drawn=True,
        )
        return result, mask


class SpatialDropout(Layer):
    """Whole channels: `simdrop.dropout1d`, `dropout2d`, `dropout3d` or, without `spatial`, `feature_dropout`.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.SpatialDropout(0.5, spatial=2, rng=42)(np.ones((1, 4, 2, 2)))[0, :, 0, 0]
    array([2., 2., 0., 0.])
    """

    _options = ("spatial", "data_format")

    def __init__(
        self,
        p: SupportsFloat | Schedule = 0.5,
        *,
        spatial: int | None = None,
        data_format: DataFormat = "channels_first",
        rng: RNG = None,
    ) -> None:
        super().__init__(p, rng=rng)
        if spatial not in (None, 1, 2, 3):
            raise ValueError(f"spatial: got {spatial!r}; accepted: None, 1, 2 or 3")
        self.spatial = spatial
        self.data_format: DataFormat = data_format

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        common: dict[str, Any] = {"rng": self.stream, "training": self.training, "return_drawn": True}
        if self.spatial is None:
            result, mask = feature_dropout(x, p, **common)
        else:
            drop = (dropout1d, dropout2d, dropout3d)[self.spatial - 1]
            result, mask = drop(x, p, data_format=self.data_format, **common)
        return result, mask


class DropPath(Layer):
    """`simdrop.drop_path` as a layer: stochastic depth.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.DropPath(0.5, rng=42)
    simdrop.layers.DropPath(0.5, mode='row', scale_by_keep=True, rng=simdrop.Stream(seed=42, stream=0))
    >>> layers.DropPath(0.5, rng=42)(np.ones((4, 2)))
    array([[2., 2.],
           [2., 2.],
           [0., 0.],
           [0., 0.]])
    """

    _options = ("mode", "scale_by_keep")

    def __init__(
        self,
        p: SupportsFloat | Schedule = 0.0,
        *,
        mode: PathMode = "row",
        scale_by_keep: bool = True,
        rng: RNG = None,
    ) -> None:
        super().__init__(p, rng=rng)
        self.mode: PathMode = mode
        self.scale_by_keep = scale_by_keep

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        result, mask = drop_path(
            x,
            p,
            rng=self.stream,
            training=self.training,
            mode=self.mode,
            scale_by_keep=self.scale_by_keep,
            return_drawn=True,
        )
        return result, mask


class AlphaDropout(Layer):
    """`simdrop.alpha_dropout` as a layer, or `feature_alpha_dropout` with ``features=True``.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.AlphaDropout(0.5, rng=42)(np.zeros(4)).round(4)
    array([ 0.7792,  0.7792, -0.7792, -0.7792])
    """

    _options = ("features",)

    def __init__(self, p: SupportsFloat | Schedule = 0.5, *, features: bool = False, rng: RNG = None) -> None:
        super().__init__(p, rng=rng)
        self.features = features

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        drop = feature_alpha_dropout if self.features else alpha_dropout
        result, mask = drop(x, p, rng=self.stream, training=self.training, return_drawn=True)
        return result, mask


class GaussianDropout(Layer):
    """`simdrop.gaussian_dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.GaussianDropout(0.5, rng=42)(np.ones(3)).round(4)
    array([2.1004, 1.2923, 0.5497])
    """

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        result, noise = gaussian_dropout(x, p, rng=self.stream, training=self.training, return_drawn=True)
        return result, noise


class GaussianNoise(Layer):
    """`simdrop.gaussian_noise` as a layer; the first argument is the standard deviation, or a schedule for it.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.GaussianNoise(0.1, rng=42)(np.zeros(3)).round(4)
    array([ 0.11  ,  0.0292, -0.045 ])
    """

    def __init__(self, sd: SupportsFloat | Schedule = 1.0, *, rng: RNG = None) -> None:
        super().__init__(sd if callable(sd) else 0.0, rng=rng)
        self.p = sd if callable(sd) else as_sd(sd)

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        result, noise = gaussian_noise(x, p, rng=self.stream, training=self.training, return_drawn=True)
        return result, noise
