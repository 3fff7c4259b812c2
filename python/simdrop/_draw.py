"""The next mask of a stream, applied: what the members of the family have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat

from simdrop import _core
from simdrop._core import Stream
from simdrop._drawn import AffineDrawn, affine_drawn
from simdrop._mask import Mask, Scaling, drawn_mask
from simdrop._rng import RNG, as_source
from simdrop._windows import canonical, of_noise

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
    if not scale_kept:
        values = (1.0, *(values or (1.0, 0.0, 0.0))[1:])
    source = rng if type(rng) is Stream else as_source(rng)
    if not return_drawn:
        return _core.draw_shared(x, out, p, source, scaling, values, threads, noise_shape, False, name)
    result, shape, numbers, scale = _core.draw_shared(
        x, out, p, source, scaling, values, threads, noise_shape, True, name
    )
    _, shift, dropped = values or (scale, 0.0, 0.0)
    steps = of_noise(shape, noise_shape)
    mask = drawn_mask(shape, numbers, None if steps is None else canonical(shape, steps))
    return result, affine_drawn(mask, scale, shift, dropped)


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
