"""Dropout as a module of Flax Linen."""

from __future__ import annotations

from typing import Any

from flax import linen
from jax import numpy as jnp

from simdrop.jax._functional import dropout

__all__ = ["Dropout"]


class Dropout(linen.Dropout):
    """`flax.linen.Dropout`, with the masks of this package.

    Parameters
    ----------
    rate : float
        Probability of dropping an element.
    broadcast_dims : sequence of int
        Dimensions that share a mask.
    deterministic : bool, optional
        If True, the input is returned.
    rng_collection : str
        The collection that keys come from.

    Raises
    ------
    TypeError, ValueError
        As `flax.linen.Dropout` and `simdrop.jax.dropout`.

    Examples
    --------
    >>> import jax, simdrop.jax.linen
    >>> layer = simdrop.jax.linen.Dropout(0.5, deterministic=False)
    >>> layer.apply({}, jax.numpy.ones((2, 3)), rngs={"dropout": jax.random.key(0)}).shape
    (2, 3)
    """

    def __call__(self, inputs: Any, deterministic: bool | None = None, rng: Any = None) -> Any:
        """Return `inputs` with elements dropped; the arguments take precedence over those of the constructor."""
        if linen.merge_param("deterministic", self.deterministic, deterministic) or self.rate == 0.0:
            return inputs
        if self.rate == 1.0:  # no key is needed, or taken, as in Flax
            return jnp.zeros_like(inputs)
        key = self.make_rng(self.rng_collection) if rng is None else rng
        return dropout(inputs, self.rate, key, broadcast_dims=self.broadcast_dims)
