"""Whether a gradient belongs to the backward pass alone, so that it may be changed where it is.

That saves the memory of a second gradient, which costs more than the kernel: in a transformer's training step about
half of all that dropout still costs.

PyTorch reuses gradients by the same test (AccumulateGrad's, for one): nobody else can see a tensor that nobody else
refers to. How many references the engine and the call itself hold depends on the versions of PyTorch and Python, so
that is measured once, on a gradient that is known to be alone.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import torch
from torch import Tensor

# References to the tensor from C++, to its Python object and to its memory; then to the tensor that it is a view of,
# which it holds itself: most gradients of a linear layer's input are such views.
Counts: TypeAlias = tuple[int, ...]

_of_storage: Any = getattr(torch._C, "_storage_Use_Count", None)
_of_tensor: Any = getattr(Tensor, "_use_count", None)
# The node that the engine is at: a backward function that is called by hand holds fewer references, and its caller one.
current_node: Any = getattr(torch._C, "_current_autograd_node", None)
KNOWABLE = None not in (_of_storage, _of_tensor, current_node)


def counts(gradient: Tensor) -> Counts:
    """Count the references to a gradient; always called at the same depth, which itself holds some."""
    storage = gradient.untyped_storage()
    # memory that came from outside, from NumPy for example, cannot be resized, and may have owners that nobody counts
    own = _of_tensor(gradient), sys.getrefcount(gradient), _of_storage(storage._cdata), int(storage.resizable())
    base = gradient._base
    return own if base is None else (*own, _of_tensor(base), sys.getrefcount(base))
