"""Times JAX on the CPU with Flax's dropout and with simdrop's, side by side in one process.

Dropout under jit, forward and with its gradient, what a call costs, the memory kept for backward, and a training step.
Run `python bench/bench_jax.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import simdrop
from jax_models import SIDES, encoder, forward, forward_backward, saved_bytes, scaling
from machine import count_name, usable_cpus
from plot_frameworks import plot_jax
from report import Result, WrongAnswerError, conduct, progress, read_options, result, sides_tables
from timing import SETTLE_SECONDS, Statement, alternate, paired_ratio, spread

SIZES = ("4Ki", "16Ki", "64Ki", "256Ki", "1Mi", "4Mi", "16Mi")
SAMPLE_SECONDS = 0.02
SMALL = 1024
BOTH = ("JAX", "simdrop")
judged = partial(result, contestant="simdrop against JAX", reference="flax.nnx.Dropout's arithmetic")


def check(name: str, run: Any, p: float, x: Any, key: Any, g: Any) -> None:
    """Raise unless dropout and its gradient are what they must be."""
    y, gradient = (np.asarray(part) for part in run(x, key, g))
    dropped = y == 0
    if abs(int(dropped.sum()) - p * x.size) > 6 * math.sqrt(x.size * p * (1 - p)):
        raise WrongAnswerError(f"{name} dropped {int(dropped.sum())} of {x.size} at p = {p}")
    if not np.allclose(y, np.where(dropped, 0, np.asarray(x) / (1 - p)), rtol=1e-5):
        raise WrongAnswerError(f"{name}: a kept element is not the scaled input")
    if not np.array_equal(gradient == 0, dropped):
        raise WrongAnswerError(f"{name}: the gradient has another mask")


def operators(size: int, p: float, options: argparse.Namespace) -> Iterator[Result]:
    """Time dropout under jit, and with its gradient."""
    x = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, size).astype(np.float32))
    scope = {"x": x, "g": jnp.ones_like(x), "key": jax.random.key(1), "ready": jax.block_until_ready}
    for what, make, code in (
        ("forward", forward, "ready(run(x, key))"),
        ("forward+backward", forward_backward, "ready(run(x, key, g))"),
    ):
        runs = {name: make(SIDES[name], p) for name in BOTH}
        runs["scaling"] = make(scaling, p)
        for name, run in runs.items():
            if make is forward_backward and name != "scaling":
                check(name, run, p, x, scope["key"], scope["g"])
        taken = alternate(
            [Statement(name, code, {**scope, "run": run}) for name, run in runs.items()],
            seconds_each=options.seconds,
            min_rounds=3 if options.quick else 9,
            sample_seconds=SAMPLE_SECONDS / 10 if options.quick else SAMPLE_SECONDS,
        )
        case = f"{what}/p={p:g}/{count_name(size)}"
        fields: Result = {"what": what, "p": p, "elements": size}
        for name, samples in taken.items():
            yield result(case, samples.spread, contestant=name, **fields)
        target = None if size not in (1 << 20, 1 << 24) else 20.0 if what == "forward" else 10.0
        gain = paired_ratio(taken["JAX"], taken["simdrop"])
        yield judged(case, gain, unit="ratio", better="higher", target=target, **fields)
        # What the same comparison gives where nothing is drawn: results are new memory in each call.
        most = paired_ratio(taken["JAX"], taken["scaling"])
        yield {**judged(case, most, unit="ratio", better="higher", **fields), "contestant": "scaling against JAX"}


def overhead(options: argparse.Namespace) -> Iterator[Result]:
    """Time a jitted call on a small array, and a jitted multiplication with the same arguments."""
    scope = {"x": jnp.ones(SMALL), "key": jax.random.key(1), "ready": jax.block_until_ready}
    runs = {"multiply": jax.jit(lambda x, key: x * 2.0), "simdrop": forward(SIDES["simdrop"], 0.1)}
    taken = alternate(
        [Statement(name, "ready(run(x, key))", {**scope, "run": run}) for name, run in runs.items()],
        seconds_each=options.seconds,
        min_rounds=3 if options.quick else 50,
    )
    case = f"call/{count_name(SMALL)}"
    for name, samples in taken.items():
        yield result(case, samples.spread, contestant=name)
    more = [a - b for a, b in zip(taken["simdrop"].seconds, taken["multiply"].seconds, strict=False)]
    yield result(f"{case}/more than a multiplication", spread(more), target=2e-6, reference="multiply")


def steps(sequence: int, options: argparse.Namespace) -> Iterator[Result]:
    """Time a training step with Flax's dropout, with simdrop's, and without any."""
    taken = alternate(
        [Statement(name, encoder(drop, sequence)) for name, drop in SIDES.items()],
        seconds_each=options.seconds * 5,
        min_rounds=2 if options.quick else 9,
        max_rounds=50,
        pause=0.0 if options.quick else SETTLE_SECONDS,
    )
    case = f"step/encoder {sequence}"
    fields: Result = {"what": "step", "model": f"encoder {sequence}"}
    for side, samples in taken.items():
        yield result(case, samples.spread, contestant=side, **fields)
    gain = paired_ratio(taken["JAX"], taken["simdrop"])
    yield judged(case, gain, unit="ratio", better="higher", **fields)
    for side, what in (("simdrop", "cost left"), ("JAX", "cost in JAX")):
        cost = 100 * (1 - taken["no dropout"].spread.median / taken[side].spread.median)
        yield judged(f"{case}/{what}", spread([cost]), unit="percent", **fields)


def measure(options: argparse.Namespace) -> tuple[list[Result], dict[str, Any]]:
    """Run everything."""
    # Brings the allocator to where any training process has it; see settle_allocator in torch_models.py.
    for _ in range(2):
        np.empty(31 << 20, np.uint8).fill(1)
    results = [*overhead(options)]
    cases = [(size, p) for p in (0.1, 0.5) for size in sorted(options.sizes)]
    for size, p in progress(cases, lambda case: f"p = {case[1]} {count_name(case[0])}"):
        results += operators(size, p, options)
    for sequence in progress((16,) if options.quick else (128, 256), lambda sequence: f"encoder {sequence}"):
        results += steps(sequence, options)
    for name in BOTH:
        kept = spread([float(saved_bytes(SIDES[name], 0.1, 1 << 20))])
        results.append(
            result("saved/1 Mi", kept, contestant=name, unit="bytes", target=32.0 if name == "simdrop" else None)
        )
    return results, {"isa": simdrop.active_isa(), "versions": {"jax": jax.__version__}}


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when a side gave a wrong answer."""
    options = read_options(__doc__, words, sizes=SIZES, quick_sizes=("4Ki", "64Ki"), seconds=1, threads=usable_cpus())
    return conduct(
        "jax",
        options,
        lambda out: measure(options),
        tables=partial(sides_tables, names=("JAX", "simdrop", "scaling", "no dropout", "multiply")),
        draw=plot_jax,
    )


if __name__ == "__main__":
    sys.exit(main())
