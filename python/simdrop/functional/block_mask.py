"""Which blocks DropBlock drops, as a value."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._arrays import require_shape
from simdrop._draw import copied
from simdrop._drawn import Drawn, checked, drawn_value
from simdrop._mask import Mask
from simdrop._shapes import as_shape, require_rank
from simdrop._types import ArrayLike

_Blocks: TypeAlias = "tuple[tuple[int, ...], int, tuple[int, ...], float, int, int, int, tuple[int, ...] | None]"


@drawn_value
class BlockMask(Drawn):
    """Which blocks of an array (N, C, ...) are dropped, as a value: a few numbers.

    A block of ``size`` elements along each spatial dimension starts where an element of `seeds` is dropped. `seeds`
    is a `Mask` with one element for each place where a whole block fits: the shape of the array with ``size - 1``
    fewer along each spatial dimension, and with 1 channel if channels are shared.

    Parameters
    ----------
    shape : tuple of int
        Shape of the arrays it applies to.
    size : int
        Side of a block.
    seeds : Mask
        The mask whose dropped elements are the first elements of the blocks.

    Examples
    --------
    >>> import simdrop
    >>> simdrop.BlockMask((1, 1, 3, 3), 2, simdrop.Mask((1, 1, 2, 2), 0.3, seed=2)).keep()[0, 0]
    array([[ True,  True,  True],
           [ True, False, False],
           [ True, False, False]])
    """

    shape: tuple[int, ...]
    size: int
    seeds: Mask

    def __post_init__(self) -> None:
        shape = as_shape("shape", self.shape)
        require_rank("shape", shape, range(3, 33), "(N, C, ...)")
        size = _core.unsigned_integer("size", self.size, 2**32, 1)
        if not isinstance(self.seeds, Mask):
            raise TypeError(f"seeds: got {_core.shown(self.seeds)}; accepted: a Mask")
        places = tuple(max(0, n - size + 1) for n in shape[2:])
        accepted = (shape[0], 1 if self.seeds.shape[1:2] == (1,) else shape[1], *places)
        if self.seeds.shape != accepted:
            raise ValueError(
                f"seeds: got a mask of shape {self.seeds.shape}; accepted: {accepted}, a place for each whole block"
            )
        checked(self, shape=shape, size=size)

    def keep(self, *, threads: int | None = None) -> NDArray[np.bool_]:
        """Return the mask as booleans, True where an element is kept.

        Examples
        --------
        >>> import simdrop
        >>> mask = simdrop.BlockMask((1, 1, 2, 2), 1, simdrop.Mask((1, 1, 2, 2), 0.5, seed=42))
        >>> mask.keep()[0, 0]
        array([[ True,  True],
               [False, False]])
        """
        kept = _core.block_bytes(*self._blocks(), threads)
        return kept if kept.shape == self.shape else np.array(np.broadcast_to(kept, self.shape))

    def apply(self, x: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None) -> Any:
        """Return ``kept ? x * size(x) / number kept : +0``: the forward pass, and with a gradient the backward pass.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> mask = simdrop.BlockMask((1, 1, 2, 2), 1, simdrop.Mask((1, 1, 2, 2), 0.5, seed=42))
        >>> mask.apply(np.ones((1, 1, 2, 2)))[0, 0]
        array([[2., 2.],
               [0., 0.]])
        """
        return self._applied("x", x, out, threads)

    def backward(  # type: ignore[override]
        self, grad: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None
    ) -> Any:
        """Return the gradient of the input, `apply` of that of the result.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> mask = simdrop.BlockMask((1, 1, 2, 2), 1, simdrop.Mask((1, 1, 2, 2), 0.5, seed=42))
        >>> mask.backward(np.ones((1, 1, 2, 2)))[0, 0]
        array([[2., 2.],
               [0., 0.]])
        """
        return self._applied("grad", grad, out, threads)

    def _applied(self, name: str, x: ArrayLike, out: ArrayLike | None, threads: int | None) -> Any:
        require_shape(name, _core.shape_of(x, name), self.shape, "the mask")
        if not self.seeds.p:
            return copied(x, out, threads, name)
        return _core.drop_blocks(x, out, *self._blocks(), threads, name)

    def _blocks(self) -> _Blocks:
        """Return what says where blocks lie: the shape, their size, and the numbers of the seeds."""
        seeds = self.seeds
        return self.shape, self.size, seeds.shape, *seeds._numbers, seeds._steps
