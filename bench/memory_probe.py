"""Prints how many bytes an in-place dropout takes beyond its array: python memory_probe.py MEBIBYTES THREADS.

A process of its own, whose memory never was larger than when the array is there: what the call takes raises the peak.
"""

from __future__ import annotations

import resource
import sys

import numpy as np
import simdrop


def peak() -> int:
    """Return the largest resident memory so far in bytes (the system counts KiB, on macOS bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    mebibytes, threads = map(int, sys.argv[1:])
    stream, x = simdrop.Stream(1), np.ones(mebibytes << 18, np.float32)
    simdrop.dropout_(x[:1024], 0.1, rng=stream, threads=threads)  # makes what is made once
    before = peak()
    simdrop.dropout_(x, 0.1, rng=stream, threads=threads)
    print(peak() - before)
