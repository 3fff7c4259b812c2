"""The targets of the project as data: each is a named case that sets simdrop against a reference.

A speed ratio is the reference's time over simdrop's, round by round: 1 is the speed of the reference. The limit of
in-place dropout is an in-place scaling of the same array, which reads and writes every byte once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simdrop
from answers import fill
from contestants import SEED, Array, Contestant, dtype_of
from machine import count_name, optional
from timing import Statement

MEMORY_P = (0.5, 0.25, 0.75, 0.1, 0.2, 0.3, 0.9)
BEST = simdrop.available_isas()[0]


@dataclass(frozen=True)
class Sizes:
    """Numbers of elements: past the caches, within them, within level 2, of a packed mask, of a short call, between."""

    memory: int = 64 << 20
    large: int = 16 << 20
    small: int = 16 << 10
    cache: int = 1 << 20
    level2: int = 64 << 10
    packed: int = 4 << 20
    call: int = 1 << 10
    one: int = 1


QUICK = Sizes(memory=1 << 20, large=1 << 18, packed=1 << 20)

# What confines Numba to AVX2; it is read as Numba is imported, so such cases have a process of their own.
NUMBA_AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+lzcnt,+popcnt,+f16c"}


@dataclass(frozen=True)
class Bench:
    """What the cases are built from."""

    threads: int
    sizes: Sizes
    peers: Mapping[str, Contestant] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One target. `unit` is "ratio" (of speeds), "time ratio" (of times, lower is better) or "G elements/s".

    `against` names the reference: "" (none), "scaling", "scaling by a 0-d array", "scaling with all threads",
    "a call of np.multiply", "one thread", an instruction set, or peers, of whom the fastest speaks for all. `size` is
    a field of `Sizes`.
    """

    key: str
    row: str
    target: float | None
    p: float
    against: str | tuple[str, ...] = "scaling"
    size: str = "memory"
    dtype: str = "float32"
    view: str = ""
    isa: str = BEST
    threads: int | None = 1
    unit: str = "ratio"
    confined: bool = False  # both sides to AVX2
    way: str = ""  # of CALLS

    @property
    def better(self) -> str:
        """Whether a "higher" or a "lower" value is better."""
        return "lower" if self.unit == "time ratio" else "higher"

    def missing(self, bench: Bench) -> str | None:
        """Return why the case cannot be measured here, or None."""
        for isa in (self.isa, self.against):
            if isa in ("avx512", "avx2", "neon") and isa not in simdrop.available_isas():
                return f"no {isa} on this machine"
        if (self.threads or 1) > bench.threads:
            return f"needs {self.threads} CPUs"
        lacking = [peer for peer in self.against if peer not in bench.peers] if isinstance(self.against, tuple) else []
        return f"{lacking[0]} is not installed" if lacking else None

    def build(self, bench: Bench) -> Duel:
        """Return both sides, on arrays of their own."""
        n = getattr(bench.sizes, self.size)
        if self.way:
            return whole_calls(n, self.p, self.way)
        if self.view == "packed":
            return Duel(packed(n, self.p), [], n, n // 8)
        x = strided(n, self.view, self.dtype)
        out = array(n) if self.view == "into another array" else None
        threads = bench.threads if self.against == "scaling with all threads" else self.threads
        ours = [own_scaling(x)] if self.view == "scaling" else [drop(x, self.p, threads, self.isa, out)]
        return Duel(ours, self.references(bench, x, out), n, 2 * x.nbytes)

    def references(self, bench: Bench, x: Array, out: Array | None) -> list[Statement]:
        """Return the ways of the other side."""
        match self.against:
            case "":
                return []
            case "scaling":
                return [scaling(x, out)]
            case "scaling by a 0-d array":
                return [scaling(x, one=np.array(1, x.dtype))]
            case "scaling with all threads":
                return threaded_scalings(x, bench.threads)
            case "one thread":
                return [drop(x, self.p, name="simdrop, 1 thread")]
            case str(isa):
                return [drop(x, self.p, isa=isa)]
        peers = {name: bench.peers[name].prepare(x, self.p, 1) for name in self.against}
        return [Statement(name, peer.call, before=peer.before) for name, peer in peers.items()]


@dataclass(frozen=True)
class Duel:
    """Two sides of statements; where a side has several, the fastest one of them speaks for it."""

    ours: Sequence[Statement]
    reference: Sequence[Statement]
    elements: int
    bytes_moved: int


def array(elements: int, dtype: str = "float32") -> Array:
    """Return an array whose pages are all there and whose values are ordinary numbers."""
    x: Array = np.empty(elements, dtype_of(dtype))
    fill(x)
    return x


def strided(elements: int, view: str, dtype: str) -> Array:
    """Return a view of so many elements."""
    x = array(2 * elements if view == "every second row" else elements, dtype)
    if view == "every second row":
        x = x.reshape(-1, 1024)[::2]
    elif view == "transposed":
        x = x.reshape(1 << ((elements.bit_length() - 1) // 2), -1).T
    return x


def drop(
    x: Array, p: float, threads: int | None = 1, isa: str = BEST, out: Array | None = None, name: str = ""
) -> Statement:
    """Return simdrop's dropout of `x`, in place or into `out`, as a statement without a call of its own."""
    scope: dict[str, Any] = {"x": x, "out": out, "stream": simdrop.Stream(SEED)}
    scope |= {"dropout": simdrop.dropout, "dropout_": simdrop.dropout_}
    target, rest = ("dropout_(x", "") if out is None else ("dropout(x", ", out=out")
    rest += "" if threads is None else f", threads={threads}"
    label = name or f"simdrop {isa}" + ("" if threads in (None, 1) else f", {threads} threads")
    return Statement(label, f"{target}, {p}, rng=stream{rest})", scope, before=lambda: simdrop.use_isa(isa))


def own_scaling(x: Array) -> Statement:
    """Return simdrop's classic inference: its loop over memory, lines asked for ahead, and nothing drawn.

    The factor is 1 - 1e-7, so that values stay as long as they are needed.
    """
    scope = {"x": x, "dropout": simdrop.dropout}
    run = "dropout(x, 1e-7, training=False, scaling='classic', out=x, threads=1)"
    return Statement(f"simdrop {BEST}, scaling", run, scope, before=lambda: simdrop.use_isa(BEST))


def packed(elements: int, p: float) -> list[Statement]:
    """Return the public ways to packed bits; each allocates its result, and no time of the call is subtracted.

    The result of 512 KiB is small enough that malloc hands out the same memory again and again, which then stays in
    level 2, and large enough to make the call itself cheap.
    """
    scope: dict[str, Any] = {"mask": simdrop.Mask((elements,), p, seed=SEED), "bernoulli": simdrop.bernoulli}
    scope["stream"] = simdrop.Stream(SEED)
    routes = {
        "Mask.packed": "mask.packed(threads=1)",
        "bernoulli(packed=True)": f"bernoulli({p}, {elements}, rng=stream, packed=True, threads=1)",
    }
    return [Statement(name, run, scope, lambda: simdrop.use_isa(BEST)) for name, run in routes.items()]


def scaling(x: Array, out: Array | None = None, one: Any = None) -> Statement:
    """Return NumPy's scaling of `x`; the factor is one so that the values stay (NumPy has no shortcut for it)."""
    if x.itemsize == 2:
        scope = {"add": np.add, "words": x.view(np.uint16), "zero": np.uint16(0)}
        return Statement("np.add on uint16", "add(words, zero, out=words)", scope)
    scope = {"np": np, "x": x, "s": x.dtype.type(1) if one is None else one, "y": x if out is None else out}
    return Statement("np.multiply", "np.multiply(x, s, out=y)", scope)


_pool = functools.cache(ThreadPoolExecutor)


def numpy_scaling(x: Array, threads: int) -> Statement:
    """Return NumPy's scaling in equal parts, one for each thread: NumPy releases the GIL while it multiplies."""
    parts, one, pool = np.array_split(x, threads), x.dtype.type(1), _pool(threads)

    def scale(part: Array) -> None:
        np.multiply(part, one, out=part)

    def call() -> None:
        waiting = [pool.submit(scale, part) for part in parts[1:]]
        scale(parts[0])
        for future in waiting:
            future.result()

    return Statement(f"np.multiply, {threads} threads", call)


@functools.cache
def _numba_loop(numba: Any) -> Any:
    """Return the compiled parallel loop (compiled once; the loop names its own prange, which Numba must see)."""
    prange = numba.prange

    def scale(x: Array, one: Any) -> None:
        for i in prange(x.size):
            x[i] = x[i] * one

    return numba.njit(parallel=True, nogil=True)(scale)


def threaded_scalings(x: Array, threads: int) -> list[Statement]:
    """Return each way to scale `x` in place with `threads` threads that can be had here."""
    ways = [numpy_scaling(x, threads)]
    if numba := optional("numba"):
        scope = {"loop": _numba_loop(numba), "x": x, "one": x.dtype.type(1)}
        limit = functools.partial(numba.set_num_threads, threads)
        ways.append(Statement(f"Numba, {threads} threads", "loop(x, one)", scope, before=limit))
    if torch := optional("torch"):
        limit = functools.partial(torch.set_num_threads, threads)
        scope = {"shared": torch.from_numpy(x)}
        ways.append(Statement(f"torch.mul_, {threads} threads", "shared.mul_(1.0)", scope, before=limit))
    return ways


PEERS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("PyTorch", ("PyTorch",), 40),
    ("NumPy naive", ("NumPy naive",), 25),
    ("best NumPy recipe", ("NumPy bytes", "NumPy bytes, blocked"), 8),
    ("Numba splitmix64", ("Numba splitmix64",), 1.5),
    ("Numba murmur32", ("Numba murmur32",), 1.5),
)


# Ways to call, whose Python counts where there are few elements, each with NumPy's scaling to the same place.
IN_PLACE, NEW, INTO = "np.multiply(x, s, out=x)", "np.multiply(x, s)", "np.multiply(x, s, out=y)"
CALLS = {
    "in place": ("simdrop.dropout_(x, p, rng=stream)", IN_PLACE),
    "in place, rng=7": ("simdrop.dropout_(x, p, rng=7)", IN_PLACE),
    "into another array": ("simdrop.dropout(x, p, rng=stream, out=y)", INTO),
    "new array": ("simdrop.dropout(x, p, rng=stream)", NEW),
    "return_drawn=True": ("simdrop.dropout(x, p, rng=stream, return_drawn=True)", NEW),
    "Mask.apply": ("mask.apply(x, out=y)", INTO),
    "Mask(shape, p, seed=7)": ("simdrop.Mask(x.shape, p, seed=7)", IN_PLACE),
}


def whole_calls(elements: int, p: float, way: str) -> Duel:
    """Return a way to call and NumPy's scaling."""
    x = array(elements)
    scope = {"np": np, "simdrop": simdrop, "x": x, "y": x.copy(), "s": np.float32(1), "p": p}
    scope |= {"stream": simdrop.Stream(SEED), "mask": simdrop.Mask(x.shape, p, seed=SEED)}
    ours, reference = CALLS[way]
    sides = [
        Statement("simdrop", ours, scope, lambda: simdrop.use_isa(BEST)),
        Statement("np.multiply", reference, scope),
    ]
    return Duel(sides[:1], sides[1:], elements, 2 * x.nbytes)


def cases() -> Iterator[Case]:
    """Yield all targets in the order of the table."""
    for p in MEMORY_P:
        target = 0.97 if p in (0.5, 0.25, 0.75) else 0.92
        yield Case(f"memory/float32/p={p:g}", "from memory", target, p)
    for p in MEMORY_P:
        limit = "scaling with all threads"
        yield Case(f"all-threads/p={p:g}", "from memory, all threads", 0.97, p, limit, threads=2)
    for p in (0.5, 0.1, 0.2, 0.3):
        yield Case(f"level-2/p={p:g}", "in level 2", 0.65 if p == 0.5 else 0.28, p, size="level2")
    for p in MEMORY_P:
        yield Case(f"memory/float64/p={p:g}", "float64 from memory", 0.97, p, dtype="float64")
    for dtype in ("float16", "bfloat16"):
        for p, target in ((0.5, 0.85), (0.1, 0.60)):
            if dtype_of(dtype) is not None:
                yield Case(f"memory/{dtype}/p={p:g}", "16-bit from memory", target, p, dtype=dtype)
    for p in MEMORY_P:
        yield Case(f"out/p={p:g}", "into another array, from memory", 1.2, p, view="into another array")
    for p, target in ((0.5, 25.0), (0.1, 9.0)):
        unit = "G elements/s"
        yield Case(f"packed/p={p:g}", "packed mask only", target, p, "", "packed", view="packed", unit=unit)
    for view in ("every second row", "transposed"):
        for p in (0.5, 0.1):
            yield Case(f"strided/{view}/p={p:g}", "strided views", 0.8, p, view=view)
    for size in ("level2", "cache", "large", "memory"):
        key, row = f"own scaling/{count_name(getattr(Sizes(), size))}", "scaling by simdrop: what a loop reaches"
        yield Case(key, row, None, 1e-7, size=size, view="scaling")
    for name in CALLS:
        for size, elements in (("call", "1 Ki"), ("one", "1")):
            known: Any = {"against": "a call of np.multiply", "size": size, "threads": None, "unit": "time ratio"}
            yield Case(
                f"call/{name}/{elements}", "whole calls", 1.15 if size == "call" else None, 0.1, way=name, **known
            )
    for factor, limit, bar in (("np.float32", "scaling", 1.15), ("0-d array", "scaling by a 0-d array", None)):
        key, row = f"call/{factor} factor", "1 Ki, whole call"
        yield Case(key, row, bar, 0.1, limit, "call", threads=None, unit="time ratio")
    for p in (0.5, 0.1):
        yield Case(f"avx2/level 2/p={p:g}", "AVX2 forced", 0.6, p, "avx512", "level2", isa="avx2")
    yield Case("avx2/memory/p=0.5", "AVX2 forced", 0.9, 0.5, isa="avx2")
    yield Case("scalar/p=0.1", "scalar forced", 0.3, 0.1, "", "level2", isa="scalar", unit="G elements/s")
    for place, size in (("memory", "memory"), ("level 2", "level2")):
        for name, peers, target in PEERS:
            yield Case(f"peers/{place}/{name}", "peers, p = 0.1", target, 0.1, peers, size)
    hash32 = ("Numba murmur32",)
    for confined, row, isa, target in ((False, "hash32", BEST, 1.05), (True, "hash32, AVX2", "avx2", 0.9)):
        for size in ("call", "small", "level2", "cache", "large", "memory"):
            key = f"{row}/{count_name(getattr(Sizes(), size))}"
            what = "a 32-bit hash in Numba, p = 0.1" + (", both AVX2" if confined else "")
            yield Case(key, what, target, 0.1, hash32, size, isa=isa, confined=confined)
    for p in (0.5, 0.1):
        yield Case(f"two-threads/p={p:g}", "2 threads against 1 in cache", 1.8, p, "one thread", "cache", threads=2)
