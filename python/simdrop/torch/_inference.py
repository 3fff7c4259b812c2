"""Dropout of DTensors in inference mode: the one place where something private of PyTorch is needed for them.

Elsewhere a DTensor arrives at the kernels that are registered for AutogradCPU, a public interface. Inference mode takes
that key away; then a DTensor goes straight to its own dispatch, which calls the operator on the pieces: each would get
the beginning of the mask. `DTensor._op_dispatcher._custom_op_handlers` is a dictionary of functions that are asked
first, and used here.

Public alternatives, and why they failed (PyTorch 2.13):

- `torch.distributed.tensor.experimental.register_sharding` says how arguments are to be placed, and then calls the
  operator on the pieces: that call knows neither the mesh nor which piece it has.
- `torch.library.Library.impl(..., "Python")` would take the operator from all subclasses and modes; there is no way
  back to their own.
- `OpOverload.py_impl` for the composition: DTensor follows it to find placements, and calls the operator all the same.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

_MODULE = "torch.distributed.tensor"
Kernel = Callable[..., Any]


class _Watch:
    """A finder that finds nothing by itself, and hands the module over when it has been loaded."""

    def __init__(self, loaded: Callable[[ModuleType], None]) -> None:
        self.loaded = loaded

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                self.loaded(module)

            loader.exec_module = exec_module
        return spec


def _handlers(module: ModuleType) -> dict[Any, Kernel]:
    dispatcher = getattr(module.DTensor, "_op_dispatcher", None)
    handlers = getattr(dispatcher, "_custom_op_handlers", None)
    if not isinstance(handlers, dict):
        raise RuntimeError(
            f"install: got PyTorch {torch.__version__}, in which DTensor has no _op_dispatcher._custom_op_handlers; "
            "accepted: a version that has it, because DTensors in inference mode would get a wrong mask"
        )
    return handlers


def _handler(op: Any, kernel: Kernel) -> Kernel:
    """Return the kernel in the form of a handler."""

    def handle(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return kernel(*args, **kwargs)

    return handle


_ours: dict[Any, Kernel] = {}
_watch: _Watch | None = None


def serve_dtensors(kernels: Mapping[Any, Kernel]) -> None:
    """Have DTensor ask these kernels, from when it is loaded on; raises if it is loaded and cannot be told."""
    global _watch  # noqa: PLW0603

    def loaded(module: ModuleType) -> None:
        global _watch  # noqa: PLW0603
        _watch = None
        handlers = _handlers(module)
        _ours.update((op, _handler(op, kernel)) for op, kernel in kernels.items() if op not in handlers)
        handlers.update(_ours)

    if not torch.distributed.is_available():
        return
    if hasattr(sys.modules.get(_MODULE), "DTensor"):
        loaded(sys.modules[_MODULE])
    elif _watch is None:
        _watch = _Watch(loaded)
        sys.meta_path.insert(0, _watch)


def leave_dtensors() -> None:
    """Take the kernels away again."""
    global _watch  # noqa: PLW0603
    if _watch in sys.meta_path:
        sys.meta_path.remove(_watch)
    _watch = None
    if _ours:
        handlers = _handlers(sys.modules[_MODULE])
        for op in _ours:
            handlers.pop(op, None)
        _ours.clear()
