"""Types of the compiled module (cpp/bindings/module.cpp and the bind_*.cpp beside it)."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, SupportsFloat, SupportsIndex, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

_Result = TypeVar("_Result")

MASK_FORMAT: Final[int]
INDEX_BITS: Final[int]
DTYPES: Final[tuple[str, ...]]
LARGE_PAGE_BYTES: Final[int]
xla_dropout: Final[Any]  # a capsule
RANDOM_BITS_PLANE: Final[int]
NORMAL_INDEX_BITS: Final[int]

class Stream:
    def __init__(self, seed: SupportsIndex, stream: SupportsIndex = 0) -> None: ...
    @property
    def seed(self) -> int: ...
    @property
    def stream(self) -> int: ...
    @property
    def state(self) -> tuple[int, int]: ...
    def next(self) -> int: ...
    def spawn(self, n: SupportsIndex) -> list[Stream]: ...
    def restore(self, state: Sequence[SupportsIndex]) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: None  # type: ignore[assignment]
    def __reduce__(self) -> tuple[type[Stream], tuple[int, int]]: ...

def available_isas() -> tuple[str, ...]: ...
def active_isa() -> str: ...
def use_isa(name: str) -> None: ...
def cpu_name() -> str: ...
def cache_bytes() -> int: ...
def in_usual_mode(function: Callable[..., _Result], *arguments: Any) -> _Result: ...
def check_threads(threads: SupportsIndex | None) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: SupportsIndex | None) -> None: ...
def threshold(p: SupportsFloat, name: str = "p") -> int: ...
def kept_scale(p: SupportsFloat, scaling: Literal["inverted", "classic"], training: bool = True) -> float: ...
def unsigned_integer(name: str, value: SupportsIndex, last: int, first: int = 0) -> int: ...
def as_shape(name: str, shape: SupportsIndex | Sequence[SupportsIndex]) -> tuple[int, ...]: ...
def mask_numbers(
    shape: SupportsIndex | Sequence[SupportsIndex],
    p: SupportsFloat,
    seed: SupportsIndex,
    stream: SupportsIndex,
    offset: SupportsIndex,
) -> tuple[tuple[int, ...], tuple[float, int, int, int]]: ...
def draw_shared(
    x: Any,
    out: Any,
    p: SupportsFloat,
    source: Stream | int,
    scaling: str,
    values: tuple[float, float, float] | None,
    threads: int | None,
    noise_shape: tuple[int, ...],
    return_numbers: bool,
    name: str = "x",
) -> Any: ...
def embed(
    weight: NDArray[Any], indices: NDArray[Any], p: SupportsFloat, source: Stream | int, threads: int | None
) -> tuple[NDArray[Any], tuple[float, int, int, int], float] | None: ...
def embed_backward(
    grad: NDArray[Any],
    indices: NDArray[Any],
    words: int,
    p: float,
    seed: int,
    stream: int,
    offset: int,
    scale: float,
    threads: int | None,
) -> NDArray[Any] | None: ...
def token_places(
    samples: int, tokens: int, kept: int, prefix: int, ordered: bool, seed: int, stream: int, flat: bool
) -> NDArray[np.intp]: ...
def shown(value: object) -> str: ...
def check_operands(x: Any, out: Any, threads: int | None) -> None: ...
def shape_of(x: Any, name: str = "x") -> tuple[int, ...]: ...
@overload
def draw(
    x: Any,
    out: Any,
    p: SupportsFloat,
    stream: Stream | int,
    scaling: str,
    threads: int | None,
    return_numbers: Literal[False],
) -> Any: ...
@overload
def draw(
    x: Any,
    out: Any,
    p: SupportsFloat,
    stream: Stream | int,
    scaling: str,
    threads: int | None,
    return_numbers: Literal[True],
) -> tuple[Any, tuple[int, ...], tuple[float, int, int, int], float]: ...
def apply(
    x: Any,
    out: Any,
    p: SupportsFloat,
    seed: int,
    stream: int,
    offset: int,
    scaling: str,
    threads: int | None,
    shape: tuple[int, ...],
) -> Any: ...
def dropout_pointers(
    x: int,
    y: int,
    n: int,
    dtype: int,
    threads: int,
    p: float,
    seed: int,
    stream: int,
    scale: float,
    shift: float,
    dropped: float,
    offset: int = 0,
) -> None: ...
def dropout_window_pointers(
    x: int,
    y: int,
    shape: tuple[int, ...],
    steps: tuple[int, ...],
    dtype: int,
    threads: int,
    p: float,
    seed: int,
    stream: int,
    scale: float,
    shift: float,
    dropped: float,
    offset: int = 0,
) -> None: ...
def is_small(exchange: Any, x: Any) -> bool: ...
def drop_small(exchange: Any, like: Callable[[Any], Any], x: Any, p: float, seed: int) -> Any: ...
def ask_for_large_pages(address: int, bytes: int) -> None: ...
def pointer_calls() -> int: ...
def infer(x: Any, out: Any, p: SupportsFloat, scaling: str, threads: int | None, name: str = "x") -> Any: ...

# `steps` are those of the index along the dimensions of a window; None is C order.
def keep_bytes(
    shape: tuple[int, ...],
    p: SupportsFloat,
    seed: int,
    stream: int,
    offset: int,
    steps: tuple[int, ...] | None,
    invert: bool,
    threads: int | None,
) -> NDArray[np.bool_]: ...
def keep_bits(
    shape: tuple[int, ...],
    p: SupportsFloat,
    seed: int,
    stream: int,
    offset: int,
    steps: tuple[int, ...] | None,
    invert: bool,
    threads: int | None,
) -> NDArray[np.uint8]: ...
def count_kept(
    shape: tuple[int, ...],
    p: SupportsFloat,
    seed: int,
    stream: int,
    offset: int,
    steps: tuple[int, ...] | None,
    threads: int | None,
) -> int: ...
def drop_blocks(
    x: Any,
    out: Any,
    shape: tuple[int, ...],
    size: int,
    seed_shape: tuple[int, ...],
    p: SupportsFloat,
    seed: int,
    stream: int,
    offset: int,
    steps: tuple[int, ...] | None,
    threads: int | None,
    name: str = "x",
) -> Any: ...
def block_bytes(
    shape: tuple[int, ...],
    size: int,
    seed_shape: tuple[int, ...],
    p: SupportsFloat,
    seed: int,
    stream: int,
    offset: int,
    steps: tuple[int, ...] | None,
    threads: int | None,
) -> NDArray[np.bool_]: ...
def plane_words(
    size: int, plane: int, seed: int, stream: int, threads: int | None, first: int = 0
) -> NDArray[np.uint32]: ...

# A stream, whose next number is taken, or (seed, stream number, offset). Those who take one return the number too.
_Source: TypeAlias = Stream | tuple[int, int, int]

def select(
    x: Any,
    out: Any,
    p: SupportsFloat,
    source: _Source,
    scale: float,
    shift: float,
    dropped: float,
    threads: int | None,
    shape: tuple[int, ...],
    steps: tuple[int, ...] | None,
    name: str = "x",
) -> tuple[Any, int]: ...
def bias_dropout_add(
    x: Any,
    bias: Any,
    residual: Any,
    out: Any,
    p: SupportsFloat,
    source: _Source,
    scale: float,
    threads: int | None,
    name: str = "x",
    residual_name: str = "residual",
) -> tuple[Any, int]: ...
def blend(
    state: Any, previous: Any, out: Any, p: SupportsFloat, source: _Source, threads: int | None
) -> tuple[Any, int]: ...
def noise(
    x: Any, out: Any, kind: int, sd: float, source: _Source, threads: int | None, name: str = "x"
) -> tuple[Any, int]: ...
