"""Dropout of tokens, such as the patches of an image."""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._arrays import as_ndarray
from simdrop._drawn import Drawn, as_flag, checked, drawn_value
from simdrop._rng import RNG, as_source
from simdrop._types import No, T, Yes

if TYPE_CHECKING:
    from typing_extensions import Unpack

Array = NDArray[Any]


class _PatchOptions(TypedDict, total=False):
    num_prefix_tokens: SupportsIndex
    ordered: bool
    rng: RNG
    training: bool


@drawn_value
class TokenMask(Drawn):
    """Which tokens of each sample stay, as a value: a few numbers.

    Each token gets a uniform 32-bit word (`random_bits`: word ``n * tokens + t`` of the stream, prefix tokens not
    counted); those with the smallest words stay, the earlier one where two are equal.

    Parameters
    ----------
    samples, tokens, kept : int
        How many samples there are, tokens in each, and tokens that stay.
    prefix : int, keyword only
        Tokens before these, which always stay.
    ordered : bool, keyword only
        Whether those that stay keep their order.
    seed, stream : int, keyword only
        As for `Mask`.

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
        return _core.token_places(*self._numbers(), False)

    def apply(self, x: Array) -> Array:
        """Return the tokens that stay: (samples, prefix + kept, ...).

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.TokenMask(1, 6, 3, seed=42).apply(np.arange(6.0).reshape(1, 6))
        array([[0., 1., 5.]])
        """
        self._require_shape("x", x, self.prefix + self.tokens)
        return _taken(x, *self._numbers())

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

    def _numbers(self) -> tuple[int, int, int, int, bool, int, int]:
        return self.samples, self.tokens, self.kept, self.prefix, self.ordered, self.seed, self.stream

    def _require_shape(self, name: str, x: Array, tokens: int) -> None:
        if as_ndarray(name, x).shape[:2] != (self.samples, tokens):
            raise ValueError(f"{name}: got shape {x.shape}; accepted: ({self.samples}, {tokens}, ...)")


def _taken(x: Array, samples: int, tokens: int, kept: int, prefix: int, ordered: bool, seed: int, stream: int) -> Array:
    """Return the tokens of `x` that stay, by the numbers of a `TokenMask`."""
    contiguous = x.flags.c_contiguous
    places = _core.token_places(samples, tokens, kept, prefix, ordered, seed, stream, contiguous)
    if contiguous:  # one list of tokens, which NumPy takes fastest
        return np.asarray(x.reshape(samples * (prefix + tokens), *x.shape[2:]).take(places, axis=0))
    return np.asarray(x[np.arange(samples)[:, None], places])


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
        source = as_source(rng)
        seed, number = (source, 0) if isinstance(source, int) else (source.seed, source.next())
    else:
        kept, ordered, seed, number = tokens, True, 0, 0
    result = _taken(x, samples, tokens, kept, prefix, bool(ordered), seed, number)
    if not return_drawn:
        return result
    return result, TokenMask(samples, tokens, kept, prefix=prefix, ordered=bool(ordered), seed=seed, stream=number)
