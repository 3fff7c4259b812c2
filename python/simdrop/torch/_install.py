"""Putting the kernels behind PyTorch's dispatcher, and taking them away again."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

import torch

from simdrop.torch._aten import KERNELS, OF_DTENSORS, serve
from simdrop.torch._front import leave_front, serve_front
from simdrop.torch._inference import leave_dtensors, serve_dtensors

_lock = threading.RLock()


class _Registration:
    """The state of this process: whether `install` was called, and how many `accelerated` blocks are open."""

    wanted = False
    compiles = False
    blocks = 0
    library: torch.library.Library | None = None

    @property
    def serving(self) -> bool:
        """Whether PyTorch's dropout is to be served."""
        return self.wanted or self.blocks > 0

    def settle(self) -> None:
        """Do what the state asks for.

        PyTorch's dispatcher reads its tables without a lock, so that taking a kernel away while another thread calls
        it can crash. While there are other threads, kernels therefore stay registered and pass all calls on.
        """
        if not self.serving:
            leave_front()
            leave_dtensors()
        else:
            serve_dtensors(OF_DTENSORS)
        serve(self.serving)
        if self.serving and self.library is None:
            self.library = _register()
        if self.serving:
            serve_front()
        elif self.library is not None and threading.active_count() == 1:
            self.library._destroy()
            self.library = None
            _forget_resolutions()


_state = _Registration()


def _register() -> torch.library.Library:
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        # PyTorch warns that native_dropout had a kernel: that is the purpose
        warnings.filterwarnings("ignore", message="(?s).*Overriding a previously registered kernel")
        for key, name, kernel in KERNELS:
            library.impl(name, kernel, key)
    _forget_resolutions()
    return library


def _forget_resolutions() -> None:
    """Clear what the Python dispatcher, which torch.compile uses, remembers of these operators."""
    for _, name, _ in KERNELS:
        getattr(torch.ops.aten, name).default._dispatch_cache.clear()


def _compile_with(backend: str | None) -> None:
    """Set what torch.compile uses where no backend is named, None for Inductor; does nothing if it is another's."""
    if not hasattr(torch.compiler, "set_default_backend"):
        raise RuntimeError(
            f"compile: got True with PyTorch {torch.__version__}; accepted from PyTorch 2.12 on, before that name the "
            'backend: torch.compile(model, backend="simdrop")'
        )
    if torch.compiler.get_default_backend() == ("inductor" if backend else "simdrop"):
        torch.compiler.set_default_backend(backend)


def install(*, compile: bool = False) -> None:
    """Serve PyTorch's dropout on the CPU from here on, in the whole process.

    Afterwards `torch.nn.Dropout`, `torch.nn.functional.dropout` and whatever else ends in PyTorch's dropout operators
    (attention, recurrent layers, Keras) run on the kernels of this package; models do not change. Calling it again
    does nothing. Best called before threads are started that use PyTorch.

    Parameters
    ----------
    compile : bool, keyword only
        Make the backend "simdrop" that which `torch.compile` takes if none is named. What was compiled before stays as
        it is. A default that somebody else has set stays too.

    Raises
    ------
    RuntimeError
        If `compile` is set and PyTorch has no `torch.compiler.set_default_backend`; if DTensor cannot be told.

    See Also
    --------
    uninstall : the way back.
    accelerated : for the length of a block.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> simdrop.torch.install()
    >>> simdrop.torch.installed()
    True
    >>> simdrop.torch.uninstall()
    """
    with _lock:
        if compile:
            _compile_with("simdrop")
            _state.compiles = True
        before, _state.wanted = _state.wanted, True
        try:
            _state.settle()
        except RuntimeError:
            _state.wanted = before
            raise


def uninstall() -> None:
    """Give dropout back to PyTorch; does nothing if it was not installed, and ends no `accelerated` block.

    While other threads are alive the kernels stay registered, and hand each call on to PyTorch's own implementation;
    that costs a microsecond. Another `uninstall` later takes them away.
    """
    with _lock:
        if _state.compiles:
            _compile_with(None)
            _state.compiles = False
        _state.wanted = False
        _state.settle()


def installed() -> bool:
    """Return whether PyTorch's dropout is served by this package at the moment."""
    return _state.serving


@contextlib.contextmanager
def accelerated() -> Iterator[None]:
    """Serve PyTorch's dropout on the CPU for the length of a ``with`` block.

    The registration is that of the process: other threads see it too. Blocks may be nested, and overlap between
    threads; the last one to end gives dropout back to PyTorch, unless `install` was called.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> with simdrop.torch.accelerated():
    ...     y = torch.nn.functional.dropout(torch.ones(1000), 0.5)
    >>> simdrop.torch.installed()
    False
    """
    try:
        with _lock:
            _state.blocks += 1
            _state.settle()
        yield
    finally:
        with _lock:
            _state.blocks -= 1
            _state.settle()
