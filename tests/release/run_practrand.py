"""Give the bits of one mask to PractRand: ``python run_practrand.py PROGRAM REPORT LENGTH``.

PROGRAM is PractRand's ``RNG_test``, built outside the tree (its source is that of Chris Doty-Humphrey,
https://pracrand.sourceforge.net). The packed bits of a mask at p = 1/2 go to its standard input in the order of the
elements until it has read LENGTH, a power of two as it writes them (``64GB``); the mask's window moves on, so that no
more than one piece is ever in memory. What it prints goes to REPORT. A "FAIL" fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

import simdrop
from feeding import feed
from run_testu01 import elements


def main(program: str, report: Path, length: str) -> int:
    simdrop.set_num_threads(1)
    status, output = feed([program, "stdin32", "-multithreaded", "-tlmax", length], elements(0), report)
    print(output)
    return 1 if status or "FAIL" in output else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
