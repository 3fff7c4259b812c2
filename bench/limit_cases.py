"""The targets of the project as data: each is a named case that sets simdrop against a reference.

A speed ratio is the reference's time over simdrop's, round by round: 1 is the speed of the reference. The limit of
in-place dropout is an in-place scaling of the same array, which reads and writes every byte once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from answers import fill
from contest import Array, Contestant, dtype_of
from contestants import gather
from scalings import threaded_scalings
from timing import Statement

MEMORY_P = (0.5, 0.25, 0.75, 0.1, 0.2, 0.3, 0.9)
SEED = 20240501


@dataclass(frozen=True)
class Sizes:
    """Numbers of elements: past the caches, within level 2, within the caches, of a packed mask, columns of a view."""

    memory: int = 64 << 20
    level2: int = 64 << 10
    cache: int = 1 << 20
    packed: int = 4 << 20
    columns: int = 1024


QUICK = Sizes(memory=1 << 20, packed=1 << 20)


@dataclass(frozen=True)
class Bench:
    """What the cases are built from."""

    simdrop: ModuleType
    threads: int
    sizes: Sizes
    peers: Mapping[str, Contestant] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The fastest instruction set of this machine."""
        return str(self.simdrop.available_isas()[0])

    def drop(
        self, x: Array, p: float, threads: int | None = 1, isa: str = "", out: Array | None = None, name: str = ""
    ) -> Statement:
        """Return simdrop's dropout of `x`, in place or into `out`, as a statement without a call of its own."""
        chosen, use_isa = isa or self.best, self.simdrop.use_isa
        scope = {"x": x, "out": out, "stream": self.simdrop.Stream(SEED)}
        scope |= {"dropout": self.simdrop.dropout, "dropout_": self.simdrop.dropout_}
        target = "dropout_(x" if out is None else "dropout(x"
        rest = ("" if threads is None else f", threads={threads}") + ("" if out is None else ", out=out")
        label = name or f"simdrop {chosen}" + ("" if threads in (None, 1) else f", {threads} threads")
        return Statement(label, f"{target}, {p}, rng=stream{rest})", scope, before=lambda: use_isa(chosen))


@dataclass(frozen=True)
class Duel:
    """Two sides of statements; where a side has several, the fastest one of them speaks for it."""

    ours: Sequence[Statement]
    reference: Sequence[Statement]
    elements: int
    bytes_moved: int = 0


Build: TypeAlias = Callable[[Bench], Duel]
Size: TypeAlias = Callable[[Sizes], int]


@dataclass(frozen=True)
class Case:
    """One target. `unit` is "ratio" (of speeds), "time ratio" (of times, lower is better) or "G elements/s"."""

    key: str
    row: str
    target: float | None
    build: Build
    unit: str = "ratio"
    isas: tuple[str, ...] = ()
    threads: int = 1
    peers: tuple[str, ...] = ()

    @property
    def better(self) -> str:
        """Whether a "higher" or a "lower" value is better."""
        return "lower" if self.unit == "time ratio" else "higher"

    def missing(self, bench: Bench) -> str | None:
        """Return why the case cannot be measured here, or None."""
        for isa in self.isas:
            if isa not in bench.simdrop.available_isas():
                return f"no {isa} on this machine"
        if self.threads > bench.threads:
            return f"needs {self.threads} CPUs"
        lacking = [peer for peer in self.peers if peer not in bench.peers]
        return f"{lacking[0]} is not installed" if lacking else None


def array(elements: int, dtype: str = "float32") -> Array:
    """Return an array whose pages are all there and whose values are ordinary numbers."""
    x: Array = np.empty(elements, dtype_of(dtype))
    fill(x)
    return x


def scaling(x: Array, out: Array | None = None, one: Any = None) -> Statement:
    """Return NumPy's scaling of `x`; the factor is one so that the values stay (NumPy has no shortcut for it)."""
    if x.itemsize == 2:
        words = x.view(np.uint16)
        return Statement("np.add on uint16", "np.add(words, zero, out=words)", {**_NP, "words": words, "zero": _ZERO})
    target, factor = x if out is None else out, x.dtype.type(1) if one is None else one
    return Statement("np.multiply", "np.multiply(x, s, out=y)", {**_NP, "x": x, "s": factor, "y": target})


