"""What several test files share: answer files, guarded arrays, comparison by bits, errors, lenders of memory."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from places import DATA

Scaling: TypeAlias = Literal["inverted", "classic"]

DTYPES = ("float16", "bfloat16", "float32", "float64")

# Every probability has a reason to be here.
PROBABILITIES: tuple[tuple[float, str], ...] = (
    (0.5, "one plane"),
    (0.25, "two planes, dropped where both are 0"),
    (0.75, "two planes, kept where both are 1"),
    (0.15625, "5/32: five planes, no tail"),
    (1 / 256, "exactly the lowest plane, no tail"),
    (0.1, "eight planes and the tail, T rounded up"),
    (0.2, "the tail, T rounded up"),
    (0.3, "the tail, T rounded down"),
    (0.9, "the tail, above one half"),
    (1e-3, "below the resolution of eight planes: T's planes are all 0"),
    (1 - 1e-3, "T's planes are all 1"),
    (2.0**-40, "the smallest threshold"),
    (1 - 2.0**-40, "the largest threshold below all"),
    (0.0, "nothing dropped"),
    (1.0, "everything dropped"),
)

# (p, T, why): where p * 2**40 is no integer, and where it is at an end.
THRESHOLDS: tuple[tuple[float, int, str], ...] = (
    (0.0, 0, "nothing dropped"),
    (1.0, 2**40, "all dropped"),
    (2.0**-41, 0, "a half goes to the even 0"),
    (1.5 * 2.0**-40, 2, "one and a half goes to the even 2"),
    (2.5 * 2.0**-40, 2, "two and a half goes to the even 2"),
    (0.5 + 2.0**-41, 2**39, "a half above an even number"),
    (0.5 + 3 * 2.0**-41, 2**39 + 2, "a half above an odd number"),
    (1 - 2.0**-41, 2**40, "half below the top goes to the even top"),
    (1 - 2.0**-53, 2**40, "the largest double below 1"),
    (float(np.nextafter(2.0**-41, 1)), 1, "just above a half"),
    (5e-324, 0, "the smallest double"),
    (0.1, 109951162778, "0.1 * 2**40 = 109951162777.6"),
)


class KnownAnswer(NamedTuple):
    counter: tuple[int, ...]
    key: tuple[int, int]
    output: tuple[int, ...]


def known_answers() -> list[KnownAnswer]:
    answers = []
    for line in (DATA / "philox_kat.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            w = [int(word, 16) for word in line.split()]
            answers.append(KnownAnswer(tuple(w[:4]), (w[4], w[5]), tuple(w[6:])))
    return answers


def golden_masks() -> list[dict[str, Any]]:
    return list(json.loads((DATA / "masks_v1.json").read_text())["cases"])


def golden_blocks() -> list[dict[str, Any]]:
    return list(json.loads((DATA / "masks_v1.json").read_text())["blocks"])


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def bits(x: NDArray[Any]) -> NDArray[Any]:
    """The elements of x in C order as unsigned integers, so that NaN and -0.0 compare like anything else."""
    return x.ravel(order="C").view(f"u{x.dtype.itemsize}")


def assert_same_bits(actual: Any, expected: NDArray[Any], message: object = "") -> None:
    assert isinstance(actual, np.ndarray), message
    assert actual.dtype == expected.dtype, message
    assert actual.shape == expected.shape, message
    a, e = bits(actual), bits(expected)
    wrong = np.flatnonzero(a != e)
    if wrong.size:
        i = int(wrong[0])
        raise AssertionError(f"{message}: {wrong.size} of {a.size} differ, first at {i}: {a[i]:#x} != {e[i]:#x}")


def any_bits(n: int, dtype: str, seed: int = 1) -> NDArray[Any]:
    """n elements with uniformly random bit patterns: NaN, infinities, subnormals and both zeros among them."""
    d = dtype_of(dtype)
    return np.random.default_rng(seed).integers(0, 256, n * d.itemsize, dtype=np.uint8).view(d)


def ordinary(n: int, dtype: str, seed: int = 1) -> NDArray[Any]:
    """n normal deviates."""
    return np.random.default_rng(seed).standard_normal(n).astype(dtype_of(dtype))


class Guarded:
    """A copy of ``values`` that starts ``byte_offset`` bytes after a 64-byte boundary, between guard bytes."""

    GUARD = 192  # three of the widest registers
    FILL = 0xA5

    def __init__(self, values: NDArray[Any], byte_offset: int = 0) -> None:
        self._bytes = np.full(2 * self.GUARD + 64 + byte_offset + values.nbytes, self.FILL, np.uint8)
        start = self.GUARD + byte_offset
        start += -(self._bytes.ctypes.data + self.GUARD) % 64
        self._inside = slice(start, start + values.nbytes)
        self._bytes[self._inside] = values.ravel(order="C").view(np.uint8)
        self.array: NDArray[Any] = self._bytes[self._inside].view(values.dtype).reshape(values.shape)

    def check(self, message: object = "") -> None:
        outside = np.delete(self._bytes, self._inside)
        assert np.all(outside == self.FILL), f"{message}: wrote outside the array"


Call = Callable[[], object]


def refused(call: Call, error: type[Exception] | tuple[type[Exception], ...], argument: str, *pieces: str) -> None:
    """``call`` raises ``error``; its message names ``argument`` and matches every one of ``pieces``."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert re.search(rf"\b{argument}\b", message), f"{argument} is not named: {message}"
    for piece in pieces:
        assert re.search(piece, message), f"{piece!r} is not in: {message}"
    assert len(message) < 400, "one clear message"


class OnlyInterface:
    """Nothing but ``__array_interface__``."""

    def __init__(self, x: NDArray[Any]) -> None:
        self._keep = x
        self.__array_interface__ = x.__array_interface__


class OnlyDLPack:
    """Nothing but DLPack, through NumPy's own."""

    def __init__(self, x: NDArray[Any]) -> None:
        self._keep = x

    def __dlpack__(self, **arguments: Any) -> Any:
        return self._keep.__dlpack__(**arguments)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._keep.__dlpack_device__()
        return device


def together(work: Any, count: int) -> None:
    """Run ``work(k)`` in ``count`` threads that start together, and pass on what they raise."""
    start = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(k: int) -> None:
        try:
            start.wait()
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
