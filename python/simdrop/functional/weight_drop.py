"""Dropout on the recurrent weights of a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat, overload

from numpy.typing import NDArray

from simdrop import _core
from simdrop._draw import draw
from simdrop._drawn import AffineDrawn
from simdrop._rng import RNG
from simdrop._shapes import require_rank
from simdrop._types import ArrayLike, No, Options, T, Yes

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _WeightOptions(Options, total=False):
    variational: bool


@overload
def weight_drop(
    weight: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_WeightOptions]
) -> NDArray[T]: ...
@overload
def weight_drop(
    weight: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_WeightOptions]
) -> tuple[NDArray[T], AffineDrawn]: ...
@overload
def weight_drop(
    weight: ArrayLike, p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_WeightOptions]
) -> Any: ...
def weight_drop(
    weight: ArrayLike,
    p: SupportsFloat = 0.5,
    *,
    rng: RNG = None,
    out: ArrayLike | None = None,
    training: bool = True,
    variational: bool = False,
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Return a recurrent weight matrix with elements dropped, to be used for a whole sequence.

    ``W' = M * W / q``: the mask is drawn once before the first time step, so that all steps share it [1]_.

    Parameters
    ----------
    weight : array
        (outputs, inputs).
    p, rng, out, training, threads
        As for `dropout`.
    variational : bool, keyword only
        Drop whole rows (outputs) instead of elements.
    return_drawn : bool, keyword only
        Also return an `AffineDrawn`, whose `backward` gives the gradient.

    Returns
    -------
    array, or (array, AffineDrawn)

    References
    ----------
    .. [1] S. Merity et al., "Regularizing and optimizing LSTM language models" (AWD-LSTM), ICLR 2018.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.weight_drop(np.ones((2, 4)), 0.5, rng=42)
    array([[2., 2., 0., 0.],
           [2., 0., 2., 0.]])
    """
    shape = _core.shape_of(weight, "weight")
    require_rank("weight", shape, (2,), "(outputs, inputs)")
    bits = (shape[0], 1) if variational else shape
    return draw(
        weight, p, rng, bits, out=out, training=training, return_drawn=return_drawn, threads=threads, name="weight"
    )
