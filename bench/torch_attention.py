"""The cases of bench_torch.py of attention with dropout, and the peak of memory of one call of it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from report import Result, WrongAnswerError, result
from timing import SETTLE_SECONDS, Statement, alternate, paired_ratio, spread
from torch_models import P, Switch

judged = partial(result, contestant="simdrop against PyTorch", reference="PyTorch")
Shape = tuple[int, int, int]  # batch, heads, sequence
WIDTH = 64
SHAPES: tuple[Shape, ...] = ((2, 8, 256), (2, 8, 512), (2, 8, 2048), (1, 2, 8192))
QUICK: tuple[Shape, ...] = ((1, 2, 128),)

# The peak of memory is one of a process. What PyTorch itself loads with the first call is there before.
PEAK = """
import sys, torch, torch.nn.functional as F, simdrop.torch
side, threads, p, *shape = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *map(int, sys.argv[4:])
torch.set_num_threads(threads)
if side == "simdrop":
    simdrop.torch.install()
def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
def call(*tensors):
    F.scaled_dot_product_attention(*tensors, dropout_p=p).sum().backward()
call(*(torch.ones(1, 1, 128, shape[-1], requires_grad=True) for _ in range(3)))
tensors = [torch.randn(shape, requires_grad=True) for _ in range(3)]
before = kib("VmRSS")
call(*tensors)
print(1024 * max(0, kib("VmHWM") - before))
"""


def _name(shape: Shape, dtype: Any) -> str:
    return "x".join(map(str, shape)) + ("" if dtype == torch.float32 else f", {str(dtype).removeprefix('torch.')}")


def _check(side: str, query: torch.Tensor, key: torch.Tensor) -> None:
    """Raise unless forward and backward pass have one mask, and weights add up to one on the average."""
    value = torch.ones_like(key, requires_grad=True)
    y = F.scaled_dot_product_attention(query, key, value, dropout_p=P)
    (of_value,) = torch.autograd.grad(y.sum(), value)
    total, again = float(y.detach().double().mean()), float(of_value.double().sum()) / y.numel()
    if abs(total - 1) > 0.05 or abs(total - again) > 0.01:
        raise WrongAnswerError(f"{side}, attention: the weights add up to {total}, in the backward pass to {again}")


def attention(shape: Shape, dtype: Any, options: argparse.Namespace, switch: Switch) -> Iterator[Result]:
    """Time attention with its backward pass."""
    query, key, value = (torch.randn(*shape, WIDTH, dtype=dtype, requires_grad=True) for _ in range(3))
    gradient = torch.randn(*shape, WIDTH, dtype=dtype)

    def run() -> Any:
        y = F.scaled_dot_product_attention(query, key, value, dropout_p=P)
        return torch.autograd.grad(y, (query, key, value), gradient)

    for side, set_side in switch.sides().items():
        set_side()
        _check(side, query.detach(), key.detach())
    taken = alternate(
        [Statement(side, run, before=before) for side, before in switch.sides().items()],
        seconds_each=options.seconds * 2,
        min_rounds=2 if options.quick else 5,
        max_rounds=50,
        pause=0.0 if options.quick else SETTLE_SECONDS,
    )
    case = f"attention/{_name(shape, dtype)}"
    for side, samples in taken.items():
        yield result(case, samples.spread, contestant=side, what="attention")
    target = 3.0 if shape == (2, 8, 2048) and dtype == torch.float32 else None
    gain = paired_ratio(taken["PyTorch"], taken["simdrop"])
    yield judged(case, gain, unit="ratio", better="higher", target=target, what="attention")


def peak(shape: Shape, options: argparse.Namespace) -> Iterator[Result]:
    """Measure the peak of memory of a call and its backward pass, above that before it, in processes of their own."""
    for side in ("PyTorch", "simdrop"):
        words = [side, options.threads, P, *shape, WIDTH]
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *map(str, words)], capture_output=True, text=True, check=True
        )
        case = f"attention peak/{_name(shape, torch.float32)}"
        yield result(case, spread([float(done.stdout)]), contestant=side, unit="bytes", what="attention peak")


def cases(options: argparse.Namespace, switch: Switch) -> dict[str, Callable[[], Iterator[Result]]]:
    """Return what can be run, by name."""
    shapes = QUICK if options.quick else SHAPES
    of_types = [*((shape, torch.float32) for shape in shapes), (shapes[-2:][0], torch.bfloat16)]
    work: dict[str, Callable[[], Iterator[Result]]] = {}
    for shape, kind in of_types:
        work[f"attention/{_name(shape, kind)}"] = partial(attention, shape, kind, options, switch)
    for shape in shapes:
        work[f"attention peak/{_name(shape, torch.float32)}"] = partial(peak, shape, options)
    return work
