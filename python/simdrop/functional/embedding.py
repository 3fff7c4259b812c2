"""Dropout of words: whole rows of an embedding."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, SupportsFloat, TypedDict, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._arrays import as_floats, as_ndarray, sum_dtype
from simdrop._drawn import Drawn, drawn_value
from simdrop._mask import Mask, drawn_mask
from simdrop._rng import RNG, as_source
from simdrop._shapes import require_rank
from simdrop._types import ArrayLike, No, T, Yes

if TYPE_CHECKING:
    from typing_extensions import Unpack

Array = NDArray[Any]
Integers = NDArray[np.integer[Any]]
Result = TypeVar("Result")

_SUMMED = (np.float32, np.float64)  # by the extension


class _Options(TypedDict, total=False):
    rng: RNG
    training: bool
    threads: int | None


@drawn_value
class EmbeddingDrawn(Drawn):
    """What `embedding_dropout` did: ``y[i] = kept[w] ? weight[w] * scale : +0`` with ``w = indices[i]``.

    Parameters
    ----------
    mask : Mask
        One element for each word; in inference with ``p = 0``.
    scale : float, keyword only
        See above.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.embedding_dropout(np.array([0, 2]), np.ones((4, 1)), 0.5, rng=42, return_drawn=True)[1]
    simdrop.EmbeddingDrawn(simdrop.Mask((4,), 0.5, seed=42, stream=0, offset=0), scale=2.0)
    """

    mask: Mask
    scale: float = field(default=1.0, kw_only=True)

    def backward(  # type: ignore[override]
        self, grad: ArrayLike, indices: Integers, *, threads: int | None = None
    ) -> Array:
        """Return the gradient of `weight`: the sum over the places where a word stands.

        Parameters
        ----------
        grad : array
            Gradient of the result, of shape ``indices.shape + (width,)``.
        indices : ndarray of int
            As in the forward pass.
        threads : int, keyword only
            As for `dropout`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> drawn = simdrop.EmbeddingDrawn(simdrop.Mask(4, 0.5, seed=42), scale=2.0)
        >>> drawn.backward(np.ones((3, 1)), np.array([0, 2, 0]))
        array([[4.],
               [0.],
               [0.],
               [0.]])
        """
        grad = as_floats("grad", grad)
        indices = _as_indices(indices)
        if grad.shape[:-1] != indices.shape:
            raise ValueError(f"grad: got shape {grad.shape}; accepted: {indices.shape} and the width")
        mask = self.mask
        if grad.dtype in _SUMMED and mask._steps is None and mask.ndim == 1:
            rows = np.ascontiguousarray(grad).reshape(indices.size, grad.shape[-1])
            return _within(
                _core.embed_backward(rows, indices, mask.size, *mask._numbers, self.scale, threads), indices, mask.size
            )
        total = np.zeros((mask.size, grad.shape[-1]), sum_dtype(grad.dtype))
        if indices.size and not (indices.min() >= 0 and indices.max() < mask.size):
            _within(None, indices, mask.size)
        kept = mask.keep(threads=threads)[indices]
        np.add.at(total, indices[kept], _scaled(grad[kept], self.scale, threads).astype(total.dtype, copy=False))
        return total.astype(grad.dtype, copy=False)


@overload
def embedding_dropout(
    indices: Integers,
    weight: NDArray[T],
    p: SupportsFloat = ...,
    *,
    return_drawn: No = ...,
    **options: Unpack[_Options],
) -> NDArray[T]: ...
@overload
def embedding_dropout(
    indices: Integers, weight: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_Options]
) -> tuple[NDArray[T], EmbeddingDrawn]: ...
@overload
def embedding_dropout(
    indices: Integers,
    weight: ArrayLike,
    p: SupportsFloat = ...,
    *,
    return_drawn: bool = ...,
    **options: Unpack[_Options],
) -> Any: ...
def embedding_dropout(
    indices: Integers,
    weight: ArrayLike,
    p: SupportsFloat = 0.1,
    *,
    rng: RNG = None,
    training: bool = True,
    return_drawn: bool = False,
    threads: int | None = None,
) -> Any:
    """Look up rows of an embedding of which some are dropped: ``y[i] = kept[w] ? weight[w] / q : +0``, w = indices[i].

    A word is dropped everywhere in the batch or nowhere [1]_. Only the rows that are looked up are read.

    Parameters
    ----------
    indices : ndarray of int
        Of any shape, from 0 to ``len(weight) - 1``.
    weight : ndarray
        (words, width).
    p : float
        Probability of dropping a word, from 0 to 1.
    rng, training, threads
        As for `dropout`: word w is element w of the mask, whatever the width.
    return_drawn : bool, keyword only
        Also return an `EmbeddingDrawn`; ``drawn.backward(gradient, indices)`` is the gradient of `weight`.

    Returns
    -------
    ndarray, shape ``indices.shape + (width,)``, or (ndarray, EmbeddingDrawn)

    Raises
    ------
    TypeError, ValueError
        As `dropout`; also ValueError if `weight` does not have 2 dimensions.
    IndexError
        If an index is out of range.

    References
    ----------
    .. [1] Y. Gal, Z. Ghahramani, NIPS 2016, and S. Merity et al., "Regularizing and optimizing LSTM language models"
       (AWD-LSTM), ICLR 2018.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.embedding_dropout(np.array([0, 2, 1]), np.ones((4, 2)), 0.5, rng=42)
    array([[2., 2.],
           [0., 0.],
           [2., 2.]])
    """
    weight = as_floats("weight", weight)
    require_rank("weight", weight.shape, (2,), "(words, width)")
    indices = _as_indices(indices)
    if training:
        source = as_source(rng)
    else:
        _core.threshold(p)
        source, p = 0, 0.0
    rows, numbers, scale = _within(_core.embed(weight, indices, p, source, threads), indices, len(weight))
    return (rows, EmbeddingDrawn(drawn_mask((len(weight),), numbers), scale=scale)) if return_drawn else rows


def _scaled(rows: Array, scale: float, threads: int | None) -> Array:
    """Scale rows in place, as kept elements are."""
    return np.asarray(Mask(rows.shape, 0.0, seed=0).select(rows, scale=scale, out=rows, threads=threads))


def _as_indices(indices: Any) -> Integers:
    found = as_ndarray("indices", indices)
    if found.dtype.kind not in "iu":
        raise TypeError(f"indices: got dtype {found.dtype}; accepted: integers")
    return found


def _within(result: Result | None, indices: Integers, words: int) -> Result:
    """Return what the extension made of the indices; None if one of them was out of range."""
    if result is None:
        raise IndexError(f"indices: got {indices.min()} to {indices.max()}; accepted: 0 to {words - 1}")
    return result
