"""PyTorch on a CPU: its dropout served by the kernels of this package.

>>> import torch
>>> import simdrop.torch
>>> simdrop.torch.install()  # from here on, models run as they are
>>> torch.nn.functional.dropout(torch.ones(1000), 0.5).count_nonzero() < 600
tensor(True)
>>> simdrop.torch.uninstall()

PyTorch is imported by importing this module, and by nothing else in the package.
"""

from simdrop.torch import nn
from simdrop.torch._functional import (
    alpha_dropout,
    drop_block2d,
    drop_connect,
    drop_path,
    dropout,
    dropout_,
    feature_alpha_dropout,
    feature_dropout,
)
from simdrop.torch._install import accelerated, install, installed, uninstall
from simdrop.torch._memory import kernel_calls
from simdrop.torch._ops import dropout_op
from simdrop.torch._replace import replace
from simdrop.torch._shard import shard

__all__ = [
    "accelerated",
    "alpha_dropout",
    "drop_block2d",
    "drop_connect",
    "drop_path",
    "dropout",
    "dropout_",
    "dropout_op",
    "feature_alpha_dropout",
    "feature_dropout",
    "install",
    "installed",
    "kernel_calls",
    "nn",
    "replace",
    "shard",
    "uninstall",
]
