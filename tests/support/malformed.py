"""Generated calls of which at least one argument is wrong: each must raise a Python exception and change nothing.

    python malformed.py COUNT [SEED] [--trace]

A call starts as a valid one; one or two of its arguments are then exchanged for something that the function must refuse
and can recognise. (A pointer that lies about its memory cannot be recognised by anyone, so there is none here.) With
``--trace`` every call is shown before it is made: the last line before a crash is the culprit.
"""

from __future__ import annotations

import collections
import ctypes
import decimal
import faulthandler
import functools
import random
import sys
import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import simdrop
from broken_tensors import Tensor, deleted
from malformed_inputs import (
    Interface,
    N,
    bad_integer,
    bad_memory,
    bad_output,
    bad_p,
    bad_rng,
    bad_scaling,
    bad_shape,
    bad_state,
    bad_threads,
)

Maker = Callable[[random.Random], Any]

# What a malformed call may raise. SystemError and RuntimeError would be a binding that lost track.
EXPECTED = (
    TypeError, ValueError, OverflowError, IndexError, BufferError, AttributeError, MemoryError, KeyError,
    ZeroDivisionError, decimal.DecimalException,
)  # fmt: skip


class Campaign:
    """Valid calls, and what may be wrong in each argument of them."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)
        self.arrays = [np.arange(1, N + 1).astype(d) for d in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)]
        self.before = [x.tobytes() for x in self.arrays]
        self.stream = simdrop.Stream(5, 7)
        self.mask = simdrop.Mask(N, 0.3, seed=1)
        bad_keywords: dict[str, Maker] = {"rng": bad_rng, "threads": bad_threads}
        memory_keywords = {**bad_keywords, "scaling": bad_scaling}
        # function, its valid positional arguments with what may be wrong in each, and its keywords
        self.calls: list[Any] = []
        for x in self.arrays:
            out: Maker = functools.partial(bad_output, x)
            self.calls += [
                (simdrop.dropout, [(x, bad_memory), (0.5, bad_p)], {**memory_keywords, "out": out}),
                (self.infer, [(x, bad_memory), (0.5, bad_p)], {"threads": bad_threads, "out": out}),
                (simdrop.dropout_, [(x, bad_memory), (0.5, bad_p)], memory_keywords),
                (self.mask.apply, [(x, bad_memory)], {"threads": bad_threads, "scaling": bad_scaling, "out": out}),
                (self.mask.apply_, [(x, bad_memory)], {"threads": bad_threads, "scaling": bad_scaling}),
            ]
            plain: dict[str, Maker] = {**bad_keywords, "out": out}
            for member in (
                simdrop.alpha_dropout,
                simdrop.attention_dropout,
                simdrop.gaussian_dropout,
                simdrop.drop_path,
            ):
                self.calls.append((member, [(x, bad_memory), (0.5, bad_p)], plain))
            self.calls += [
                (simdrop.zoneout, [(x, bad_memory), (x[::-1], bad_memory), (0.5, bad_p)], plain),
                (simdrop.bias_dropout_add, [(x, bad_memory), (x, bad_memory), (x, bad_memory), (0.5, bad_p)], plain),
                (simdrop.weight_drop, [(x, bad_memory), (0.5, bad_p)], bad_keywords),
            ]
        integers = dict.fromkeys(("seed", "stream", "offset"), bad_integer)
        self.calls += [
            (self.make_mask, [(3, bad_shape), (0.5, bad_p)], integers),
            (simdrop.bernoulli, [(0.5, bad_p), (9, bad_shape)], bad_keywords),
            (simdrop.random_bits, [(9, bad_shape)], bad_keywords),
            (simdrop.Stream, [(1, bad_integer), (2, bad_integer)], {}),
            (self.stream.restore, [((1, 2), bad_state)], {}),
            (self.stream.spawn, [(1, bad_integer)], {}),
            (self.mask.keep, [], {"threads": bad_threads}),
            (self.mask.packed, [], {"threads": bad_threads}),
            (self.mask.count_kept, [], {"threads": bad_threads}),
            (simdrop.set_num_threads, [(1, bad_threads)], {}),
            (simdrop.use_isa, [("scalar", bad_scaling)], {}),
            (self.mask.__getitem__, [(0, self.bad_index)], {}),
        ]

    @staticmethod
    def bad_index(pick: random.Random) -> Any:
        odd: list[Any] = [slice(0, 5, 0), slice("a", None), slice(None, 1.5)]
        return pick.choice([*odd, None, 1.0, "a", (0, 0), N, -N - 1, 2**70])

    @staticmethod
    def infer(x: Any, p: Any, **keywords: Any) -> Any:
        return simdrop.dropout(x, p, training=False, **keywords)

    @staticmethod
    def make_mask(shape: Any, p: Any, **numbers: Any) -> Any:
        return simdrop.Mask(shape, p, **{"seed": 1, **numbers})

    def make(self) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
        function, positional, keywords = self.pick.choice(self.calls)
        arguments = [valid for valid, _ in positional]
        given: dict[str, Any] = {}
        places: list[int | str] = [*range(len(positional)), *keywords]
        for place in self.pick.sample(places, min(len(places), self.pick.choice([1, 1, 1, 2]))):
            if isinstance(place, int):
                arguments[place] = positional[place][1](self.pick)
            else:
                given[place] = keywords[place](self.pick)
                if place == "rng" and given[place] is None:
                    given[place] = "none"
        if self.pick.random() < 0.01:
            given["no_such_keyword"] = 1
        return function, arguments, given

    def changed(self) -> bool:
        same = all(x.tobytes() == b for x, b in zip(self.arrays, self.before, strict=True))
        return not same or self.stream.state != (5, 7)


def shown(value: Any) -> str:
    if isinstance(value, Interface):
        return shown(value.__array_interface__)
    if isinstance(value, Tensor):
        return f"DLPack, way {value.way}"
    try:
        return repr(value)[:200]
    except BaseException:
        return f"<{type(value).__name__}>"


def main(count: int, seed: int = 1, trace: bool = False) -> int:
    faulthandler.enable()
    warnings.simplefilter("ignore")
    isa = simdrop.active_isa()
    threads = simdrop.get_num_threads()
    campaign = Campaign(seed)
    raised: collections.Counter[str] = collections.Counter()
    wrong = 0
    for number in range(count):
        function, arguments, keywords = campaign.make()
        tensors = [v for v in (*arguments, *keywords.values()) if isinstance(v, Tensor)]
        deleted.clear()
        if trace:
            print(
                number, function, [shown(a) for a in arguments], {k: shown(v) for k, v in keywords.items()}, flush=True
            )
        problem = ""
        try:
            function(*arguments, **keywords)
            problem = "was accepted"
        except EXPECTED as error:
            raised[type(error).__name__] += 1
        except Exception as error:
            problem = f"raised {type(error).__name__}: {error}"
        if len(deleted) != len(set(deleted)) or not set(deleted) <= {ctypes.addressof(t.managed) for t in tensors}:
            problem += "; a tensor was released twice"
        if campaign.changed():
            problem += "; something changed"
            campaign = Campaign(seed + number)
        if simdrop.active_isa() != isa or simdrop.get_num_threads() != threads:
            problem += "; a setting changed"
            simdrop.use_isa(isa)
            simdrop.set_num_threads(None)
        if problem:
            wrong += 1
            if wrong <= 20:
                print(f"call {number}: {function} {[shown(a) for a in arguments]} {keywords.keys()} "
                      f"{[shown(v) for v in keywords.values()]} {problem}")  # fmt: skip
    print(f"{count} malformed calls, {wrong} not refused properly; raised: {dict(raised.most_common())}")
    return 1 if wrong else 0


if __name__ == "__main__":
    count, seed = ([int(a) for a in sys.argv[1:] if a != "--trace"] + [1])[:2]
    sys.exit(main(count, seed, "--trace" in sys.argv))
