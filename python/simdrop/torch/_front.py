"""What torch.nn.functional.dropout calls, in front of PyTorch's dispatcher.

PyTorch looks its C++ function up anew in each call, through a `__getattr__` in Python (torch/_VF.py), which takes
longer than everything else that a call without dropout does; and from the dispatcher back to Python is as far again.
So the function is put where it is looked for. It does what the kernels behind the dispatcher do with ordinary tensors,
and hands on to PyTorch's own function, and so to them, whatever is not just that or wants to be seen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from simdrop.torch._aten import numbers
from simdrop.torch._autograd import drop, drop_small
from simdrop.torch._memory import is_plain, is_small, transforms
from simdrop.torch._random import next_seed
from simdrop.torch._shard import active

_own = torch._C._VariableFunctions.dropout
_functions: Any = torch._VF
_modes = torch._C._len_torch_dispatch_stack
_trace = torch._C._get_tracing_state
_profiler: Any = torch.autograd
_is_profiled = getattr(_profiler, "_profiler_enabled", bool)


def dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """Return what aten::dropout returns."""
    if type(x) is Tensor and type(p) is float and _trace() is None and not _modes() and not _is_profiled():
        if train is True:
            if 0 < p <= 1 and forward_ad._current_level < 0 and not transforms():
                if is_small(x) and not active.parts:
                    return drop_small(x, p, next_seed() if p < 1 else 0)  # type: ignore[return-value]
                if is_plain(x) and x.numel():
                    return drop(x, numbers(x, p))
        elif train is False and 0 <= p <= 1:
            return x
    return _own(x, p, train)


def serve_front() -> None:
    """Put the function there, unless somebody else has put something there."""
    if "dropout" in vars(_functions):
        return
    builtins = torch.jit._builtins
    pair = (dropout, "aten::dropout")  # what torch.jit.script makes of it
    if builtins._builtin_table is not None:
        builtins._register_builtin(*pair)
    elif pair not in builtins._builtin_ops:
        builtins._builtin_ops.append(pair)
    _functions.dropout = dropout


def leave_front() -> None:
    """Take it away again."""
    if vars(_functions).get("dropout") is dropout:
        del _functions.dropout
