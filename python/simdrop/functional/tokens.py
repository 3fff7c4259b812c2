"""Dropout of tokens: rows of an embedding, patches of an image."""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._arrays import as_floats, as_ndarray
from simdrop._draw import kept_factor
from simdrop._drawn import Drawn, as_flag, checked, drawn_value
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream
from simdrop._shapes import require_rank
from simdrop._types import ArrayLike, No, T, Yes

if TYPE_CHECKING:
    from typing_extensions import Unpack

Array = NDArray[Any]
Integers = NDArray[np.integer[Any]]


class _Options(TypedDict, total=False):
    rng: RNG
    training: bool
    threads: int | None


class _PatchOptions(TypedDict, total=False):
    num_prefix_tokens: SupportsIndex
    ordered: bool
    rng: RNG
    training: bool


@drawn_value
class EmbeddingDrawn(Drawn):
    """What `embedding_dropout` did: ``y[i] = kept[w] ? weight[w] * scale : +0`` with ``w = indices[i]``.

    Parameters
    ----------
    mask : Mask
        One element for each word; in inference with ``p = 0``.
    scale : float, keyword only
        See above.
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
        indices = _as_indices(indices, self.mask.size)
        if grad.shape[:-1] != indices.shape:
            raise ValueError(f"grad: got shape {grad.shape}; accepted: {indices.shape} and the width")
        total = np.zeros((self.mask.size, grad.shape[-1]), grad.dtype)
        np.add.at(total, indices, _masked_rows(grad, self.mask, self.scale, indices, threads))
        return total


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
    indices = _as_indices(indices, len(weight))
    _core.check_threads(threads)
    scale = kept_factor(p)
    if training:
        stream = as_stream(rng)
        mask = Mask(len(weight), p, seed=stream.seed, stream=stream.next())
        rows = _masked_rows(weight[indices], mask, scale, indices, threads)
    else:
        mask, scale = Mask(len(weight), 0.0, seed=0), 1.0
        rows = weight[indices]
    return (rows, EmbeddingDrawn(mask, scale=scale)) if return_drawn else rows


def _masked_rows(rows: Array, mask: Mask, scale: float, indices: Integers, threads: int | None) -> Array:
    scaled = Mask(rows.shape, 0.0, seed=0).select(rows, scale=scale, threads=threads)
    scaled[~mask.keep(threads=threads)[indices]] = 0
    return np.asarray(scaled)


def _as_indices(indices: Any, words: int) -> Integers:
    found = as_ndarray("indices", indices)
    if not np.issubdtype(found.dtype, np.integer):
        raise TypeError(f"indices: got dtype {found.dtype}; accepted: integers")
    if found.size and not (found.min() >= 0 and found.max() < words):
        raise IndexError(f"indices: got {found.min()} to {found.max()}; accepted: 0 to {words - 1}")
    return found


@drawn_value
class TokenMask(Drawn):
    """Which tokens of each sample stay, as a value: a few numbers.

    Each token gets a uniform 32-bit word (`random_bits`: word ``n * tokens + t`` of the stream, prefix tokens not
    counted); those with the smallest words stay, the earlier one where two are equal.

    Examples
    --------
    >>> import simdrop
    >>> simdrop.TokenMask(1, 6, 3, seed=42) == simdrop.TokenMask(1, 6, 3, seed=42)
    True
    """

    samples: int
    tokens: int
    kept: int
    prefix: int = field(default=0, kw_only=True)
    ordered: bool = field(default=True, kw_only=True)
    seed: int = field(kw_only=True)
    stream: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        tokens = _core.unsigned_integer("tokens", self.tokens, 2**32 - 1)
        checked(
            self,
            samples=_core.unsigned_integer("samples", self.samples, 2**58),
            tokens=tokens,
            kept=_core.unsigned_integer("kept", self.kept, tokens),
            prefix=_core.unsigned_integer("prefix", self.prefix, 2**32),
            ordered=as_flag("ordered", self.ordered),
            seed=_core.unsigned_integer("seed", self.seed, 2**64 - 1),
            stream=_core.unsigned_integer("stream", self.stream, 2**64 - 1),
        )

    def indices(self) -> NDArray[np.intp]:
        """Return the tokens that stay, (samples, prefix + kept): the prefix, then the others.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.TokenMask(2, 6, 3, seed=42).indices()
        array([[0, 1, 5],
               [1, 2, 5]])
        """
        size, prefix = (self.samples, self.tokens), self.prefix
        if self.kept == self.tokens and self.ordered:  # all of them, as in inference
            return np.tile(np.arange(prefix + self.tokens, dtype=np.intp), (self.samples, 1))
        words = _core.plane_words(math.prod(size), _core.RANDOM_BITS_PLANE, self.seed, self.stream, None)
        keys = words.reshape(size).astype(np.uint64) << np.uint64(32)
        keys |= np.arange(self.tokens, dtype=np.uint64)  # the place decides between equal words
        keys.sort(axis=1)
        chosen = (keys[:, : self.kept] & np.uint64(2**32 - 1)).astype(np.intp) + prefix
        if self.ordered:
            chosen.sort(axis=1)
        first = np.broadcast_to(np.arange(prefix, dtype=np.intp), (self.samples, prefix))
        return np.concatenate([first, chosen], axis=1)

    def apply(self, x: Array) -> Array:
        """Return the tokens that stay: (samples, prefix + kept, ...).

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.TokenMask(1, 6, 3, seed=42).apply(np.arange(6.0).reshape(1, 6))
        array([[0., 1., 5.]])
        """
        self._require_shape("x", x, self.prefix + self.tokens)
        return np.asarray(x[np.arange(self.samples)[:, None], self.indices()])

    def backward(self, grad: Array) -> Array:  # type: ignore[override]
        """Return the gradient for all tokens: that of the tokens that stayed, and zeros.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.TokenMask(1, 6, 3, seed=42).backward(np.ones((1, 3)))
        array([[1., 1., 0., 0., 0., 1.]])
        """
        self._require_shape("grad", grad, self.prefix + self.kept)
        whole = np.zeros((self.samples, self.prefix + self.tokens, *grad.shape[2:]), grad.dtype)
        whole[np.arange(self.samples)[:, None], self.indices()] = grad
        return whole

    def _require_shape(self, name: str, x: Array, tokens: int) -> None:
        if as_ndarray(name, x).shape[:2] != (self.samples, tokens):
            raise ValueError(f"{name}: got shape {x.shape}; accepted: ({self.samples}, {tokens}, ...)")


@overload
def patch_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: No = ..., **options: Unpack[_PatchOptions]
) -> NDArray[T]: ...
@overload
def patch_dropout(
    x: NDArray[T], p: SupportsFloat = ..., *, return_drawn: Yes, **options: Unpack[_PatchOptions]
) -> tuple[NDArray[T], TokenMask]: ...
@overload
def patch_dropout(
    x: NDArray[Any], p: SupportsFloat = ..., *, return_drawn: bool = ..., **options: Unpack[_PatchOptions]
) -> Any: ...
def patch_dropout(
    x: NDArray[Any],
    p: SupportsFloat = 0.5,
    *,
    num_prefix_tokens: SupportsIndex = 1,
    ordered: bool = True,
    rng: RNG = None,
    training: bool = True,
    return_drawn: bool = False,
) -> Any:
    """Remove a fixed number of tokens of each sample at random, so that the rest of the network has less to do.

    Of L tokens ``max(1, floor(L * (1 - p)))`` stay, in their order; nothing is scaled [1]_.

    Parameters
    ----------
    x : ndarray
        (N, tokens, ...), any dtype.
    p : float
        Share of tokens to remove, from 0 to 1. With ``p = 1`` one token stays.
    num_prefix_tokens : int, keyword only
        Tokens at the beginning that always stay and are not counted, such as the class token.
    ordered : bool, keyword only
        False leaves the tokens that stay in random order.
    rng : keyword only
        As for `dropout`.
    training : bool, keyword only
        False for inference: all tokens stay, nothing is drawn.
    return_drawn : bool, keyword only
        Also return the `TokenMask`, whose `backward` gives the gradient.

    Returns
    -------
    ndarray, or (ndarray, TokenMask)

    Raises
    ------
    TypeError, ValueError
        If `p` is no probability, or `x` has fewer than 2 dimensions or fewer tokens than the prefix.

    References
    ----------
    .. [1] Y. Liu et al., "PatchDropout: economizing vision transformers using patch dropout", WACV 2023; timm's
       ``PatchDropout``.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x = np.arange(6.0).reshape(1, 6, 1)
    >>> simdrop.patch_dropout(x, 0.5, rng=1)[0, :, 0]
    array([0., 3., 4.])
    """
    _core.threshold(p)
    prefix = _core.unsigned_integer("num_prefix_tokens", num_prefix_tokens, 2**32)
    x = as_ndarray("x", x)
    if x.ndim < 2 or x.shape[1] < prefix:
        raise ValueError(f"x: got shape {x.shape}; accepted: (N, tokens, ...) with at least {prefix} tokens")
    samples, tokens = x.shape[0], x.shape[1] - prefix
    if training:
        share = 1 - float(p)  # as every p it is meant to 2**-40: 100 tokens and p = 0.9 leave 10, not 9.99...
        kept = min(tokens, max(1, math.floor(tokens * (share + 2.0**-40))))
        stream = as_stream(rng)
        mask = TokenMask(
            samples, tokens, kept, prefix=prefix, ordered=bool(ordered), seed=stream.seed, stream=stream.next()
        )
    else:
        mask = TokenMask(samples, tokens, tokens, prefix=prefix, seed=0)
    result = mask.apply(x)
    return (result, mask) if return_drawn else result