_NP, _ZERO = {"np": np}, np.uint16(0)


def _in_place(elements: Size, p: float, dtype: str = "float32", isa: str = "") -> Build:
    def build(bench: Bench) -> Duel:
        x = array(elements(bench.sizes), dtype)
        return Duel([bench.drop(x, p, isa=isa)], [scaling(x)], x.size, 2 * x.nbytes)

    return build


def _all_threads(p: float) -> Build:
    def build(bench: Bench) -> Duel:
        x = array(bench.sizes.memory)
        limits = threaded_scalings(x, bench.threads)
        return Duel([bench.drop(x, p, threads=bench.threads)], limits, x.size, 2 * x.nbytes)

    return build


def _out_of_place(p: float) -> Build:
    def build(bench: Bench) -> Duel:
        x, y = array(bench.sizes.memory), array(bench.sizes.memory)
        return Duel([bench.drop(x, p, out=y)], [scaling(x, out=y)], x.size, 2 * x.nbytes)

    return build


def _packed(p: float) -> Build:
    """Time the fastest public way to packed bits; each allocates its result, and no time of the call is subtracted.

    The result of 512 KiB is small enough that malloc hands out the same memory again and again, which then stays in
    level 2, and large enough to make the call itself cheap.
    """

    def build(bench: Bench) -> Duel:
        simdrop, n = bench.simdrop, bench.sizes.packed
        scope = {"mask": simdrop.Mask((n,), p, seed=SEED), "bernoulli": simdrop.bernoulli}
        scope["stream"] = simdrop.Stream(SEED)
        routes = {
            "Mask.packed": "mask.packed(threads=1)",
            "bernoulli(packed=True)": f"bernoulli({p}, {n}, rng=stream, packed=True, threads=1)",
        }

        def choose() -> None:
            simdrop.use_isa(bench.best)

        return Duel([Statement(name, run, scope, choose) for name, run in routes.items()], [], n, n // 8)

    return build


def _strided(view: str, p: float) -> Build:
    def build(bench: Bench) -> Duel:
        elements, columns = bench.sizes.memory, bench.sizes.columns
        if view == "every second row":
            x = array(2 * elements).reshape(-1, columns)[::2]
        else:
            rows = 1 << ((elements.bit_length() - 1) // 2)
            x = array(elements).reshape(rows, -1).T
        return Duel([bench.drop(x, p)], [scaling(x)], x.size, 2 * x.nbytes)

    return build


def _whole_call(factor: Callable[[], Any], threads: int | None = None) -> Build:
    def build(bench: Bench) -> Duel:
        x = array(1 << 10)
        return Duel([bench.drop(x, 0.1, threads=threads)], [scaling(x, one=factor())], x.size)

    return build


def _against_isa(isa: str, other: str, p: float) -> Build:
    def build(bench: Bench) -> Duel:
        x = array(bench.sizes.level2)
        return Duel([bench.drop(x, p, isa=isa)], [bench.drop(x, p, isa=other)], x.size, 2 * x.nbytes)

    return build


def _rate(isa: str, p: float) -> Build:
    def build(bench: Bench) -> Duel:
        x = array(bench.sizes.level2)
        return Duel([bench.drop(x, p, isa=isa)], [], x.size, 2 * x.nbytes)

    return build


def _peer(names: tuple[str, ...], elements: Size) -> Build:
    def build(bench: Bench) -> Duel:
        x = array(elements(bench.sizes))
        peers = [bench.peers[name].prepare(x, 0.1, 1) for name in names]
        reference = [Statement(n, peer.call, before=peer.before) for n, peer in zip(names, peers, strict=True)]
        return Duel([bench.drop(x, 0.1)], reference, x.size, 2 * x.nbytes)

    return build


def _two_threads(p: float) -> Build:
    def build(bench: Bench) -> Duel:
        x = array(bench.sizes.cache)
        one = bench.drop(x, p, name="simdrop, 1 thread")
        return Duel([bench.drop(x, p, threads=2)], [one], x.size, 2 * x.nbytes)

    return build


def _memory(sizes: Sizes) -> int:
    return sizes.memory


def _level2(sizes: Sizes) -> int:
    return sizes.level2


def _peer_cases() -> Iterator[Case]:
    bars: list[tuple[str, tuple[str, ...], float]] = [
        ("PyTorch", ("PyTorch",), 40),
        ("NumPy naive", ("NumPy naive",), 25),
        ("best NumPy recipe", ("NumPy bytes", "NumPy bytes, blocked"), 8),
        ("Numba splitmix64", ("Numba splitmix64",), 1.5),
        ("Numba murmur32", ("Numba murmur32",), 1.5),
    ]
    for place, elements in (("memory", _memory), ("level 2", _level2)):
        for name, peers, target in bars:
            yield Case(f"peers/{place}/{name}", "peers, p = 0.1", target, _peer(peers, elements), peers=peers)


def cases() -> Iterator[Case]:
    """Yield all targets in the order of the table."""
    for p in MEMORY_P:
        target = 0.97 if p in (0.5, 0.25, 0.75) else 0.92
        yield Case(f"memory/float32/p={p:g}", "from memory", target, _in_place(_memory, p))
    for p in MEMORY_P:
        yield Case(f"all-threads/p={p:g}", "from memory, all threads", 0.97, _all_threads(p), threads=2)
    for p in (0.5, 0.1, 0.2, 0.3):
        yield Case(f"level-2/p={p:g}", "in level 2", 0.65 if p == 0.5 else 0.28, _in_place(_level2, p))
    for p in MEMORY_P:
        yield Case(f"memory/float64/p={p:g}", "float64 from memory", 0.97, _in_place(_memory, p, "float64"))
    for dtype in ("float16", "bfloat16"):
        for p, target in ((0.5, 0.85), (0.1, 0.60)):
            if dtype_of(dtype) is not None:
                yield Case(f"memory/{dtype}/p={p:g}", "16-bit from memory", target, _in_place(_memory, p, dtype))
    for p in MEMORY_P:
        yield Case(f"out/p={p:g}", "into another array, from memory", 1.2, _out_of_place(p))
    for p, target in ((0.5, 25.0), (0.1, 9.0)):
        yield Case(f"packed/p={p:g}", "packed mask only", target, _packed(p), unit="G elements/s")
    for view in ("every second row", "transposed"):
        for p in (0.5, 0.1):
            yield Case(f"strided/{view}/p={p:g}", "strided views", 0.8, _strided(view, p))
    yield Case("call/np.float32 factor", "1 Ki, whole call", 1.5, _whole_call(lambda: np.float32(1)), unit="time ratio")
    zero_d = _whole_call(lambda: np.array(1, np.float32))
    yield Case("call/0-d array factor", "1 Ki, whole call", None, zero_d, unit="time ratio")
    for p in (0.5, 0.1):
        against = _against_isa("avx2", "avx512", p)
        yield Case(f"avx2/level 2/p={p:g}", "AVX2 forced", 0.6, against, isas=("avx2", "avx512"))
    yield Case("avx2/memory/p=0.5", "AVX2 forced", 0.9, _in_place(_memory, 0.5, isa="avx2"), isas=("avx2",))
    yield Case("scalar/p=0.1", "scalar forced", 0.3, _rate("scalar", 0.1), unit="G elements/s")
    yield from _peer_cases()
    for p in (0.5, 0.1):
        yield Case(f"two-threads/p={p:g}", "2 threads against 1 in cache", 1.8, _two_threads(p), threads=2)


def make_bench(simdrop: ModuleType, threads: int, quick: bool) -> Bench:
    """Return the bench for this machine with the one-thread peers at hand."""
    peers = {contestant.name: contestant for contestant in gather(1).contestants}
    return Bench(simdrop, threads, QUICK if quick else Sizes(), peers)
