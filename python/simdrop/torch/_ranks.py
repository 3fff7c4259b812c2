"""That ranks agree on what their masks are made of: if they do not, every one of them raises the same error.

What is compared is a few integers for each rank, gathered on the CPU.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from simdrop import _core

# Calls on one mesh between two comparisons; until then they are made at calls 1, 2, 4, 8 and so on.
EVERY = 256


def _gathered(values: Sequence[int], group: Any) -> list[list[int]]:
    """Return the integers of all ranks of a group."""
    mine = torch.tensor([value - (1 << 64) if value >> 63 else value for value in values], dtype=torch.int64)
    all_of_them = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(all_of_them, mine, group=group)
    return [row.tolist() for row in all_of_them]


def _listed(values: Sequence[object], ranks: Sequence[int]) -> str:
    return ", ".join(f"{value} on rank {rank}" for value, rank in zip(values, ranks, strict=True))


def _fingerprint(*what: object) -> int:
    return zlib.crc32(repr(what).encode())


def compare_blocks(check: bool | dist.ProcessGroup | None, part: tuple[int, ...], count: int, index: int) -> None:
    """Compare what ranks give to `shard`, and the generators they will draw from."""
    there = dist.is_available() and dist.is_initialized()
    group = None if check is None or isinstance(check, bool) else check
    if (check is True and not there) or (group is not None and not (there and isinstance(group, dist.ProcessGroup))):
        accepted = "None, False, or, where torch.distributed is initialized, True or a ProcessGroup"
        raise TypeError(f"check: got {_core.shown(check)}; accepted: {accepted}")
    if check is False or not there:
        return
    ranks = dist.get_process_group_ranks(group)
    if len(ranks) != count:
        if check is None:
            return
        raise ValueError(f"check: got a group of {len(ranks)} ranks for {count} parts; accepted: a rank for each part")
    generator = zlib.crc32(torch.get_rng_state().numpy().tobytes())
    rows = _gathered((generator, part[0], part[3], index), group)
    states, dims, totals, indices = (list(column) for column in zip(*rows, strict=True))
    if len(set(states)) > 1:
        raise RuntimeError(
            f"shard: got generators in different states, {_listed([f'{s:08x}' for s in states], ranks)}; accepted: one "
            "state on all ranks, from the same torch.manual_seed and the same draws since"
        )
    if len(set(dims)) > 1 or len(set(totals)) > 1 or sorted(indices) != list(range(count)):
        given = [f"part {i} of dim {d}, {t} in all" for i, d, t in zip(indices, dims, totals, strict=True)]
        raise RuntimeError(f"shard: got {_listed(given, ranks)}; accepted: one cut, and another part on each rank")


# The number of calls for each mesh; equal meshes count together.
_calls: dict[Any, int] = {}


def compare_draws(mesh: Any, seed: int, shape: Sequence[int], p: float) -> None:
    """Compare what the ranks of a mesh have drawn, at some of the calls.

    Which calls is counted, and depends on nothing that may differ between ranks: they have to meet.
    """
    count = _calls[mesh] = _calls.get(mesh, 0) + 1
    if (count & (count - 1) if count < EVERY else count % EVERY) or mesh.get_coordinate() is None:
        return
    for group in mesh.get_all_groups():
        rows = _gathered((seed, _fingerprint(tuple(shape), p)), group)
        ranks = dist.get_process_group_ranks(group)
        seeds, calls = ([row[i] for row in rows] for i in (0, 1))
        if len(set(seeds)) > 1:
            raise RuntimeError(
                f"dropout of a DTensor: got seeds {_listed([f'{s & (1 << 64) - 1:016x}' for s in seeds], ranks)}; "
                "accepted: one seed, from the same torch.manual_seed and the same draws since on all ranks of the mesh"
            )
        if len(set(calls)) > 1:
            raise RuntimeError(
                f"dropout of a DTensor: got shape {tuple(shape)} and p {p} here, others on other ranks of {ranks}; "
                "accepted: the same call on all ranks of the mesh"
            )
