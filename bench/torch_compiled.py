"""The cases of bench_torch.py that torch.compile compiles: Inductor, backend "simdrop", and no dropout at all."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from machine import count_name
from report import Result, WrongAnswerError, result
from timing import SETTLE_SECONDS, Statement, alternate, paired_ratio, spread
from torch_models import P, Step, Switch, encoder

judged = partial(result, contestant="simdrop against PyTorch", reference="PyTorch")


def _plainly(graph: Any, inputs: Sequence[Any]) -> Any:
    """Compile by Inductor. As a function of its own it shares no compiled code with the name "inductor"."""
    from torch._inductor.compile_fx import compile_fx  # noqa: PLC0415

    return compile_fx(graph, inputs)


def _ready(step: Callable[[], Any]) -> Callable[[], Any]:
    step()
    return step


def _sides(
    make: Callable[[Any], Callable[[], Any]], switch: Switch, *, without: bool = False
) -> dict[str, Callable[[], Any]]:
    """Return the compiled sides by name; if wanted also "no dropout", compiled with an identity in its place."""
    switch.stock()
    torch._dynamo.reset()
    sides = {"PyTorch": _ready(make("inductor")), "simdrop": _ready(make("simdrop"))}
    if not without:
        return sides
    op: Any = torch.ops.aten.dropout.default
    with (
        # a graph that Inductor finds on the disk would be that with dropout
        torch._inductor.config.patch(force_disable_caches=True),
        patch.dict(op.py_kernels, {torch._C.DispatchKey.AutogradCPU: lambda x, p, train: x}),
    ):
        op._dispatch_cache.clear()
        sides["no dropout"] = _ready(make(_plainly))
    op._dispatch_cache.clear()
    return sides


def operator(size: int, options: argparse.Namespace, switch: Switch) -> Iterator[Result]:
    """Time F.dropout with its backward pass, compiled."""
    x = torch.rand(size).add_(0.5).requires_grad_()
    g = torch.ones(size)

    def make(backend: Any) -> Callable[[], Any]:
        function = torch.compile(lambda x: F.dropout(x, P), backend=backend, fullgraph=True)

        def run() -> Any:
            y = function(x)
            return y.detach(), torch.autograd.grad(y, x, g)[0]

        return run

    sides = _sides(make, switch)
    for name in ("PyTorch", "simdrop"):
        y, gradient = sides[name]()
        if not torch.equal(y == 0, gradient == 0) or not 0 < int((y == 0).sum()) < 2 * P * size:
            raise WrongAnswerError(f"{name}, compiled: the gradient has another mask")
    taken = alternate(
        [Statement(name, side) for name, side in sides.items()],
        seconds_each=options.seconds,
        min_rounds=3 if options.quick else 7,
    )
    fields: Result = {"what": "compiled", "dtype": "float32", "elements": size}
    case = f"compiled/forward+backward/float32/{count_name(size)}"
    for name, samples in taken.items():
        target = 1e-3 if (name, size) == ("simdrop", 1 << 20) else None
        yield result(case, samples.spread, contestant=name, target=target, **fields)
    gain = paired_ratio(taken["PyTorch"], taken["simdrop"])
    yield judged(case, gain, unit="ratio", better="higher", **fields)


def attention(length: int, options: argparse.Namespace, switch: Switch) -> Iterator[Result]:
    """Time attention with its backward pass, compiled."""
    tensors = [torch.randn(2, 8, length, 64, requires_grad=True) for _ in range(3)]
    gradient = torch.randn(2, 8, length, 64)

    def make(backend: Any) -> Callable[[], Any]:
        function = torch.compile(
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=P), backend=backend, fullgraph=True
        )
        return lambda: torch.autograd.grad(function(*tensors), tensors, gradient)

    sides = _sides(make, switch)
    taken = alternate(
        [Statement(name, side) for name, side in sides.items()],
        seconds_each=options.seconds * 2,
        min_rounds=2 if options.quick else 5,
        pause=0.0 if options.quick else SETTLE_SECONDS,
    )
    case = f"compiled attention/2x8x{length}"
    for name, samples in taken.items():
        yield result(case, samples.spread, contestant=name, what="compiled attention")
    gain = paired_ratio(taken["PyTorch"], taken["simdrop"])
    yield judged(case, gain, unit="ratio", better="higher", what="compiled attention")


def step(sequence: int, options: argparse.Namespace, switch: Switch) -> Iterator[Result]:
    """Time a training step of the encoder, compiled."""

    def make(backend: Any) -> Step:
        return encoder(sequence, backend=backend)

    sides = _sides(make, switch, without=True)
    taken = alternate(
        [Statement(name, side) for name, side in sides.items()],
        seconds_each=options.seconds * 5,
        min_rounds=2 if options.quick else 9,
        max_rounds=50,
        pause=0.0 if options.quick else SETTLE_SECONDS,
    )
    fields: Result = {"what": "compiled step", "model": f"encoder {sequence}"}
    case = f"compiled step/encoder {sequence}"
    for name, samples in taken.items():
        yield result(case, samples.spread, contestant=name, **fields)
    gain = paired_ratio(taken["PyTorch"], taken["simdrop"])
    target = {256: 1.3, 512: 1.5}.get(sequence)
    yield judged(case, gain, unit="ratio", better="higher", target=target, **fields)
    cost = 100 * (1 - taken["no dropout"].spread.median / taken["simdrop"].spread.median)
    yield judged(f"{case}/cost left", spread([cost]), unit="percent", target=3.0 if target else None, **fields)


def cases(options: argparse.Namespace, switch: Switch) -> dict[str, Callable[[], Iterator[Result]]]:
    """Return what can be run, by name."""
    work: dict[str, Callable[[], Iterator[Result]]] = {}
    for size in (64 << 10,) if options.quick else (64 << 10, 1 << 20):
        work[f"compiled/{count_name(size)}"] = partial(operator, size, options, switch)
    for length in (128,) if options.quick else (512, 2048):
        work[f"compiled attention/{length}"] = partial(attention, length, options, switch)
    for length in (16,) if options.quick else (256, 512):
        work[f"compiled step/{length}"] = partial(step, length, options, switch)
    return work
