"""Dropout of tokens: rows of an embedding, patches of an image."""

from __future__ import annotations

from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._mask import Mask
from simdrop._rng import RNG, as_stream
from simdrop._shapes import require_rank

Array = NDArray[Any]


def embedding_dropout(
    indices: NDArray[np.integer[Any]],
    weight: Array,
    p: SupportsFloat = 0.1,
    *,
    rng: RNG = None,
    training: bool = True,
    return_mask: bool = False,
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
    rng, training
        As for `dropout`: word w is element w of the mask, whatever the width.
    return_mask : bool, keyword only
        Also return the `Mask`, of shape (words,), for `embedding_dropout_backward`.

    Returns
    -------
    ndarray, shape ``indices.shape + (width,)``, or (ndarray, Mask)

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
    _require_embedding(indices, weight)
    _core.threshold(p)
    rows = weight[indices]
    if training:
        stream = as_stream(rng)
        mask = Mask(len(weight), p, seed=stream.seed, stream=stream.next())
        rows = _masked_rows(rows, mask, indices)
    else:
        mask = Mask(len(weight), 0.0, seed=0)
    return (rows, mask) if return_mask else rows


def embedding_dropout_backward(grad: Array, indices: NDArray[np.integer[Any]], mask: Mask) -> Array:
    """Return the gradient of `embedding_dropout` for `weight`: the sum over the places where a word stands.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> mask = simdrop.Mask(4, 0.5, seed=42)
    >>> simdrop.embedding_dropout_backward(np.ones((3, 1)), np.array([0, 2, 0]), mask)
    array([[4.],
           [0.],
           [0.],
           [0.]])
    """
    total = np.zeros((mask.size, grad.shape[-1]), grad.dtype)
    np.add.at(total, indices, _masked_rows(grad, mask, indices))
    return total


def _masked_rows(rows: Array, mask: Mask, indices: NDArray[np.integer[Any]]) -> Array:
    kept = mask.keep()[indices]
    scaled = Mask(rows.shape, 0.0, seed=0).select(rows, scale=mask.factor())
    scaled[~kept] = 0
    return np.asarray(scaled)


def _require_embedding(indices: Array, weight: Array) -> None:
    require_rank("weight", np.shape(weight), (2,), "(words, width)")
    if not np.issubdtype(np.asarray(indices).dtype, np.integer):
        raise TypeError(f"indices: got dtype {np.asarray(indices).dtype}; accepted: integers")


class TokenMask:
    """Which tokens of each sample stay, as a value: a few numbers.

    Each token gets a uniform 32-bit word (`random_bits`: word ``n * tokens + t`` of the stream, prefix tokens not
    counted); those with the smallest words stay, the earlier one where two are equal.

    Examples
    --------
    >>> import simdrop
    >>> simdrop.TokenMask(1, 6, 3, seed=42) == simdrop.TokenMask(1, 6, 3, seed=42)
    True
    """

    __slots__ = ("_numbers",)

    _numbers: tuple[int, int, int, int, bool, int, int]

    def __init__(
        self, samples: int, tokens: int, kept: int, *, prefix: int = 0, ordered: bool = True, seed: int, stream: int = 0
    ) -> None:
        self._numbers = (samples, tokens, kept, prefix, ordered, seed, stream)

    def indices(self) -> NDArray[np.intp]:
        """Return the tokens that stay, (samples, prefix + kept): the prefix, then the others.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.TokenMask(2, 6, 3, seed=42).indices()
        array([[0, 1, 5],
               [1, 2, 5]])
        """
        samples, tokens, kept, prefix, ordered, seed, stream = self._numbers
        words = _core.plane_words(samples * tokens, _core.RANDOM_BITS_PLANE, seed, stream, None)
        keys = words.reshape(samples, tokens).astype(np.uint64) << np.uint64(32)
        keys |= np.arange(tokens, dtype=np.uint64)  # the place decides between equal words
        keys.sort(axis=1)
        chosen = (keys[:, :kept] & np.uint64(2**32 - 1)).astype(np.intp) + prefix
        if ordered:
            chosen.sort(axis=1)
        first = np.broadcast_to(np.arange(prefix, dtype=np.intp), (samples, prefix))
        return np.concatenate([first, chosen], axis=1)

    def apply(self, x: Array) -> Array:
        """Return the tokens that stay: (samples, prefix + kept, ...).

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.TokenMask(1, 6, 3, seed=42).apply(np.arange(6.0).reshape(1, 6))
        array([[0., 1., 5.]])
        """
        self._require_shape("x", x, self._numbers[1] + self._numbers[3])
        return np.asarray(x[np.arange(self._numbers[0])[:, None], self.indices()])

    def backward(self, grad: Array) -> Array:
        """Return the gradient for all tokens: that of the tokens that stayed, and zeros.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.TokenMask(1, 6, 3, seed=42).backward(np.ones((1, 3)))
        array([[1., 1., 0., 0., 0., 1.]])
        """
        samples, tokens, kept, prefix, *_ = self._numbers
        self._require_shape("grad", grad, prefix + kept)
        whole = np.zeros((samples, prefix + tokens, *grad.shape[2:]), grad.dtype)
        whole[np.arange(samples)[:, None], self.indices()] = grad
        return whole

    def _require_shape(self, name: str, x: Array, tokens: int) -> None:
        if np.shape(x)[:2] != (self._numbers[0], tokens):
            raise ValueError(f"{name}: got shape {np.shape(x)}; accepted: ({self._numbers[0]}, {tokens}, ...)")

    def __eq__(self, other: object) -> bool:
        return self._numbers == other._numbers if isinstance(other, TokenMask) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __repr__(self) -> str:
        samples, tokens, kept, prefix, ordered, seed, stream = self._numbers
        return (
            f"simdrop.TokenMask({samples}, {tokens}, {kept}, prefix={prefix}, ordered={ordered}, "
            f"seed={seed}, stream={stream})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _token_mask, self._numbers


def _token_mask(samples: int, tokens: int, kept: int, prefix: int, ordered: bool, seed: int, stream: int) -> TokenMask:
    """Make a token mask from what its pickle holds; the name and the arguments are part of the format."""
    return TokenMask(samples, tokens, kept, prefix=prefix, ordered=ordered, seed=seed, stream=stream)


def patch_dropout(
    x: Array,
    p: SupportsFloat = 0.5,
    *,
    num_prefix_tokens: SupportsIndex = 1,
    ordered: bool = True,
    rng: RNG = None,
    training: bool = True,
    return_mask: bool = False,
) -> Any:
    """Remove a fixed number of tokens of each sample at random, so that the rest of the network has less to do.

    Of L tokens ``max(1, int(L * (1 - p)))`` stay, in their order; nothing is scaled [1]_.

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
    return_mask : bool, keyword only
        Also return the `TokenMask`; ``mask.backward(gradient)`` is the backward pass. None in inference.

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
    if np.ndim(x) < 2 or np.shape(x)[1] < prefix:
        raise ValueError(f"x: got shape {np.shape(x)}; accepted: (N, tokens, ...) with at least {prefix} tokens")
    if not training:
        return (x, None) if return_mask else x
    samples, tokens = x.shape[0], x.shape[1] - prefix
    stream = as_stream(rng)
    kept = min(tokens, max(1, int(tokens * (1 - float(p)))))
    mask = TokenMask(
        samples, tokens, kept, prefix=prefix, ordered=bool(ordered), seed=stream.seed, stream=stream.next()
    )
    result = mask.apply(x)
    return (result, mask) if return_mask else result
