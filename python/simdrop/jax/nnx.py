"""Dropout as a module of Flax NNX."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx
from jax import numpy as jnp

from simdrop.jax._functional import dropout

__all__ = ["Dropout"]


class Dropout(nnx.Dropout):
    """`flax.nnx.Dropout`, with the masks of this package.

    Parameters
    ----------
    rate : float
        Probability of dropping an element.
    broadcast_dims : sequence of int, keyword only
        Dimensions that share a mask.
    deterministic : bool, keyword only
        If True, the input is returned.
    rng_collection : str, keyword only
        Which of the streams of `rngs` the keys come from.
    rngs : flax.nnx.Rngs or flax.nnx.RngStream, keyword only
        Where the keys come from.

    Raises
    ------
    TypeError, ValueError
        As `flax.nnx.Dropout` and `simdrop.jax.dropout`.

    Examples
    --------
    >>> import jax, simdrop.jax.nnx
    >>> from flax import nnx
    >>> layer = simdrop.jax.nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    >>> layer(jax.numpy.ones((2, 3))).shape
    (2, 3)
    """

    def __call__(
        self,
        inputs: Any,
        *,
        deterministic: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | jax.Array | None = None,
    ) -> Any:
        """Return `inputs` with elements dropped; the arguments take precedence over those of the constructor."""
        fixed = self.deterministic if deterministic is None else deterministic
        if fixed is None:
            raise ValueError("deterministic: got None; accepted: True or False, here or in the constructor")
        if fixed or self.rate == 0.0:
            return inputs
        if self.rate == 1.0:  # no key is needed, or taken, as in Flax
            return jnp.zeros_like(inputs)
        source = self.rngs if rngs is None else rngs
        if source is None:
            raise ValueError("rngs: got None; accepted: Rngs, an RngStream or a key, here or in the constructor")
        if isinstance(source, nnx.Rngs):
            source = source[self.rng_collection]
        key = source() if isinstance(source, nnx.RngStream) else source
        return dropout(inputs, self.rate, key, broadcast_dims=self.broadcast_dims)
