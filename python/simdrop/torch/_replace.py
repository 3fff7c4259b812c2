"""Swapping the dropout modules of a model."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from simdrop.torch import nn

ModuleT = TypeVar("ModuleT", bound=torch.nn.Module)

_SUCCESSORS: dict[type, type[torch.nn.Module]] = {
    getattr(torch.nn, name): getattr(nn, name)
    for name in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
}


def replace(model: ModuleT) -> ModuleT:
    """Swap the dropout modules of a model for those of `simdrop.torch.nn`, and return the model.

    The model is changed. The new modules keep p, mode, hooks and names; a module that is used in two places stays one
    module. Only modules of exactly PyTorch's dropout classes are swapped. A dropout that is a function call within
    another module (attention weights in `torch.nn.MultiheadAttention`, the layers of `torch.nn.LSTM`) is not a module:
    `install` serves those.

    Parameters
    ----------
    model : Module
        Any model, or a dropout module itself.

    Returns
    -------
    Module
        `model`, or its successor if it is itself a dropout module.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> simdrop.torch.replace(model)[1]
    Dropout(p=0.1, inplace=False)
    >>> type(model[1]).__module__
    'simdrop.torch.nn'
    """
    swapped: dict[torch.nn.Module | None, torch.nn.Module] = {}
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):
            if type(child) in _SUCCESSORS:
                module._modules[name] = swapped.setdefault(child, _successor(child))
    return _successor(model) if type(model) in _SUCCESSORS else model


def _successor(module: Any) -> Any:
    successor = _SUCCESSORS[type(module)]
    made = successor.__new__(successor)
    made.__dict__.update(module.__dict__)
    return made
