"""The next mask of a stream, applied: what the members of the family have in common."""

from __future__ import annotations

from typing import Any, SupportsFloat

from simdrop import _core
from simdrop._mask import Mask, Scaling
from simdrop._rng import RNG, as_stream


def next_mask(
    x: Any,
    p: SupportsFloat,
    rng: RNG,
    noise_shape: tuple[int, ...] | None = None,
    *,
    out: Any = None,
    scaling: Scaling = "inverted",
    values: tuple[float, float, float] | None = None,
    return_mask: bool = False,
    threads: int | None = None,
) -> Any:
    """Draw the next mask of `rng` and apply it: return the result, and the mask if it is wanted.

    `values` are the scale, shift and dropped value of `Mask.select`; by default those of `scaling`. The stream moves
    last: a call that fails draws nothing.
    """
    shape = _core.shape_of(x)
    bits = shape if noise_shape is None else noise_shape
    if values is None:
        values = (kept_factor(p, scaling), 0.0, 0.0)
    stream = as_stream(rng)
    result, number = _core.select(x, out, p, stream, *values, threads, shape, bits)
    if not return_mask:
        return result
    return result, Mask(shape, p, seed=stream.seed, stream=number, noise_shape=bits)


def kept_factor(p: SupportsFloat, scaling: Scaling = "inverted") -> float:
    """Return what kept elements are multiplied with, as `Mask.factor` does without a mask."""
    kept = 2**40 - _core.threshold(p)
    if scaling not in ("inverted", "classic"):
        raise ValueError(f"scaling: got {scaling!r}; accepted: 'inverted' or 'classic'")
    return 1.0 if scaling == "classic" or not kept else 2**40 / kept


def nothing_dropped(x: Any) -> Mask:
    """Return the mask of inference."""
    return Mask(_core.shape_of(x), 0.0, seed=0)


def infer(x: Any, out: Any = None, threads: int | None = None) -> Any:
    """Return `x` in `out` or a new array, the bits unchanged."""
    return _core.infer(x, out, 0.0, "inverted", threads)
