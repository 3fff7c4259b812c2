"""Concrete dropout: a relaxed mask that has a gradient for p."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from simdrop import _core
from simdrop._rng import RNG, as_stream

Array = NDArray[Any]


class ConcreteMask:
    """A relaxed mask as a value: a few numbers, from which the weights can be computed again.

    Element ``i`` uses ``u = (w + 1/2) / 2^32`` with ``w`` word i of `random_bits`.

    Examples
    --------
    >>> import simdrop
    >>> simdrop.ConcreteMask((3,), 0.5, 0.1, seed=42).shape
    (3,)
    """

    __slots__ = ("_numbers",)

    _numbers: tuple[tuple[int, ...], float, float, int, int]

    def __init__(self, shape: tuple[int, ...], p: float, temperature: float, *, seed: int, stream: int = 0) -> None:
        self._numbers = (tuple(shape), p, temperature, seed, stream)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays it applies to."""
        return self._numbers[0]

    @property
    def p(self) -> float:
        """The drop probability."""
        return self._numbers[1]

    def relaxed(self) -> NDArray[np.float64]:
        """Return z, how much of each element is dropped, between 0 and 1.

        Examples
        --------
        >>> import simdrop
        >>> simdrop.ConcreteMask((3,), 0.5, 0.1, seed=42).relaxed().round(4)
        array([1.e-04, 0.e+00, 1.e+00])
        """
        shape, p, temperature, seed, stream = self._numbers
        if p in (0.0, 1.0):
            return np.full(shape, p)
        words = _core.plane_words(math.prod(shape), _core.RANDOM_BITS_PLANE, seed, stream, None)
        u = (words.reshape(shape) + 0.5) / 2.0**32
        logit = np.log(p) - np.log1p(-p) + np.log(u) - np.log1p(-u)
        return np.asarray(0.5 * (1 + np.tanh(logit / (2 * temperature))))  # the logistic function, without overflow

    def apply(self, x: Array) -> Array:
        """Return ``x (1 - z) / (1 - p)`` in the type of `x`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.ConcreteMask((3,), 0.5, 0.1, seed=42).apply(np.ones(3)).round(4)
        array([1.9997, 2.    , 0.    ])
        """
        self._require_shape("x", x)
        if self.p == 0:
            return np.array(x)
        if self.p == 1:
            return np.asarray(np.zeros_like(x))
        return np.asarray((x * ((1 - self.relaxed()) / (1 - self.p))).astype(x.dtype))

    def backward(self, grad: Array, x: Array) -> tuple[Array, float]:
        """Return the gradients for `x` and for p.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.ConcreteMask((2,), 0.0, 0.1, seed=42).backward(np.ones(2), np.ones(2))
        (array([1., 1.]), 2.0)
        """
        self._require_shape("grad", grad)
        self._require_shape("x", x)
        _, p, temperature, _, _ = self._numbers
        if p == 1:
            return np.zeros_like(grad), 0.0
        z = self.relaxed()
        slope = z * (1 - z) / (temperature * p * (1 - p)) if p else 0.0  # of z for p
        by_p = (1 - z) / (1 - p) ** 2 - slope / (1 - p)
        return self.apply(grad), float(np.sum(grad * x * by_p))

    def _require_shape(self, name: str, x: Array) -> None:
        if np.shape(x) != self.shape:
            raise ValueError(f"{name}: got shape {np.shape(x)}; accepted: that of the mask, {self.shape}")

    def __eq__(self, other: object) -> bool:
        return self._numbers == other._numbers if isinstance(other, ConcreteMask) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __repr__(self) -> str:
        shape, p, temperature, seed, stream = self._numbers
        return f"simdrop.ConcreteMask({shape}, {p!r}, {temperature!r}, seed={seed}, stream={stream})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _concrete_mask, self._numbers


def _concrete_mask(shape: tuple[int, ...], p: float, temperature: float, seed: int, stream: int) -> ConcreteMask:
    """Make a mask from what its pickle holds; the name and the arguments are part of the format."""
    return ConcreteMask(shape, p, temperature, seed=seed, stream=stream)


def concrete_dropout(
    x: Array,
    p: SupportsFloat = 0.1,
    *,
    temperature: float = 0.1,
    rng: RNG = None,
    training: bool = True,
    return_mask: bool = False,
) -> Any:
    """Multiply each element by a relaxed mask, which can be differentiated by `p`.

    With ``u`` uniform, ``z = sigmoid((log p - log(1 - p) + log u - log(1 - u)) / temperature)`` and
    ``y = x (1 - z) / (1 - p)`` [1]_. For temperature 0 this would be dropout.

    Parameters
    ----------
    x : ndarray
        Of any shape; float16, float32 or float64. The weights are computed in double precision by NumPy, whose
        logarithm may differ in the last bit between machines.
    p : float
        Drop probability, from 0 to 1. With ``p = 0`` the bits are unchanged, with ``p = 1`` all is +0 and has no
        gradient.
    temperature : float, keyword only
        Above 0.
    rng : keyword only
        As for `dropout`.
    training : bool, keyword only
        False for inference: `x` unchanged, nothing is drawn.
    return_mask : bool, keyword only
        Also return the `ConcreteMask`; ``mask.backward(gradient, x)`` gives the gradients for `x` and `p`.

    Returns
    -------
    ndarray, or (ndarray, ConcreteMask)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    References
    ----------
    .. [1] Y. Gal, J. Hron, A. Kendall, "Concrete dropout", NIPS 2017.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> simdrop.concrete_dropout(np.ones(3), 0.5, rng=42).round(4)
    array([1.9997, 2.    , 0.    ])
    """
    _core.threshold(p)
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature!r}; accepted: a number above 0")
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        raise TypeError("x: accepted: a NumPy array of float16, float32 or float64")
    if training:
        stream = as_stream(rng)
        mask = ConcreteMask(x.shape, float(p), float(temperature), seed=stream.seed, stream=stream.next())
    else:
        mask = ConcreteMask(x.shape, 0.0, float(temperature), seed=0)
    result = mask.apply(x)
    return (result, mask) if return_mask else result
