"""Shapes: of masks, and of the smaller arrays of bits that some masks are made from."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex, TypeAlias

Shape: TypeAlias = "SupportsIndex | Sequence[SupportsIndex]"
NoiseShape: TypeAlias = "Sequence[SupportsIndex | None] | None"


def as_shape(name: str, shape: Shape) -> tuple[int, ...]:
    """Return a shape as a tuple of lengths, each at least 0."""
    try:
        lengths = (operator.index(shape),)  # type: ignore[arg-type]
    except TypeError:
        try:
            if isinstance(shape, bytes | bytearray):
                raise TypeError
            lengths = tuple(operator.index(n) for n in shape)  # type: ignore[union-attr, assignment]
        except TypeError:
            raise TypeError(f"{name}: got {shape!r}; accepted: an integer or a sequence of integers") from None
    if any(n < 0 for n in lengths):
        raise ValueError(f"{name}: got {shape!r}; accepted: lengths of 0 and above")
    return lengths


def as_noise_shape(
    shape: tuple[int, ...], noise_shape: NoiseShape = None, broadcast_dims: Sequence[SupportsIndex] = ()
) -> tuple[int, ...]:
    """Return the shape of the bits of a mask: its own lengths, and 1 along dimensions that share a bit.

    `noise_shape` is Keras' argument (1 is shared, None copies the length), `broadcast_dims` Flax' (the dimensions
    that share); at most one of them may be given.
    """
    try:
        dims = tuple(operator.index(d) for d in broadcast_dims)
    except TypeError:
        raise TypeError(f"broadcast_dims: got {broadcast_dims!r}; accepted: a sequence of integers") from None
    if noise_shape is None:
        for d in dims:
            if not -len(shape) <= d < len(shape):
                raise ValueError(f"broadcast_dims: got {d}; accepted: a dimension of the shape {shape}")
        shared = {d % len(shape) for d in dims}
        return tuple(1 if d in shared else n for d, n in enumerate(shape))
    if dims:
        raise ValueError("broadcast_dims: accepted: nothing beside noise_shape, which says the same")
    try:
        given = tuple(None if n is None else operator.index(n) for n in noise_shape)
    except TypeError:
        raise TypeError(f"noise_shape: got {noise_shape!r}; accepted: a sequence of integers and None") from None
    if len(given) != len(shape) or any(n not in (None, 1, length) for n, length in zip(given, shape, strict=False)):
        raise ValueError(
            f"noise_shape: got {given}; accepted: one entry for each length of {shape}, which is 1 (shared), "
            "None or the length itself"
        )
    return tuple(length if n is None else n for n, length in zip(given, shape, strict=True))


def require_rank(name: str, shape: tuple[int, ...], ranks: Sequence[int], meaning: str) -> None:
    """Refuse arrays of another number of dimensions than the given ones."""
    if len(shape) not in ranks:
        raise ValueError(f"{name}: got shape {shape}; accepted: {' or '.join(map(str, ranks))} dimensions, {meaning}")
