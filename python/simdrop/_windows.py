"""The arithmetic of windows: which index of a mask each element of a part of it has.

Element ``i`` of a window has the index ``offset + sum(i_a * steps_a)``. A mask in C order, a slice of it, a transposed
one and one whose elements share bits (a step of 0) differ in these numbers only.
"""

from __future__ import annotations

import operator
from types import EllipsisType
from typing import SupportsIndex, TypeAlias

from simdrop import _core

Index: TypeAlias = "SupportsIndex | slice | EllipsisType | tuple[SupportsIndex | slice | EllipsisType, ...]"

_ACCEPTED = "integers, slices and Ellipsis, for at most as many dimensions as there are"


def c_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the steps of a mask of its own: the last dimension varies fastest."""
    steps, step = [], 1
    for n in reversed(shape):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))


def of_noise(shape: tuple[int, ...], noise_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the steps of a mask whose bits have a shape of their own, None if that is C order."""
    if noise_shape == shape:
        return None
    return tuple(0 if n == 1 else step for n, step in zip(noise_shape, c_order(noise_shape), strict=True))


def steps_of(shape: tuple[int, ...], noise_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the same steps, those of C order included."""
    return of_noise(shape, noise_shape) or c_order(shape)


def canonical(shape: tuple[int, ...], steps: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return one of the steps that mean the same, so that equal windows are equal numbers; None is C order."""
    plain = c_order(shape)
    if 0 in shape:
        return None
    same = tuple(own if n == 1 else step for n, own, step in zip(shape, plain, steps, strict=True))
    return None if same == plain else same


def as_steps(steps: object, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the argument `steps`, one integer for each dimension."""
    try:
        if isinstance(steps, str | bytes | bytearray):
            raise TypeError
        given = tuple(operator.index(step) for step in steps)  # type: ignore[attr-defined]
    except TypeError:
        raise TypeError(f"steps: got {_core.shown(steps)}; accepted: a sequence of integers") from None
    if len(given) != len(shape):
        raise ValueError(f"steps: got {given}; accepted: one for each dimension of the shape {shape}")
    return given


def checked(shape: tuple[int, ...], steps: tuple[int, ...], offset: int) -> tuple[int, ...] | None:
    """Return steps in their one form, if no index leaves the format."""
    if 0 not in shape:
        ways = [(n - 1) * step for n, step in zip(shape, steps, strict=True)]
        low = offset + sum(way for way in ways if way < 0)
        high = offset + sum(way for way in ways if way > 0)
        if low < 0 or high >= 1 << _core.INDEX_BITS:
            raise ValueError(
                f"steps: got {steps} for shape {shape} and offset {offset}, indices {low} to {high}; "
                "accepted: indices from 0 to 2**58 - 1"
            )
    return canonical(shape, steps)


def raveled(shape: tuple[int, ...], steps: tuple[int, ...] | None) -> tuple[int] | None:
    """Return the step of a flattened mask, which is even; None is C order."""
    if steps is None:
        return None
    last = next((step for n, step in zip(reversed(shape), reversed(steps), strict=True) if n != 1), 1)
    if canonical(shape, steps) != canonical(shape, tuple(last * own for own in c_order(shape))):
        raise ValueError(f"ravel: got a mask of shape {shape} and steps {steps}; accepted: even steps")
    return (last,)


def window(
    shape: tuple[int, ...], steps: tuple[int, ...], index: object
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return shape and steps of ``x[index]`` and how far its first element lies from that of the whole."""
    parts = index if isinstance(index, tuple) else (index,)
    named = [part for part in parts if part is not Ellipsis]
    if len(parts) - len(named) > 1 or len(named) > len(shape):
        raise IndexError(f"index: got {_core.shown(index)}; accepted: {_ACCEPTED} ({len(shape)}), one Ellipsis at most")
    at = next((d for d, part in enumerate(parts) if part is Ellipsis), len(parts))
    whole = [slice(None)] * (len(shape) - len(named))
    new_shape, new_steps, start = [], [], 0
    for part, n, step in zip([*parts[:at], *whole, *parts[at + 1 :]], shape, steps, strict=True):
        if isinstance(part, slice):
            first, length, stride = _slice(part, n)
            new_shape.append(length)
            new_steps.append(step * stride)
        else:
            first = _integer(part, n)
        start += first * step
    return tuple(new_shape), tuple(new_steps), 0 if 0 in new_shape else start


def _slice(part: slice, n: int) -> tuple[int, int, int]:
    try:
        places = range(*part.indices(n))
    except ValueError:
        raise ValueError(f"index: got {part}; accepted: slices of a step other than 0") from None
    except TypeError:
        raise TypeError(f"index: got {part}; accepted: slices of integers") from None
    return (places[0] if places else 0), len(places), places.step


def _integer(part: object, n: int) -> int:
    if part is None:
        raise TypeError(
            "index: got None; accepted: integers, slices and Ellipsis, because a mask has the dimensions of the array "
            "it applies to; index the array instead"
        )
    try:
        if isinstance(part, bool):
            raise TypeError
        place = operator.index(part)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"index: got {_core.shown(part)}; accepted: integers, slices and Ellipsis") from None
    if not -n <= place < n:
        raise IndexError(f"index: got {place}; accepted: {-n} to {n - 1}")
    return place % n


def axes_order(axes: tuple[object, ...], ndim: int) -> tuple[int, ...]:
    """Return the dimensions of a transposed mask, given as NumPy's `transpose` takes them."""
    if len(axes) == 1 and isinstance(axes[0], list | tuple):
        axes = tuple(axes[0])
    if not axes or axes == (None,):
        return tuple(reversed(range(ndim)))
    try:
        order = tuple(operator.index(axis) for axis in axes)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"axes: got {_core.shown(axes)}; accepted: integers") from None
    positive = tuple(axis + ndim if axis < 0 else axis for axis in order)
    if sorted(positive) != list(range(ndim)):
        raise ValueError(f"axes: got {order}; accepted: each dimension of {ndim} once")
    return positive
