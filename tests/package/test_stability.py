"""What docs/stability.md promises: golden outputs, saved states, and the known answers of docs/mask-format.md."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np
import pytest
import reference
import simdrop
from helpers import DTYPES, bits, dtype_of
from numpy.typing import NDArray
from places import DATA, ROOT

DOCS = ROOT / "docs"


def pattern(n: int, dtype: str) -> NDArray[Any]:
    """The input of the golden outputs: element i has the leading bits of i times an odd constant (mod 2**64)."""
    size = dtype_of(dtype).itemsize
    spread = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray((spread >> np.uint64(64 - 8 * size)).astype(f"u{size}").view(dtype_of(dtype)))


def outputs() -> list[dict[str, Any]]:
    path = DATA / "outputs_v1.json"
    return list(json.loads(path.read_text())["cases"]) if path.exists() else []


def test_there_are_golden_outputs_of_every_dtype() -> None:
    assert {(c["dtype"], c["scaling"]) for c in outputs()} == {(d, s) for d in DTYPES for s in ("inverted", "classic")}


@pytest.mark.parametrize("case", outputs(), ids=lambda c: f"{c['dtype']}-{c['scaling']}-{c['why'].replace(' ', '-')}")
def test_golden_output(isa: str, case: dict[str, Any]) -> None:
    x = pattern(case["n"], case["dtype"])
    mask = simdrop.Mask(x.shape, case["p"], seed=case["seed"], stream=case["stream"], offset=case["offset"])
    for y in (mask.apply(x, scaling=case["scaling"]), mask.apply_(x.copy(), scaling=case["scaling"], threads=3)):
        found = bits(y)
        assert [f"{int(v):0{2 * x.dtype.itemsize}x}" for v in found[:6]] == case["first"]
        little = found.astype(found.dtype.newbyteorder("<"))
        assert hashlib.sha256(little.tobytes()).hexdigest() == case["sha256"]


@pytest.mark.parametrize(
    ("state", "following"),
    [
        ((42, 0), [0, 1, 2]),
        ((2**64 - 1, 2**64 - 2), [2**64 - 2, 2**64 - 1]),
        ([7, 2**63], [2**63]),  # as JSON gives it back
    ],
)
def test_saved_states(state: Any, following: list[int]) -> None:
    saved = json.dumps(state)
    stream = simdrop.Stream(*json.loads(saved))
    other = simdrop.Stream(0)
    other.restore(json.loads(saved))
    assert stream == other
    assert [stream.next() for _ in following] == following
    assert stream.state == (state[0], following[-1] + 1)


def test_a_used_up_stream_is_saved_too() -> None:
    stream = simdrop.Stream(3, 2**64 - 1)
    stream.next()
    again = simdrop.Stream(*json.loads(json.dumps(stream.state)))
    assert again == stream
    with pytest.raises(OverflowError):
        again.next()


def test_the_mask_across_a_stretch_of_the_generator() -> None:
    # 2**34 is where the kernels start anew (the tail's block number passes 32 bits); the packed mask goes on in the
    # middle of a byte there, and stores around the cache meet an address that is not aligned.
    for lead in (70, 4096 + 13):
        mask = simdrop.Mask((5000,), 0.5, seed=1, offset=2**34 - lead)
        expected = reference.keep(5000, 0.5, 1, offset=2**34 - lead)
        np.testing.assert_array_equal(mask.packed(), reference.pack(expected))
    n = 2**21 + 2**20  # 12 MiB: more than what is written through the cache
    for rest in (1, 77, 300):
        x = np.ones(n, np.float32)
        mask = simdrop.Mask(x.shape, 0.5, seed=1, offset=2**34 - n + rest)
        out = np.empty(n + 3, np.float32)[3:]
        mask.apply(x, out=out, threads=1)
        tail = reference.keep(1000, 0.5, 1, offset=2**34 + rest - 1000)
        np.testing.assert_array_equal(out[-1000:] == 2, tail)


def test_the_page_of_the_format_tells_the_truth() -> None:
    page = (DOCS / "mask-format.md").read_text()
    numbers = re.findall(r"^u\((\d+), (\d+), (\d+)\) = 0x([0-9a-f]{10})$", page, re.MULTILINE)
    assert len(numbers) >= 8
    for seed, stream, i, u in numbers:
        assert int(reference.uniform(int(i), 1, int(seed), int(stream))[0]) == int(u, 16)
    blocks = re.findall(r"^block\((\d+), (\d+)\) of \((\d+), (\d+)\) = ((?:[0-9a-f]{8} ?){4})$", page, re.MULTILINE)
    assert len(blocks) >= 6
    for b, plane, seed, stream, words in blocks:
        found = reference.block(np.array([int(b)], np.uint64), int(plane), int(seed), int(stream))[0]
        assert [f"{int(w):08x}" for w in found] == words.split()
    seeds = re.findall(r"^child of \((\d+), (\d+)\) = (\d+)$", page, re.MULTILINE)
    assert len(seeds) >= 3
    for seed, stream, child in seeds:
        assert reference.spawned_seed(int(seed), int(stream)) == int(child)
    masks = re.findall(r"^packed\((\d+), (\d\.\d+), (\d+), (\d+), (\d+)\) = ([0-9a-f]+)$", page, re.MULTILINE)
    assert len(masks) >= 4
    for n, p, seed, stream, offset, packed in masks:
        mask = simdrop.Mask((int(n),), float(p), seed=int(seed), stream=int(stream), offset=int(offset))
        assert mask.packed().tobytes().hex() == packed
