"""Normal deviates as docs/normal-deviates.md defines them, in plain Python floats (IEEE double precision).

The oracle of the tests: one deviate at a time, nothing shared with ``cpp/``.
"""

from __future__ import annotations

import math
import struct

import reference

PLANE = 18
LOW52 = 2**52 - 1
ONE, ROOT_HALF = 0x3FF0000000000000, 0x3FE6A09E667F3BCD


def bits(x: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", x))[0])


def double(word: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", word))[0])


def logarithm(u: float) -> float:
    moved = bits(u) + (ONE - ROOT_HALF)
    e = float((moved >> 52) - 1023)
    m = double((moved & LOW52) + ROOT_HALF)
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    total = 1.0 / 21
    for c in (19, 17, 15, 13, 11, 9, 7, 5, 3, 1):
        total = total * t + 1.0 / c
    return e * float.fromhex("0x1.62e42fefa39efp-1") + (s + s) * total


def sine(y: float) -> float:
    t = y * y
    total = -1.0 / math.factorial(15)
    for n in (13, 11, 9, 7, 5, 3, 1):
        total = total * t + (-1.0) ** (n // 2) / math.factorial(n)
    return total * y


def cosine(y: float) -> float:
    t = y * y
    total = 1.0 / math.factorial(16)
    for n in (14, 12, 10, 8, 6, 4, 2, 0):
        total = total * t + (-1.0) ** (n // 2) / math.factorial(n)
    return total


def pair(words: tuple[int, int, int, int]) -> tuple[float, float]:
    """The two deviates of one block."""
    a, b = words[0] + (words[1] << 32), words[2] + (words[3] << 32)
    u = 2.0 - (1.0 + (a >> 12) / 2.0**52)
    r = math.sqrt(-2.0 * logarithm(u))
    y = (1.0 + ((b << 2 & 2**64 - 1) >> 12) / 2.0**52 - 1.5) * float.fromhex("0x1.921fb54442d18p+0")
    c, s = r * cosine(y), r * sine(y)
    return ((c, s), (-s, c), (-c, -s), (s, -c))[b >> 62]


def normal(first: int, count: int, seed: int, stream: int = 0) -> list[float]:
    """Deviates first .. first + count - 1."""
    blocks = reference.block(reference.blocks_of(first, count, 2), PLANE, seed, stream)
    z = [value for row in blocks for value in pair(tuple(int(w) for w in row))]  # type: ignore[arg-type]
    return z[first % 2 :][:count]


def main() -> None:
    """Print the table of known answers."""
    for seed, stream in ((0, 0), (42, 0), (2**64 - 1, 2**64 - 1), (0x0123456789ABCDEF, 7)):
        values = " | ".join(f"`{z.hex()}`" for z in normal(0, 4, seed, stream))
        print(f"| {seed} | {stream} | {values} |")


if __name__ == "__main__":
    main()
