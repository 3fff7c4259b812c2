"""Layers that drop blocks, time steps and tokens, and the one whose p is learned."""

from __future__ import annotations

from typing import Any, SupportsFloat

from simdrop import _core
from simdrop._rng import RNG
from simdrop.functional.concrete import concrete_dropout
from simdrop.functional.drop_block import drop_block2d, drop_block3d
from simdrop.functional.patch import patch_dropout
from simdrop.functional.recurrent import locked_dropout
from simdrop.layers._base import Layer
from simdrop.schedules import Schedule


class DropBlock(Layer):
    """`simdrop.drop_block2d` for arrays of 4 dimensions, `drop_block3d` for 5, as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layer = layers.DropBlock(0.3, block_size=2, rng=6)
    >>> int((layer(np.ones((1, 1, 4, 4))) == 0).sum())
    4
    """

    _options = ("block_size", "shared_channels")

    def __init__(
        self,
        p: SupportsFloat | Schedule = 0.1,
        *,
        block_size: int = 7,
        shared_channels: bool = False,
        rng: RNG = None,
    ) -> None:
        super().__init__(p, rng=rng)
        self.block_size = block_size
        self.shared_channels = shared_channels

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        drop = drop_block3d if len(_core.shape_of(x)) == 5 else drop_block2d
        result, mask = drop(
            x,
            p,
            self.block_size,
            shared_channels=self.shared_channels,
            rng=self.stream,
            training=self.training,
            return_drawn=True,
        )
        return result, mask


class LockedDropout(Layer):
    """`simdrop.locked_dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.LockedDropout(0.5, rng=42)(np.ones((2, 1, 4)))[1]
    array([[2., 2., 0., 0.]])
    """

    _options = ("batch_first",)

    def __init__(self, p: SupportsFloat | Schedule = 0.5, *, batch_first: bool = False, rng: RNG = None) -> None:
        super().__init__(p, rng=rng)
        self.batch_first = batch_first

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        result, mask = locked_dropout(
            x, p, rng=self.stream, training=self.training, batch_first=self.batch_first, return_drawn=True
        )
        return result, mask


class PatchDropout(Layer):
    """`simdrop.patch_dropout` as a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layers.PatchDropout(0.5, rng=1)(np.arange(6.0).reshape(1, 6, 1))[0, :, 0]
    array([0., 3., 4.])
    """

    _options = ("num_prefix_tokens", "ordered")

    def __init__(
        self, p: SupportsFloat | Schedule = 0.5, *, num_prefix_tokens: int = 1, ordered: bool = True, rng: RNG = None
    ) -> None:
        super().__init__(p, rng=rng)
        self.num_prefix_tokens = num_prefix_tokens
        self.ordered = ordered

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        result, mask = patch_dropout(
            x,
            p,
            num_prefix_tokens=self.num_prefix_tokens,
            ordered=self.ordered,
            rng=self.stream,
            training=self.training,
            return_drawn=True,
        )
        return result, mask


class ConcreteDropout(Layer):
    """`simdrop.concrete_dropout` as a layer; `backward` leaves the gradient for p in ``grad_p``.

    Examples
    --------
    >>> import numpy as np
    >>> from simdrop import layers
    >>> layer = layers.ConcreteDropout(0.5, rng=42)
    >>> y = layer(np.ones(3))
    >>> layer.backward(np.ones(3)).round(4), round(layer.grad_p, 4)
    (array([1.9997, 2.    , 0.    ]), 7.9891)
    """

    _options = ("temperature",)

    def __init__(self, p: SupportsFloat | Schedule = 0.1, *, temperature: float = 0.1, rng: RNG = None) -> None:
        super().__init__(p, rng=rng)
        self.temperature = temperature
        self.grad_p = 0.0
        self._x: Any = None

    def _forward(self, x: Any, p: float) -> tuple[Any, Any]:
        self._x = x
        result, mask = concrete_dropout(
            x, p, temperature=self.temperature, rng=self.stream, training=self.training, return_drawn=True
        )
        return result, mask

    def _backward(self, grad: Any) -> Any:
        grad_x, self.grad_p = self.mask.backward(grad, self._x)
        return grad_x
