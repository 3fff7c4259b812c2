"""Where seeds come from: PyTorch's generator, so that everything that governs it governs the masks."""

from __future__ import annotations

import threading

import numpy
import torch

from simdrop._rng import RNG, as_stream

# 64 random bits less one value. The bounds are those of `torch.randint`, which compiled graphs use, so that both
# take the same number from the same state of the generator.
LOW, HIGH = -(1 << 63), (1 << 63) - 1
WORD = (1 << 64) - 1


class _Cell(threading.local):
    """One integer for each thread: filling it again is twice as fast as a new tensor, and its memory is at hand."""

    def __init__(self) -> None:
        memory = numpy.zeros(1, numpy.int64)
        self.words = memory.view(numpy.uint64).data
        with torch.inference_mode(False):  # an inference tensor could not be changed outside of that mode
            self.fill = torch.from_numpy(memory).random_


_cell = _Cell()


def next_seed(generator: torch.Generator | None = None) -> int:
    """Take 64 bits from PyTorch's CPU generator, or from the one given; either moves on by one draw."""
    cell = _cell
    if generator is None:
        cell.fill(LOW, HIGH)
    else:
        cell.fill(LOW, HIGH, generator=generator)
    return cell.words[0]


def numbers(generator: torch.Generator | None, rng: RNG) -> tuple[int, int]:
    """Return the seed and the stream number of one call from its arguments."""
    if rng is None:
        return next_seed(generator), 0
    if generator is not None:
        raise ValueError("rng, generator: got both; accepted: one of them")
    stream = as_stream(rng)
    return stream.seed, stream.next()
