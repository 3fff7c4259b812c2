"""DropBlock: contiguous blocks of feature maps are dropped."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._draw import infer
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream
from simdrop._shapes import require_rank


class BlockMask:
    """Which blocks of an array (N, C, ...) are dropped, as a value: a few numbers.

    A block of ``size`` elements along each spatial dimension starts where an element of `seeds` is dropped. `seeds`
    is a `Mask` with one element for each place where a whole block fits: the shape of the array with ``size - 1``
    fewer along each spatial dimension, and with 1 channel if channels are shared.

    Examples
    --------
    >>> import simdrop
    >>> simdrop.BlockMask((1, 1, 3, 3), 2, simdrop.Mask((1, 1, 2, 2), 0.3, seed=2)).keep()[0, 0]
    array([[ True,  True,  True],
           [ True, False, False],
           [ True, False, False]])
    """

    __slots__ = ("_numbers",)

    _numbers: tuple[tuple[int, ...], int, Mask]

    def __init__(self, shape: tuple[int, ...], size: int, seeds: Mask) -> None:
        self._numbers = (shape, size, seeds)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays it applies to."""
        return self._numbers[0]

    @property
    def size(self) -> int:
        """Side of a block."""
        return self._numbers[1]

    @property
    def seeds(self) -> Mask:
        """The mask whose dropped elements are the first elements of the blocks."""
        return self._numbers[2]

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
        return np.array(np.broadcast_to(~self._dropped(threads), self.shape))

    def apply(self, x: Any, *, out: Any = None, threads: int | None = None) -> Any:
        """Return ``kept ? x * size(x) / number kept : +0``: the forward pass, and with a gradient the backward pass.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> mask = simdrop.BlockMask((1, 1, 2, 2), 1, simdrop.Mask((1, 1, 2, 2), 0.5, seed=42))
        >>> mask.apply(np.ones((1, 1, 2, 2)))[0, 0]
        array([[2., 2.],
               [0., 0.]])
        """
        shape = _core.shape_of(x)
        if shape != self.shape:
            raise ValueError(f"x: got shape {shape}; accepted: that of the mask, {self.shape}")
        dropped = self._dropped(threads)
        kept = dropped.size - int(np.count_nonzero(dropped))
        scale = dropped.size / kept if kept else 1.0
        result = Mask(shape, 0.0, seed=0).select(x, scale=scale, out=out, threads=threads)
        target = np.asarray(result)
        np.copyto(target, target.dtype.type(0), where=dropped)
        return result

    def _dropped(self, threads: int | None) -> NDArray[np.bool_]:
        """Return where blocks lie, with 1 channel if channels are shared."""
        lengths = (*self.seeds.shape[:2], *self.shape[2:])
        dropped = np.zeros(lengths, np.bool_)
        if self.seeds.size:
            starts = ~self.seeds.keep(threads=threads)
            if self.seeds.p * self.size ** (len(lengths) - 2) < 1:
                _place(dropped, starts, self.size)
            else:
                dropped[tuple(slice(0, n) for n in self.seeds.shape)] = starts
                for axis in range(2, len(lengths)):
                    _widen(dropped, axis, self.size)
        return dropped

    def __eq__(self, other: object) -> bool:
        return self._numbers == other._numbers if isinstance(other, BlockMask) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __repr__(self) -> str:
        return f"simdrop.BlockMask({self.shape}, {self.size}, {self.seeds})"

    def __reduce__(self) -> tuple[Any, ...]:
        return BlockMask, self._numbers


