"""Shapes: of masks, and of the smaller arrays of bits that some masks are made from."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Final, SupportsIndex, TypeAlias

from simdrop import _core

Shape: TypeAlias = "SupportsIndex | Sequence[SupportsIndex]"
NoiseShape: TypeAlias = "Sequence[SupportsIndex | None] | None"
Dims: TypeAlias = "SupportsIndex | Sequence[SupportsIndex]"

NO_DIMS: Final = ()  # the default, known by identity: a call with few elements counts every comparison


def as_shape(name: str, shape: Shape) -> tuple[int, ...]:
    """Return a shape as a tuple of lengths, each at least 0."""
    return _core.as_shape(name, shape)


def as_dims(name: str, dims: Dims) -> tuple[int, ...]:
    """Return dimensions, of which a single one may be given as an integer, as a tuple."""
    try:
        return (operator.index(dims),)  # type: ignore[arg-type]
    except TypeError:
        try:
            if isinstance(dims, str | bytes | bytearray):
                raise TypeError
            return tuple(operator.index(d) for d in dims)  # type: ignore[union-attr]
        except TypeError:
            raise TypeError(
                f"{name}: got {_core.shown(dims)}; accepted: an integer or a sequence of integers"
            ) from None


def shares_bits(noise_shape: NoiseShape, broadcast_dims: Dims) -> bool:
    """Return whether `noise_shape` or `broadcast_dims` is anything but its default."""
    return noise_shape is not None or type(broadcast_dims) is not tuple or bool(broadcast_dims)


def as_noise_shape(
    shape: tuple[int, ...], noise_shape: NoiseShape = None, broadcast_dims: Dims = ()
) -> tuple[int, ...]:
    """Return the shape of the bits of a mask: its own lengths, and 1 along dimensions that share a bit.

    `noise_shape` is Keras' argument (1 is shared, None copies the length), `broadcast_dims` Flax' (the dimensions
    that share); at most one of them may be given.
    """
    dims = as_dims("broadcast_dims", broadcast_dims)
    if noise_shape is None:
        for d in dims:
            if not -len(shape) <= d < len(shape):
                raise ValueError(f"broadcast_dims: got {d}; accepted: a dimension of the shape {shape}")
        shared = {d % len(shape) for d in dims}
        return tuple(1 if d in shared else n for d, n in enumerate(shape))
    if dims:
        raise ValueError(f"broadcast_dims: got {dims}; accepted: nothing beside noise_shape, which says the same")
    try:
        given = tuple(None if n is None else operator.index(n) for n in noise_shape)
    except TypeError:
        raise TypeError(
            f"noise_shape: got {_core.shown(noise_shape)}; accepted: a sequence of integers and None"
        ) from None
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
