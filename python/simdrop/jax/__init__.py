"""JAX on a CPU: dropout under ``jax.jit`` with the masks of this package.

>>> import jax
>>> import simdrop.jax
>>> step = jax.jit(lambda x, key: simdrop.jax.dropout(x, 0.5, key))
>>> step(jax.numpy.ones(8), jax.random.key(42))
Array([2., 2., 0., 0., 2., 0., 2., 0.], dtype=float32)

JAX is imported by importing this module, and by nothing else in the package; Flax by `simdrop.jax.nnx` and
`simdrop.jax.linen`.
"""

import re

import jax

if tuple(int(n) for n in re.findall(r"\d+", jax.__version__)[:2]) < (0, 10):
    raise ImportError(f"simdrop.jax: got JAX {jax.__version__}; accepted: 0.10 and later")

from simdrop.jax._functional import apply, dropout, mask_numbers

__all__ = ["apply", "dropout", "mask_numbers"]
