"""Run in an environment that holds the wheel and NumPy only: does the installed package do its job, and start fast?"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import pickle
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import simdrop

# Digests of the results below; tests/data has the golden bytes of all members.
AFFINE32, AFFINE64, NORMAL = "41c91696f0d60717", "229ae04b99496db3", "c52d2e1188a472a8"


def start_seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main() -> None:
    names = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    print("installed:", *sorted(names))
    assert names <= {"simdrop", "numpy", "pip", "setuptools", "wheel"}, "not an empty environment"
    assert simdrop.__version__ == importlib.metadata.version("simdrop")
    folder = Path(simdrop.__file__).parent
    for name in ("py.typed", "_core.pyi"):
        assert (folder / name).is_file(), name

    # The mask of the package's own example, and the same bytes on every instruction set: of products and sums too,
    # which a compiler may fuse, and of deviates, which are many of them.
    x = np.ones((2, 4), np.float32)
    line = np.linspace(-3, 3, 1000)
    for isa in simdrop.available_isas():
        simdrop.use_isa(isa)
        mask = simdrop.Mask(1000, 0.3, seed=42)
        for kind, digest in (("float32", AFFINE32), ("float64", AFFINE64)):
            y = mask.select(line.astype(kind), scale=1.1, shift=0.1, dropped=-0.3)
            assert hashlib.sha256(y.tobytes()).hexdigest()[:16] == digest, (isa, kind)
        assert hashlib.sha256(simdrop.normal(1000, rng=42).tobytes()).hexdigest()[:16] == NORMAL, isa
        y = simdrop.dropout(x, 0.5, rng=simdrop.Stream(42))
        assert y.tolist() == [[2, 2, 0, 0], [2, 0, 2, 0]], (isa, y)
    simdrop.use_isa(simdrop.available_isas()[0])
    assert simdrop.dropout_(x, 0.5, rng=42) is x
    mask = simdrop.Mask(1_000_000, 0.1, seed=42)
    assert mask.count_kept() == 899_769
    assert pickle.loads(pickle.dumps(mask)) == mask
    big = np.ones(1_000_000)
    mask.apply_(big, threads=2)
    assert np.count_nonzero(big) == 899_769
    done = subprocess.run([sys.executable, "-m", "simdrop", "info"], capture_output=True, text=True, check=True)
    assert simdrop.active_isa() in done.stdout
    done = subprocess.run([sys.executable, "-m", "simdrop", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode != 0, "the demo needs what is not here"
    assert "Traceback" not in done.stderr, done.stderr
    assert "demo]" in done.stderr, "it should say what to install"

    if os.environ.get("SIMDROP_UNTIMED"):
        print("fine; the start was not timed")
        return
    # Turn by turn, so that both meet the same machine; the median forgives a disturbance.
    both = [(start_seconds("import numpy"), start_seconds("import numpy, simdrop")) for _ in range(21)]
    added = statistics.median(b - a for a, b in both)
    print(f"import simdrop adds {added * 1000:.1f} ms to import numpy")
    assert added < 0.015
    print("fine")


if __name__ == "__main__":
    main()
