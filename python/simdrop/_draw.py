"""The next mask of a stream, applied: what the members of the family have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat

from simdrop import _core
from simdrop._drawn import AffineDrawn
from simdrop._mask import Mask, Scaling
from simdrop._rng import RNG, as_stream
from simdrop._windows import of_noise

if TYPE_CHECKING:
    from simdrop._types import ArrayLike


def draw(
    x: ArrayLike,
    p: SupportsFloat,
    rng: RNG,
    noise_shape: tuple[int, ...],
    *,
    out: ArrayLike | None = None,
    training: bool = True,
    scaling: Scaling = "inverted",
    scale_kept: bool = True,
    values: tuple[float, float, float] | None = None,
    return_drawn: bool = False,
    threads: int | None = None,
    name: str = "x",
) -> Any:
    """Draw the next mask of `rng` and apply it, or infer: return the result, with what was done if that is wanted.

    `values` are scale, shift and dropped value of `Mask.select` while training; by default those of `scaling`, or
    without a scale unless `scale_kept`. The stream moves last: a call that fails draws nothing. `name` is what
    errors call `x`.
    """
    if not training:
        result = _core.infer(x, out, p, scaling, threads, name)
        return (result, inferred(_core.shape_of(x), p, scaling)) if return_drawn else result
    scale, shift, dropped = values or (kept_factor(p, scaling), 0.0, 0.0)
    if not scale_kept:
        scale = 1.0
    stream = as_stream(rng)
    shape = _core.shape_of(x, name)
    steps = of_noise(shape, noise_shape)
    result, number = _core.select(x, out, p, stream, scale, shift, dropped, threads, shape, steps, name)
    if not return_drawn:
        return result
    mask = Mask(shape, p, seed=stream.seed, stream=number, noise_shape=noise_shape)
    return result, AffineDrawn(mask, scale=scale, shift=shift, dropped=dropped)


def inferred(shape: tuple[int, ...], p: SupportsFloat, scaling: Scaling) -> AffineDrawn:
    """Return what inference does: nothing, or times ``q`` for classic scaling, which leaves +0 of all for ``q = 0``."""
    scale = _core.kept_scale(p, scaling, training=False)
    none = scaling == "classic" and keep_probability(p) == 0
    return AffineDrawn(Mask(shape, 1.0 if none else 0.0, seed=0), scale=scale)


def keep_probability(p: SupportsFloat) -> float:
    """Return the exact probability of keeping an element, as `Mask` has it."""
    return 1 - _core.threshold(p) / 2**40


def kept_factor(p: SupportsFloat, scaling: Scaling = "inverted") -> float:
    """Return what kept elements are multiplied with, as `Mask.factor` does without a mask."""
    return _core.kept_scale(p, scaling)


def copied(x: ArrayLike, out: ArrayLike | None = None, threads: int | None = None, name: str = "x") -> Any:
    """Return `x` in `out` or a new array, the bits unchanged."""
    return _core.infer(x, out, 0.0, "inverted", threads, name)
