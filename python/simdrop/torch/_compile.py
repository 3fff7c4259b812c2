"""The backend "simdrop" of torch.compile: dropout by the kernels of this package, everything else by Inductor.

Dropout is found below Dynamo, where AOTAutograd records PyTorch's operators: whatever function or module it came from
(attention, recurrent layers), it is one of a few operators there, and this package has a Python kernel for each of them
that only PyTorch's Python dispatcher calls, that is to say only while something is recorded (_aten.py). They record
simdrop::next_seed and simdrop::dropout (_ops.py) while this backend compiles, and nothing else than before otherwise.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch


class _State(threading.local):
    compiling = False


_state = _State()


def compiling() -> bool:
    """Return whether this thread records a graph for the backend "simdrop"."""
    return _state.compiling


@contextlib.contextmanager
def _recording() -> Iterator[None]:
    before, _state.compiling = _state.compiling, True
    try:
        yield
    finally:
        _state.compiling = before


def _inductor(mode: str | None, options: dict[str, Any] | None) -> Any:
    """Return the compiler Inductor as torch.compile would set it up, with this package's pass over the joint graph."""
    # Inductor takes a second to import, so it is left to the first graph
    from torch._inductor import config  # noqa: PLC0415

    from simdrop.torch._joint_graph import JointGraphPass, work_in_place  # noqa: PLC0415

    work_in_place()
    compiler: Any = torch._TorchCompileInductorWrapper(mode, options, None)
    theirs = compiler.config.get("joint_custom_pre_pass", config.joint_custom_pre_pass)
    ours = JointGraphPass()
    if theirs is None:
        compiler.config["joint_custom_pre_pass"] = ours
    else:
        compiler.config["joint_custom_pre_pass"] = [*(theirs if isinstance(theirs, (list, tuple)) else [theirs]), ours]
    return compiler


def backend(
    graph: torch.fx.GraphModule,
    example_inputs: Sequence[Any],
    *,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
) -> Callable[..., Any]:
    """Compile a graph of Dynamo's; torch.compile calls this for ``backend="simdrop"``.

    Parameters
    ----------
    graph : GraphModule
        The graph.
    example_inputs : sequence
        Its inputs, as fake tensors.
    mode : str, optional
        As for `torch.compile` with Inductor.
    options : dict, optional
        As for `torch.compile` with Inductor.

    Returns
    -------
    callable
        The compiled graph.

    Examples
    --------
    >>> import torch
    >>> compiled = torch.compile(torch.nn.Dropout(0.5), backend="simdrop")
    """
    from simdrop.torch._aten import record_in_graphs  # noqa: PLC0415  # it imports this module

    record_in_graphs()
    with _recording():
        return _inductor(mode, options)(graph, example_inputs)
