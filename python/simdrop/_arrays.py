"""Arrays of members whose arithmetic is NumPy's: what the compiled members refuse by name, they refuse too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simdrop import _core

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_floats(name: str, x: Any, like: NDArray[Any] | None = None, of: str = "x") -> NDArray[Any]:
    """Return `x` as a NumPy array of float16, bfloat16, float32 or float64 without a copy; of the dtype of `like`."""
    _core.shape_of(x, name)
    values = np.asarray(x)
    if like is not None and values.dtype != like.dtype:
        raise ValueError(f"{name}: got dtype {values.dtype}; accepted: that of {of}, {like.dtype}")
    return values


def as_ndarray(name: str, x: Any) -> NDArray[Any]:
    """Return `x` itself, which must be a NumPy array; its dtype is of no account."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name}: got {_core.shown(x)} ({type(x).__name__}); accepted: a NumPy array")
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name}: got a numpy.ma.MaskedArray; accepted: arrays without a mask, such as its .filled(0)")
    return x


def require_shape(name: str, shape: tuple[int, ...], accepted: tuple[int, ...], of: str) -> None:
    """Refuse an array of another shape."""
    if shape != accepted:
        raise ValueError(f"{name}: got shape {shape}; accepted: that of {of}, {accepted}")


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return in what to add numbers of a dtype: a sum of 16-bit ones stops growing at 2**8 or 2**11 of them."""
    return np.promote_types(dtype, np.float32)


def summed(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the sum over the first dimension."""
    return np.asarray(rows.sum(axis=0, dtype=sum_dtype(rows.dtype))).astype(rows.dtype, copy=False)
