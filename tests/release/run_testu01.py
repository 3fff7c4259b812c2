"""Give simdrop's own output to TestU01: ``python run_testu01.py FOLDER REPORT BATTERY ORDER [TESTS]``.

FOLDER holds TestU01, installed (``./configure --disable-shared --prefix=FOLDER && make install``; its source is that of
L'Ecuyer and Simard, https://github.com/umontreal-simul/TestU01-2009). BATTERY is SmallCrush, Crush or BigCrush. ORDER
says which 32-bit words the tests see:

- ``elements``: the packed bits of masks at p = 1/2, in the order of the elements; a stream for each test of a battery;
- ``streams``: the first 128 elements of the masks of streams 0, 1, 2 and so on, of one seed;
- ``seeds``: the first 128 elements of the masks of seeds 0, 1, 2 and so on, of one stream number;
- ``low-byte``: the lowest byte of each word of ``random_bits``, four to a word.

A battery runs test by test, and each result is appended to REPORT at once; what is there already is not run again, so
a run may be stopped and taken up. TESTS are numbers (``1,5,7-9``), in the order wanted; all of the battery without it.
The last line counts what REPORT has for BATTERY and ORDER: a p-value beyond 1e-10 fails, as TestU01's authors have it,
one beyond 1e-3 is named.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import simdrop
from feeding import feed
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import reference

TESTS = {"SmallCrush": 10, "Crush": 96, "BigCrush": 106}
SEED = 20_240_601
BITS = 1 << 25  # of a mask in one write; 4 MiB
BATCH = 1 << 14  # small masks in one write
Numbers: TypeAlias = "np.uint64 | NDArray[np.uint64]"


def elements(test: int) -> Iterator[bytes]:
    for first in itertools.count(0, BITS):
        yield simdrop.Mask((BITS,), 0.5, seed=SEED, stream=test, offset=first).packed().tobytes()


def _first_words(seeds: Numbers, streams: Numbers) -> bytes:
    """Return the packed bits of 128 elements at p = 1/2 of a mask for each pair: block 0 of plane 0 of the mask format.

    The definition that the tests hold the library to computes many masks at once; some of each batch are compared.
    """
    counter = np.zeros((BATCH, 4), np.uint64)
    counter[:, 2], counter[:, 3] = streams & reference.LOW, streams >> reference.WORD
    words = reference.philox(counter, (seeds & reference.LOW, seeds >> reference.WORD)).astype("<u4")
    for i in range(0, BATCH, BATCH // 32):
        seed, stream = (int(np.broadcast_to(numbers, BATCH)[i]) for numbers in (seeds, streams))
        assert simdrop.Mask((128,), 0.5, seed=seed, stream=stream).packed().tobytes() == words[i].tobytes()
    return words.tobytes()


def streams(test: int) -> Iterator[bytes]:
    for first in itertools.count(0, BATCH):
        yield _first_words(np.uint64(SEED + test), np.arange(first, first + BATCH, dtype=np.uint64))


def seeds(test: int) -> Iterator[bytes]:
    for first in itertools.count(0, BATCH):
        yield _first_words(np.arange(first, first + BATCH, dtype=np.uint64), np.uint64(test))


def low_byte(test: int) -> Iterator[bytes]:
    stream = simdrop.Stream(SEED, test * 2**32)
    while True:
        yield simdrop.random_bits(BITS // 8, rng=stream).view("u1")[::4].tobytes()


ORDERS: dict[str, Callable[[int], Iterator[bytes]]] = {
    "elements": elements,
    "streams": streams,
    "seeds": seeds,
    "low-byte": low_byte,
}


def build(folder: Path, program: Path) -> None:
    """Compile the reader of standard input against TestU01."""
    source = Path(__file__).with_name("testu01.c")
    libraries = ("-ltestu01", "-lprobdist", "-lmylib", "-lm")
    paths = (f"-I{folder / 'include'}", f"-L{folder / 'lib'}")
    subprocess.run(["gcc", "-O3", "-o", str(program), str(source), *paths, *libraries], check=True)


def run(program: Path, battery: str, order: str, number: int) -> list[str]:
    """One test, on as much of its words as it reads; its lines with the order in front and the seconds at the end."""
    start = time.monotonic()
    status, output = feed([str(program), battery, str(number)], ORDERS[order](number))
    found = [line for line in output.splitlines() if line.startswith("P\t")]
    if status or not found:
        raise SystemExit(f"test {number} of {battery} ended with {status} and {len(found)} p-values")
    seconds = time.monotonic() - start
    return [f"{order}\t{line[2:]}\t{seconds:.0f}" for line in found]


def numbers(text: str) -> list[int]:
    """Read ``1,5,7-9``."""
    pairs = [part.partition("-") for part in text.split(",")]
    return [n for first, _, last in pairs for n in range(int(first), int(last or first) + 1)]


def main(folder: Path, report: Path, battery: str, order: str, tests: str) -> int:
    simdrop.set_num_threads(1)

    def lines() -> list[list[str]]:
        rows = [line.split("\t") for line in report.read_text().splitlines()] if report.exists() else []
        return [row for row in rows if row[:2] == [order, battery]]

    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch) / "testu01"
        build(folder, program)
        for number in numbers(tests):
            if str(number) in {row[2] for row in lines()}:
                continue
            found = run(program, battery, order, number)
            print("\n".join(found), flush=True)
            with report.open("a") as out:
                out.write("\n".join(found) + "\n")
    values = [float(row[4]) for row in lines()]
    odd = [value for value in values if min(value, 1 - value) < 1e-3]
    failed = [value for value in odd if min(value, 1 - value) < 1e-10]
    ran = len({row[2] for row in lines()})
    print(f"{battery}, {order}: {ran} of {TESTS[battery]} tests, {len(values)} p-values, beyond 1e-3: {odd}")
    return 1 if failed else 0


if __name__ == "__main__":
    *paths, name, way = sys.argv[1:5]
    which = sys.argv[5] if len(sys.argv) > 5 else f"1-{TESTS[name]}"
    sys.exit(main(Path(paths[0]), Path(paths[1]), name, way, which))
