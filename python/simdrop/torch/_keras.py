"""What the layers of `simdrop.keras` do on Keras' PyTorch backend."""

from __future__ import annotations

import functools
from typing import Any

import keras
import torch

from simdrop import Noise, Stream
from simdrop.torch._functional import run_form
from simdrop.torch._memory import takes
from simdrop.torch._noise import add_noise

_WORD = (1 << 64) - 1
SERVES_NOISE = True


def served(x: Any) -> bool:
    """Return whether the kernels take `x`."""
    return isinstance(x, torch.Tensor) and takes(x) and x.numel() > 0


def _numbers(generator: Any) -> Stream:
    """Draw from Keras' generator: the seed and the number of the call.

    What ``next`` does, but for its conversions of arrays, which cost half as much as the kernel on 1 Mi elements.
    """
    if type(generator) is not keras.random.SeedGenerator:
        seed, call = generator.next().tolist()
    else:
        state = generator.state.value
        seed, call = state.tolist()
        generator.state.assign(state + _one_call(state.dtype, state.device))
    return Stream(int(seed) & _WORD, int(call) & _WORD)


@functools.cache
def _one_call(dtype: Any, device: Any) -> Any:
    return torch.tensor([0, 1], dtype=dtype, device=device)


def drop(
    x: Any, rate: float, shared: tuple[int, ...], affine: tuple[float, float, float] | None, generator: Any
) -> Any:
    """Return dropout of a tensor whose elements share their bits of the mask along some dimensions."""
    stream = _numbers(generator) if rate < 1 else Stream(0)
    return run_form(lambda engine, x, p: engine.drop(x, p, shared, affine), x, rate, rng=stream)


def noisy(x: Any, sd: float, multiplicative: bool, generator: Any) -> Any:
    """Return a tensor with normal noise, the deviates of which are those of the call's seed and number."""
    stream = _numbers(generator)
    numbers = functools.partial(Noise, seed=stream.seed, stream=stream.next())
    return add_noise(x, numbers(tuple(x.shape), sd, multiplicative=multiplicative))