def drop_block2d(
    x: Any,
    p: SupportsFloat = 0.1,
    block_size: SupportsIndex = 7,
    *,
    gamma_scale: SupportsFloat = 1.0,
    shared_channels: bool = False,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Drop square blocks of feature maps, so that about a share `p` of the elements is dropped.

    A block starts at each place where it fits with probability

        gamma = gamma_scale * p / block_size^2 * H W / ((H - block_size + 1) (W - block_size + 1))

    and what remains is normalised: ``y = kept ? x * (number of elements) / (number kept) : +0`` [1]_. Blocks overlap,
    so the share is a little below `p`. A block size above H or W is cut to the smaller of them.

    Parameters
    ----------
    x : array
        (N, C, H, W).
    p : float
        Share of elements to drop, from 0 to 1. With ``p = 0`` the bits are unchanged. Gamma is at most 1.
    block_size : int
        Side of a block.
    gamma_scale : float, keyword only
        A factor for gamma, as in timm.
    shared_channels : bool, keyword only
        The same blocks for all channels of a sample.
    rng, out, training, threads
        As for `dropout`: the starts of blocks are the dropped elements of a `Mask` with ``p = gamma``. In inference
        `x` is returned unchanged and nothing is drawn.
    return_mask : bool, keyword only
        Also return the `BlockMask`; ``mask.apply(gradient)`` is the backward pass.

    Returns
    -------
    array, or (array, BlockMask)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError for a block size of 0 or an array of other dimensions.

    References
    ----------
    .. [1] G. Ghiasi, T.-Y. Lin, Q. V. Le, "DropBlock: a regularization method for convolutional networks", NeurIPS
       2018; torchvision's ``drop_block2d`` and timm's, whose gammas are the same.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.drop_block2d(np.ones((1, 1, 4, 4)), 0.3, 2, rng=6)[0, 0].round(2)
    array([[1.33, 1.33, 1.33, 1.33],
           [1.33, 0.  , 0.  , 1.33],
           [1.33, 0.  , 0.  , 1.33],
           [1.33, 1.33, 1.33, 1.33]])
    """
    return _drop_block(2, x, p, block_size, gamma_scale, shared_channels, rng, out, training, return_mask, threads)


def drop_block3d(
    x: Any,
    p: SupportsFloat = 0.1,
    block_size: SupportsIndex = 3,
    *,
    gamma_scale: SupportsFloat = 1.0,
    shared_channels: bool = False,
    rng: RNG = None,
    out: Any = None,
    training: bool = True,
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Drop cubes of feature volumes: `drop_block2d` for (N, C, D, H, W), with the third power of the block size.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> y, mask = simdrop.drop_block3d(np.ones((2, 3, 6, 6, 6)), 0.2, 3, rng=42, return_mask=True)
    >>> round(mask.keep().mean(), 2)
    np.float64(0.79)
    """
    return _drop_block(3, x, p, block_size, gamma_scale, shared_channels, rng, out, training, return_mask, threads)


def _drop_block(
    spatial: int,
    x: Any,
    p: SupportsFloat,
    block_size: SupportsIndex,
    gamma_scale: SupportsFloat,
    shared_channels: bool,
    rng: RNG,
    out: Any,
    training: bool,
    return_mask: bool,
    threads: int | None,
) -> Any:
    shape = _core.shape_of(x)
    require_rank("x", shape, (spatial + 2,), "(N, C, H, W)" if spatial == 2 else "(N, C, D, H, W)")
    size = _core.unsigned_integer("block_size", block_size, 2**32)
    if size == 0:
        raise ValueError("block_size: got 0; accepted: 1 and above")
    _core.threshold(p)
    sides = shape[2:]
    size = min(size, *sides) or 1
    places = tuple(max(0, n - size + 1) for n in sides)
    full = float(p) * float(gamma_scale) * math.prod(sides)
    gamma = min(1.0, full / (size**spatial * math.prod(places))) if math.prod(places) else 0.0
    if not gamma >= 0:
        raise ValueError(f"gamma_scale: got {gamma_scale!r}; accepted: 0 and above")
    bits = (shape[0], 1 if shared_channels else shape[1], *places)
    if training:
        stream = as_stream(rng)
        blocks = BlockMask(shape, size, Mask(bits, gamma, seed=stream.seed, stream=stream.next()))
    else:
        blocks = BlockMask(shape, size, Mask(bits, 0.0, seed=0))
    result = blocks.apply(x, out=out, threads=threads) if training and gamma else infer(x, out, threads)
    return (result, blocks) if return_mask else result


def _place(dropped: NDArray[np.bool_], starts: NDArray[np.bool_], size: int) -> None:
    """Set a block at each start, one by one: the quicker way when there are few."""
    steps = [stride // dropped.itemsize for stride in dropped.strides]
    first = np.ravel_multi_index(np.nonzero(starts), dropped.shape)
    within = np.indices((size,) * (dropped.ndim - 2)).reshape(dropped.ndim - 2, -1)
    for offset in np.tensordot(steps[2:], within, axes=1):
        dropped.reshape(-1)[first + offset] = True


def _widen(dropped: NDArray[np.bool_], axis: int, size: int) -> None:
    """Spread True over the `size - 1` places that follow along `axis`, doubling the reach each time."""
    along = np.moveaxis(dropped, axis, 0)
    reach = 1
    while reach < size:
        step = min(reach, size - reach)
        along[step:] |= along[:-step].copy()
        reach += step
