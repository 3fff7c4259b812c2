"""Modules: as those of torch.nn, always served by the kernels of this package.

Each is a subclass of PyTorch's module of the same name where there is one, so that code which looks for that finds it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from simdrop.torch import _functional

__all__ = [
    "AlphaDropout",
    "DropBlock2d",
    "DropConnect",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
]


class Dropout(torch.nn.Dropout):
    """Drops each element with probability `p`; see `simdrop.torch.dropout`.

    Parameters
    ----------
    p : float
        Probability of dropping an element.
    inplace : bool
        Change the input itself.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> _ = torch.manual_seed(0)
    >>> y = simdrop.torch.nn.Dropout(0.5)(torch.ones(1000))
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with elements dropped, or the input itself in evaluation mode."""
        return _functional.dropout(input, self.p, self.training, self.inplace)


class AlphaDropout(torch.nn.AlphaDropout):
    """Drops elements to the negative end of SELU; see `simdrop.torch.alpha_dropout`.

    Parameters
    ----------
    p : float
        Probability of dropping an element.
    inplace : bool
        Change the input itself.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> simdrop.torch.nn.AlphaDropout(0.5).eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with elements dropped, or the input itself in evaluation mode."""
        return _functional.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(torch.nn.FeatureAlphaDropout):
    """Drops whole channels to the negative end of SELU; see `simdrop.torch.feature_alpha_dropout`.

    Parameters
    ----------
    p : float
        Probability of dropping a channel.
    inplace : bool
        Change the input itself.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> y = simdrop.torch.nn.FeatureAlphaDropout(0.5)(torch.ones(2, 3, 4))
    >>> bool((y == y[..., :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with channels dropped, or the input itself in evaluation mode."""
        return _functional.feature_alpha_dropout(input, self.p, self.training, self.inplace)


def _channels(x: Tensor, module: torch.nn.Dropout1d | torch.nn.Dropout3d, batched: int) -> Tensor:
    """Drop channels of a batch, or of one sample where PyTorch takes one."""
    if x.dim() == batched:
        return _functional.feature_dropout(x, module.p, module.training, module.inplace)
    if x.dim() != batched - 1:
        name = type(module).__name__
        raise RuntimeError(f"{name}: expected {batched - 1}D or {batched}D input, but received a {x.dim()}D input")
    y = _functional.feature_dropout(x.unsqueeze(0), module.p, module.training, module.inplace)
    return x if module.inplace else y.squeeze(0)


class Dropout1d(torch.nn.Dropout1d):
    """Drops whole channels of (N, C, L) or (C, L).

    Parameters
    ----------
    p : float
        Probability of dropping a channel.
    inplace : bool
        Change the input itself.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> y = simdrop.torch.nn.Dropout1d(0.5)(torch.ones(2, 3, 4))
    >>> bool((y == y[..., :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with channels dropped, or the input itself in evaluation mode."""
        return _channels(input, self, 3)


class Dropout2d(torch.nn.Dropout2d):
    """Drops whole channels of (N, C, H, W).

    An input of three dimensions is a batch (N, C, L), as in PyTorch; `simdrop.dropout2d` takes it for (C, H, W).

    Parameters
    ----------
    p : float
        Probability of dropping a channel.
    inplace : bool
        Change the input itself.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> y = simdrop.torch.nn.Dropout2d(0.5)(torch.ones(2, 3, 4, 4))
    >>> bool((y == y[..., :1, :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with channels dropped, or the input itself in evaluation mode."""
        return _functional.feature_dropout(input, self.p, self.training, self.inplace)


class Dropout3d(torch.nn.Dropout3d):
    """Drops whole channels of (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    p : float
        Probability of dropping a channel.
    inplace : bool
        Change the input itself.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> y = simdrop.torch.nn.Dropout3d(0.5)(torch.ones(3, 2, 2, 2))
    >>> bool((y == y[:, :1, :1, :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with channels dropped, or the input itself in evaluation mode."""
        return _channels(input, self, 5)


class DropPath(torch.nn.Module):
    """Drops whole samples of a residual branch (stochastic depth); see `simdrop.torch.drop_path`.

    Parameters
    ----------
    p : float
        Probability of dropping a sample.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> y = simdrop.torch.nn.DropPath(0.5)(torch.ones(8, 4))
    >>> bool((y == y[:, :1]).all())
    True
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = _probability(p)

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with samples dropped, or the input itself in evaluation mode."""
        return _functional.drop_path(input, self.p, self.training)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"p={self.p}"


class DropBlock2d(torch.nn.Module):
    """Drops squares of (N, C, H, W); see `simdrop.torch.drop_block2d`.

    Parameters
    ----------
    p : float
        Probability of dropping an element, about.
    block_size : int
        Side of the squares.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> simdrop.torch.nn.DropBlock2d(0.1, 3)(torch.ones(1, 2, 8, 8)).shape
    torch.Size([1, 2, 8, 8])
    """

    def __init__(self, p: float = 0.1, block_size: int = 7) -> None:
        super().__init__()
        self.p = _probability(p)
        self.block_size = block_size

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with squares dropped, or the input itself in evaluation mode."""
        return _functional.drop_block2d(input, self.p, self.block_size, self.training)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"p={self.p}, block_size={self.block_size}"


class DropConnect(torch.nn.Linear):
    """A linear layer that drops elements of its weight; see `simdrop.torch.drop_connect`.

    Parameters
    ----------
    in_features, out_features : int
        As for `torch.nn.Linear`, of which this is a subclass: weights move from one to the other.
    p : float
        Probability of dropping an element of the weight.
    bias : bool
        Whether to add a bias, which is never dropped.
    device, dtype
        As for `torch.nn.Linear`.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> simdrop.torch.nn.DropConnect(4, 2, p=0.3)
    DropConnect(in_features=4, out_features=2, bias=True, p=0.3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        p: float = 0.5,
        bias: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.p = _probability(p)

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, with a new mask for the weight in training mode."""
        return _functional.drop_connect(input, self.weight, self.bias, self.p, self.training)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{super().extra_repr()}, p={self.p}"


def _probability(p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return p
