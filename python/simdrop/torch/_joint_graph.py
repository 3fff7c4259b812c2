"""What Inductor has to know of graphs that hold simdrop's operators. Imports Inductor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch._functorch import config
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files


class JointGraphPass(CustomGraphPass):
    """Keeps seeds from being drawn again in the backward pass.

    Its other use is that Inductor's caches tell graphs that are compiled with it from those compiled without.
    """

    def __call__(self, graph: torch.fx.Graph) -> None:
        """Look at the joint graph of forward and backward pass, before it is cut in two."""
        seeds = graph.find_nodes(op="call_function", target=torch.ops.simdrop.next_seed.default)
        if seeds and config.activation_memory_budget == 0:
            # With a budget of exactly 0 the partitioner keeps the inputs only and asks nobody. With almost 0 it
            # recomputes as much, but keeps what must be kept: 8 bytes for each call.
            next(iter(graph.nodes)).meta["memory_budget"] = 1e-12

    def uuid(self) -> Any:
        """Return what tells what this version of the package records from what others do."""
        return get_hash_for_files(tuple(sorted(map(str, Path(__file__).parent.glob("*.py")))))


def _keeps_strides(node: torch.fx.Node) -> bool:
    """Return whether the result of a dropout lies in memory as its argument does, for any value of symbols."""
    argument: Any = node.args[0]
    given, result = argument.meta["val"], node.meta["val"]
    return str(given.stride()) == str(result.stride()) and given.dtype == result.dtype


def work_in_place() -> None:
    """Let Inductor drop in place where nothing else needs the argument: a new tensor costs more than the kernel."""
    from torch._inductor import ir, lowering  # noqa: PLC0415
    from torch._inductor.fx_passes import reinplace  # noqa: PLC0415

    ops = torch.ops.simdrop
    if ops.dropout.default in reinplace.inplaceable_ops:
        return

    def lowered(x: Any, *numbers: Any) -> Any:
        ir.FallbackKernel.create(ops.drop_in_place.default, x, *numbers)
        return x

    lowering.register_lowering(ops.dropout_.default, type_promotion_kind=None)(lowered)
    reinplace.inplaceable_ops[ops.dropout.default] = reinplace.InplaceableOp(ops.dropout_.default, 0, _keeps_strides)
