"""Types that several members share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar

import numpy as np

from simdrop._rng import RNG

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer


class _DLPack(Protocol):
    def __dlpack__(self, *, stream: Any = ...) -> Any: ...


class _ArrayInterface(Protocol):
    @property
    def __array_interface__(self) -> dict[str, Any]: ...


#: Whose memory can be taken without a copy: NumPy arrays, the buffer protocol, DLPack, ``__array_interface__``.
ArrayLike: TypeAlias = "NDArray[Any] | Buffer | _DLPack | _ArrayInterface"
ArrayT = TypeVar("ArrayT", bound=ArrayLike)
T = TypeVar("T", bound=np.generic)

# The two values of ``return_drawn``, on which the overloads depend.
No: TypeAlias = Literal[False]
Yes: TypeAlias = Literal[True]


class Options(TypedDict, total=False):
    """The keywords that nearly every member has."""

    rng: RNG
    out: ArrayLike | None
    training: bool
    threads: int | None
