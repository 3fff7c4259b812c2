"""Pipe the words of ``simdrop.random_bits`` into dieharder: ``python run_dieharder.py REPORT``.

A selection that fits ten minutes: the tests that its authors mark as good, each once. One word out of a thousand tests
is expected to be called weak; a failure is a p-value below 1e-6.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import simdrop
from feeding import feed

# 0-4, 8-13, 15-17: Diehard; 100-102: monobit, runs and serial tests of the NIST suite; 202-209: by dieharder's authors.
# Left out: 5-7 and 14, which the authors call suspect, and 200, 201 and 203, which take longest.
TESTS = (0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 15, 16, 17, 100, 101, 102, 202, 204, 205, 206, 207, 208, 209)
WORDS = 1 << 22  # in one write
SEED = 20_240_601


def run(test: int, stream: int) -> str:
    """One test on a stream of its own, as much of it as the test reads."""
    words = simdrop.Stream(SEED, stream * 2**32)
    pieces = (simdrop.random_bits(WORDS, rng=words).tobytes() for _ in itertools.count())
    return feed(["dieharder", "-g", "200", "-d", str(test)], pieces)[1]


def main(report: Path) -> int:
    lines: list[str] = []
    for stream, test in enumerate(TESTS):
        found = [
            line for line in run(test, stream).splitlines() if line.rstrip().endswith(("PASSED", "WEAK", "FAILED"))
        ]
        print("\n".join(found), flush=True)
        lines += found
    report.write_text("\n".join(lines) + "\n")
    counts = {word: sum(line.rstrip().endswith(word) for line in lines) for word in ("PASSED", "WEAK", "FAILED")}
    print(counts)
    return 1 if counts["FAILED"] or not lines else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
