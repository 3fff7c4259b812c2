"""Bad arguments: one clear error that names the argument, what came and what is accepted, and no memory is touched."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import Call, assert_same_bits, ordinary, refused
from numpy.typing import NDArray


def x32() -> NDArray[np.float32]:
    return np.asarray(ordinary(100, "float32"))


BAD_P: tuple[tuple[Any, type[Exception], str], ...] = (
    (1.5, ValueError, r"1\.5"),
    (-0.1, ValueError, r"-0\.1"),
    (float(np.nextafter(1, 2)), ValueError, r"1\.0000000000000002"),
    (-5e-324, ValueError, r"-5e-324"),
    (float("nan"), ValueError, "nan"),
    (float("inf"), ValueError, "inf"),
    (float("-inf"), ValueError, "-inf"),
    (2, ValueError, "2"),
    (10**400, ValueError, ""),  # an int that no double holds
    (None, TypeError, "None"),
    ("0.5", TypeError, "str"),
    ([0.5], TypeError, "list"),
    (0.5j, TypeError, "complex"),
    (np.array([0.5, 0.5]), TypeError, "ndarray"),
)


@pytest.mark.parametrize(("p", "error", "came"), BAD_P, ids=lambda v: repr(v)[:24])
def test_p(p: Any, error: type[Exception], came: str) -> None:
    x, out = x32(), np.full(100, 7, np.float32)
    before = x.copy()
    accepted = r"0.{1,8}1"
    calls: tuple[Call, ...] = (
        lambda: simdrop.dropout(x, p, rng=1),
        lambda: simdrop.dropout(x, p, rng=1, out=out),
        lambda: simdrop.dropout(x, p, training=False),
        lambda: simdrop.dropout_(x, p, rng=1),
        lambda: simdrop.Mask(3, p, seed=1),
        lambda: simdrop.bernoulli(p, 3, rng=1),
    )
    for call in calls:
        refused(call, error, "p", came, accepted)
    np.testing.assert_array_equal(x, before)
    assert np.all(out == 7)


@pytest.mark.parametrize("p", [0, 1, -0.0, np.float32(0.5), np.float64(0.5), np.int64(1), np.array(0.5)], ids=repr)
def test_p_that_is_accepted(p: Any) -> None:
    assert simdrop.Mask(3, p, seed=1).p == float(p)


BAD_NUMBERS: tuple[tuple[Any, type[Exception], str], ...] = (
    (-1, ValueError, "-1"),
    (2**64, ValueError, "18446744073709551616"),
    (2**64 + 1, ValueError, "18446744073709551617"),
    (-(2**70), ValueError, str(-(2**70))),
    (1.0, TypeError, "float"),
    ("1", TypeError, "str"),
    (1j, TypeError, "complex"),
)


@pytest.mark.parametrize(("value", "error", "came"), BAD_NUMBERS, ids=lambda v: repr(v)[:24])
def test_seed_and_stream(value: Any, error: type[Exception], came: str) -> None:
    refused(lambda: simdrop.Mask(3, 0.5, seed=value), error, "seed", came)
    refused(lambda: simdrop.Mask(3, 0.5, seed=1, stream=value), error, "stream", came)
    refused(lambda: simdrop.Stream(value), error, "seed", came)
    if value != 2**64:  # the state of a stream whose numbers are used up
        refused(lambda: simdrop.Stream(1, value), error, "stream", came)
    x = x32()
    before = x.copy()
    if not isinstance(value, int) or value < 0:  # larger ones go through SeedSequence: test_rng.py
        refused(lambda: simdrop.dropout(x, 0.5, rng=value), error, "rng", came)
        refused(lambda: simdrop.dropout_(x, 0.5, rng=value), error, "rng", came)
        refused(lambda: simdrop.bernoulli(0.5, 3, rng=value), error, "rng", came)
        refused(lambda: simdrop.random_bits(3, rng=value), error, "rng", came)
    np.testing.assert_array_equal(x, before)
    stream = simdrop.Stream(3, 4)
    refused(lambda: stream.restore((value, 0)), error, "(state|seed)", came)
    if value != 2**64:
        refused(lambda: stream.restore((0, value)), error, "(state|stream)", came)
    assert stream.state == (3, 4), "a refused state changes nothing"


@pytest.mark.parametrize("value", [None, 5, (1,), (1, 2, 3), "ab"], ids=repr)
def test_state(value: Any) -> None:
    stream = simdrop.Stream(3, 4)
    refused(lambda: stream.restore(value), (TypeError, ValueError), "(state|seed)")
    assert stream.state == (3, 4)


@pytest.mark.parametrize(
    ("offset", "size", "error", "came"),
    [
        (-1, 1, ValueError, "-1"),
        (2**58, 1, ValueError, str(2**58)),
        (2**58 - 10, 11, ValueError, str(2**58 - 10)),
        (2**64, 0, ValueError, str(2**64)),
        (0.0, 1, TypeError, "float"),
    ],
)
def test_offset(offset: Any, size: int, error: type[Exception], came: str) -> None:
    refused(lambda: simdrop.Mask(size, 0.5, seed=1, offset=offset), error, "offset", came)


def test_the_last_offset_is_accepted() -> None:
    assert simdrop.Mask(10, 0.5, seed=1, offset=2**58 - 10).keep().size == 10


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        (-1, ValueError),
        ((3, -2), ValueError),
        ((2**40, 2**40), ValueError),
        ((2**64,), ValueError),
        (1.5, TypeError),
        ("3", TypeError),
        (None, TypeError),
        ((2, 2.0), TypeError),
    ],
    ids=str,
)
def test_shape_and_size(shape: Any, error: type[Exception]) -> None:
    refused(lambda: simdrop.Mask(shape, 0.5, seed=1), error, "shape")
    refused(lambda: simdrop.bernoulli(0.5, shape, rng=1), error, "size")
    refused(lambda: simdrop.random_bits(shape, rng=1), error, "size")


@pytest.mark.parametrize("scaling", ["Inverted", "", "none"])
def test_scaling(scaling: str) -> None:
    x = x32()
    before = x.copy()
    mask = simdrop.Mask(100, 0.5, seed=1)
    calls: tuple[Call, ...] = (
        lambda: simdrop.dropout(x, 0.5, rng=1, scaling=scaling),  # type: ignore[call-overload]
        lambda: simdrop.dropout_(x, 0.5, rng=1, scaling=scaling),  # type: ignore[call-overload]
        lambda: simdrop.dropout(x, 0.5, training=False, scaling=scaling),  # type: ignore[call-overload]
        lambda: mask.apply(x, scaling=scaling),  # type: ignore[call-overload]
        lambda: mask.apply_(x, scaling=scaling),  # type: ignore[arg-type]
    )
    for call in calls:
        refused(call, ValueError, "scaling", re.escape(repr(scaling)), "inverted", "classic")
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("threads", "error"), [(0, ValueError), (-2, ValueError), (1.0, TypeError), ("2", TypeError)], ids=repr
)
def test_threads(threads: Any, error: type[Exception]) -> None:
    x = x32()
    before, count = x.copy(), simdrop.get_num_threads()
    mask = simdrop.Mask(100, 0.5, seed=1)
    calls: tuple[Call, ...] = (
        lambda: simdrop.dropout(x, 0.5, rng=1, threads=threads),
        lambda: simdrop.dropout_(x, 0.5, rng=1, threads=threads),
        lambda: mask.apply(x, threads=threads),
        lambda: mask.apply_(x, threads=threads),
        lambda: mask.keep(threads=threads),
        lambda: mask.packed(threads=threads),
        lambda: mask.count_kept(threads=threads),
        lambda: simdrop.bernoulli(0.5, 9, rng=1, threads=threads),
        lambda: simdrop.random_bits(9, rng=1, threads=threads),
    )
    for call in calls:
        refused(call, error, "threads", "from 1 to 4096")
    refused(lambda: simdrop.set_num_threads(threads), error, "(n|threads)")
    np.testing.assert_array_equal(x, before)
    assert simdrop.get_num_threads() == count


@pytest.mark.parametrize("name", ["sse9", "", "AVX2", "avx512 "])
def test_isa(name: str) -> None:
    before = simdrop.active_isa()
    refused(lambda: simdrop.use_isa(name), ValueError, "name|isa|instruction set", re.escape(repr(name)), "scalar")
    assert simdrop.active_isa() == before


def test_mask_index() -> None:
    mask = simdrop.Mask((3, 4), 0.5, seed=1)
    refused(lambda: mask[3], IndexError, "index", "3")
    refused(lambda: mask[-4], IndexError, "index", "-4", "3")
    with pytest.raises(ValueError, match="other than 0"):
        mask[::0]
    wrong: Any
    for wrong in (1.0, "a", None, [0, 1]):
        with pytest.raises(TypeError):
            mask[wrong]
    scalar = simdrop.Mask((), 0.5, seed=1)
    with pytest.raises(TypeError):
        len(scalar)
    with pytest.raises((IndexError, TypeError)):
        scalar[0]


def test_spawn_count() -> None:
    stream = simdrop.Stream(1)
    refused(lambda: stream.spawn(-1), ValueError, "n", "-1")
    refused(lambda: stream.spawn(1.5), TypeError, "n", "float")  # type: ignore[arg-type]
    assert stream.state == (1, 0)


class Changing:
    """A number that is another one, or an error, each time it is asked."""

    def __init__(self, *answers: float | BaseException) -> None:
        self._answers = list(answers)

    def __float__(self) -> float:
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_what_interrupts_the_conversion_of_a_number_arrives(error: type[BaseException]) -> None:
    # Fraction.__float__, say, is Python code, where Ctrl-C may come.
    with pytest.raises(error):
        simdrop.dropout(x32(), Changing(error()), rng=1)


def test_p_is_read_once() -> None:
    # So that what is returned beside the result belongs to it, and nothing fails after the memory has been written.
    p = Changing(0.5, ZeroDivisionError())
    y, drawn = simdrop.dropout(x32(), p, rng=1, return_drawn=True)
    assert (drawn.mask.p, drawn.scale) == (0.5, 2.0)
    assert_same_bits(drawn.mask.apply(x32()), y)


def test_a_refused_call_takes_no_number() -> None:
    # Otherwise a caught error would shift every later mask.
    stream = simdrop.Stream(1, 5)
    x = x32()
    fixed = x32()
    fixed.flags.writeable = False
    calls: tuple[Call, ...] = (
        lambda: simdrop.dropout(x, 1.5, rng=stream),
        lambda: simdrop.dropout_(fixed, 0.5, rng=stream),
        lambda: simdrop.dropout(x, 0.5, rng=stream, out=np.zeros(3, np.float32)),
        lambda: simdrop.dropout(np.arange(3), 0.5, rng=stream),
        lambda: simdrop.dropout(x, 0.5, rng=stream, threads=0),
        lambda: simdrop.bernoulli(0.5, -1, rng=stream),
    )
    for call in calls:
        with pytest.raises((TypeError, ValueError)):
            call()
    assert stream.state == (1, 5)
