"""DropBlock: contiguous blocks of feature maps are dropped."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, overload

from numpy.typing import NDArray

from simdrop import _core
from simdrop._formulas import block_gamma
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream
from simdrop._shapes import require_rank
from simdrop._types import ArrayLike, No, Options, T, Yes
from simdrop.functional.block_mask import BlockMask

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Options(Options, total=False):
    gamma_scale: SupportsFloat
    shared_channels: bool


@overload
def drop_block2d(
    x: NDArray[T],
    p: SupportsFloat = ...,
    block_size: SupportsIndex = ...,
    *,
    return_drawn: No = ...,
    **options: Unpack[_Options],
) -> NDArray[T]: ...
@overload
def drop_block2d(
    x: NDArray[T],
    p: SupportsFloat = ...,
    block_size: SupportsIndex = ...,
    *,
    return_drawn: Yes,
    **options: Unpack[_Options],
) -> tuple[NDArray[T], BlockMask]: ...
@overload
def drop_block2d(
    x: ArrayLike,
    p: SupportsFloat = ...,
    block_size: SupportsIndex = ...,
    *,
    return_drawn: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
def drop_block2d(
    x: ArrayLike,
    p: SupportsFloat = 0.1,
    block_size: SupportsIndex = 7,
    *,
    gamma_scale: SupportsFloat = 1.0,
    shared_channels: bool = False,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
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
        the result is `x`, copied, and nothing is drawn.
    return_drawn : bool, keyword only
        Also return the `BlockMask`, whose `backward` gives the gradient.

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
    return _drop_block(2, x, p, block_size, gamma_scale, shared_channels, rng, out, training, return_drawn, threads)


@overload
def drop_block3d(
    x: NDArray[T],
    p: SupportsFloat = ...,
    block_size: SupportsIndex = ...,
    *,
    return_drawn: No = ...,
    **options: Unpack[_Options],
) -> NDArray[T]: ...
@overload
def drop_block3d(
    x: NDArray[T],
    p: SupportsFloat = ...,
    block_size: SupportsIndex = ...,
    *,
    return_drawn: Yes,
    **options: Unpack[_Options],
) -> tuple[NDArray[T], BlockMask]: ...
@overload
def drop_block3d(
    x: ArrayLike,
    p: SupportsFloat = ...,
    block_size: SupportsIndex = ...,
    *,
    return_drawn: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
def drop_block3d(
    x: ArrayLike,
    p: SupportsFloat = 0.1,
    block_size: SupportsIndex = 3,
    *,
    gamma_scale: SupportsFloat = 1.0,
    shared_channels: bool = False,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Drop cubes of feature volumes: `drop_block2d` for (N, C, D, H, W), with the third power of the block size.

    Parameters
    ----------
    x : array
        (N, C, D, H, W).
    p : float
        Share of elements to drop, from 0 to 1.
    block_size : int
        Side of a block; cut to the smallest side of `x`.
    gamma_scale : float, keyword only
        A factor for the probability that a block starts at a place.
    shared_channels : bool, keyword only
        The same blocks for all channels of a sample.
    rng, out, training, threads
        As for `dropout`; in inference the result is `x`, copied, and nothing is drawn.
    return_drawn : bool, keyword only
        Also return the `BlockMask`, whose `backward` gives the gradient.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> y, mask = simdrop.drop_block3d(np.ones((2, 3, 6, 6, 6)), 0.2, 3, rng=42, return_drawn=True)
    >>> round(float(mask.keep().mean()), 2)
    0.79
    """
    return _drop_block(3, x, p, block_size, gamma_scale, shared_channels, rng, out, training, return_drawn, threads)


def _drop_block(
    spatial: int,
    x: ArrayLike,
    p: SupportsFloat,
    block_size: SupportsIndex,
    gamma_scale: SupportsFloat,
    shared_channels: bool,
    rng: RNG,
    out: ArrayLike | None,
    training: bool,
    return_drawn: bool,
    threads: int | None,
) -> Any:
    shape = _core.shape_of(x)
    require_rank("x", shape, (spatial + 2,), "(N, C, H, W)" if spatial == 2 else "(N, C, D, H, W)")
    size = _core.unsigned_integer("block_size", block_size, 2**32, 1)
    _core.threshold(p)
    factor = float(gamma_scale)
    if not (factor >= 0 and isfinite(factor)):
        raise ValueError(f"gamma_scale: got {gamma_scale!r}; accepted: a finite number of 0 and above")
    sides = shape[2:]
    size = min(size, *sides) or 1
    bits = (shape[0], 1 if shared_channels else shape[1], *(max(0, n - size + 1) for n in sides))
    if training:
        _core.check_operands(x, out, threads)
        gamma = _core.in_usual_mode(block_gamma, float(p), size, sides, factor)
        stream = as_stream(rng)
        blocks = BlockMask(shape, size, Mask(bits, gamma, seed=stream.seed, stream=stream.next()))
    else:
        blocks = BlockMask(shape, size, Mask(bits, 0.0, seed=0))
    result = blocks.apply(x, out=out, threads=threads)
    return (result, blocks) if return_drawn else result
