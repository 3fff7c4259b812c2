"""The functions of `simdrop.torch`: as those of torch.nn.functional, with a seed for each call if you like."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._compile import _disable_dynamo

from simdrop._rng import RNG
from simdrop.torch import _forms
from simdrop.torch._autograd import replace
from simdrop.torch._composed import composes, fresh_seed, is_known, is_traced
from simdrop.torch._dtensor import arrived, is_awaited, is_dtensor, takes_dtensor
from simdrop.torch._engines import Composed, Engine, Kernels, Own, Pieces, Traced
from simdrop.torch._memory import takes, transforms
from simdrop.torch._ops import seed_tensor
from simdrop.torch._random import numbers
from simdrop.torch._shard import active, whole

_Form = Callable[[Engine, Tensor, float], Tensor]
_compiling = torch.compiler.is_compiling
_modes = torch._C._len_torch_dispatch_stack


@_disable_dynamo  # torch.compiler.disable imports the compiler, this waits until it is there
def _given_seed(generator: torch.Generator | None, rng: RNG) -> Tensor:
    """Return the seed and stream of a call that names its own source; a compiled graph breaks here."""
    words = (word - (1 << 64) if word >> 63 else word for word in numbers(generator, rng))
    return torch.tensor(list(words), dtype=torch.int64)


def _call(
    form: _Form,
    x: Tensor,
    p: float,
    training: bool,
    inplace: bool,
    *,
    generator: torch.Generator | None,
    rng: RNG,
    drawn: bool | None = None,
) -> Tensor:
    """Run a form on the engine that the circumstances ask for.

    `drawn` says whether the form draws a mask; only p = 1 needs none, as a rule.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or (x.numel() == 0 and not active.parts):
        return x
    named = generator is not None or rng is not None
    drawn = p < 1 if drawn is None else drawn
    engine: Engine
    if _compiling() and is_dtensor(x):
        return _outside(form, x, p, training, inplace, generator=generator, rng=rng, drawn=drawn)
    if _compiling() or (_modes() > 0 and not transforms() and is_traced(x) and is_known(x)):
        engine = Traced(_given_seed(generator, rng) if named else seed_tensor(drawn))
    elif takes(x):
        return form(Kernels(*(numbers(generator, rng) if drawn else (0, 0)), inplace), x, p)
    elif is_awaited(x) and not inplace:
        return _call(form, arrived(x), p, training, inplace, generator=generator, rng=rng, drawn=drawn)
    elif takes_dtensor(x):
        engine = Pieces(*(numbers(generator, rng) if drawn else (0, 0)))
    elif composes(x):
        engine = Composed(*(numbers(generator, rng) if named else (fresh_seed(), 0))) if drawn else Composed(0)
    elif named:
        raise TypeError(
            f"x: got a {type(x).__name__} ({x.dtype}, {x.device}); accepted together with rng or generator: ordinary "
            "CPU tensors of float16, bfloat16, float32 or float64"
        )
    else:
        engine = Own()
    y = form(engine, x, p)
    if not inplace:
        return y
    return x.copy_(y) if _compiling() else replace(x, y)


_outside = _disable_dynamo(_call)  # a compiled graph breaks here


def run_form(form: _Form, x: Tensor, p: float, *, rng: RNG) -> Tensor:
    """Run a form of another part of the package in training mode."""
    return _call(form, x, p, True, False, generator=None, rng=rng)


def dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
    rng: RNG = None,
) -> Tensor:
    """Set each element to zero with probability `p` and divide the others by ``1 - p``.

    As `torch.nn.functional.dropout`, by the kernels of this package whether or not they are installed.

    Parameters
    ----------
    x : Tensor
        Served here: ordinary CPU tensors of float16, bfloat16, float32 or float64. Others get PyTorch's own dropout.
    p : float
        Probability of dropping an element, from 0 to 1.
    training : bool
        False returns `x`.
    inplace : bool
        Change `x` itself, by PyTorch's rules.
    generator : torch.Generator, keyword only
        A CPU generator that gives the seed of this call, in place of PyTorch's default one.
    rng : int, SeedSequence, Generator, BitGenerator or Stream, keyword only
        Where the mask comes from, as for `simdrop.dropout`: the result for a contiguous tensor is that of NumPy.

    Returns
    -------
    Tensor
        `x` if nothing is to be done or if `inplace`, else a new tensor with the strides that PyTorch would give it.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1], or both `generator` and `rng` are given.
    TypeError
        If `generator` or `rng` is given and the kernels cannot take `x`.

    Examples
    --------
    >>> import torch, simdrop.torch
    >>> simdrop.torch.dropout(torch.ones(8), 0.5, rng=42)
    tensor([2., 2., 0., 0., 2., 0., 2., 0.])
    """
    return _call(_forms.elementwise, x, p, training, inplace, generator=generator, rng=rng)


def dropout_(x: Tensor, p: float = 0.5, *, generator: torch.Generator | None = None, rng: RNG = None) -> Tensor:
    """Apply `dropout` to `x` in place and return `x`."""
    return _call(_forms.elementwise, x, p, True, True, generator=generator, rng=rng)


def feature_dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
    rng: RNG = None,
) -> Tensor:
    """Drop whole channels of ``(N, C, ...)``: all elements with equal first two indices share their fate.

    Otherwise as `dropout`. This is `torch.nn.functional.dropout2d` and its relatives.
    """
    _at_least(x, 2, "feature_dropout")
    return _call(_forms.feature, x, p, training, inplace, generator=generator, rng=rng)


def alpha_dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
    rng: RNG = None,
) -> Tensor:
    """Drop elements to the negative end of SELU and correct all, so that mean 0 and variance 1 stay.

    Otherwise as `dropout`; see `torch.nn.AlphaDropout`.
    """
    return _call(_forms.alpha, x, p, training, inplace, generator=generator, rng=rng)


def feature_alpha_dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
    rng: RNG = None,
) -> Tensor:
    """Do `alpha_dropout` to whole channels of ``(N, C, ...)``."""
    _at_least(x, 2, "feature_alpha_dropout")
    return _call(_forms.feature_alpha, x, p, training, inplace, generator=generator, rng=rng)


def drop_path(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
    rng: RNG = None,
) -> Tensor:
    """Drop whole samples, the slices along the first dimension: stochastic depth for a residual branch.

    Otherwise as `dropout` [1]_.

    References
    ----------
    .. [1] G. Huang et al., "Deep networks with stochastic depth", ECCV 2016.
    """
    _at_least(x, 1, "drop_path")
    return _call(_forms.path, x, p, training, inplace, generator=generator, rng=rng)


def drop_block2d(
    x: Tensor,
    p: float = 0.1,
    block_size: int = 7,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
    rng: RNG = None,
) -> Tensor:
    """Drop squares of ``(N, C, H, W)`` and scale the rest so that the number of kept elements cancels out.

    As `simdrop.drop_block2d`: squares begin with the probability gamma of the paper, at most 1, so that an element is
    dropped with a probability of about `p`, less because squares overlap [1]_. So ``p = 1`` does not drop everything
    where gamma is below 1, as in torchvision. The square is no larger than the image.

    References
    ----------
    .. [1] G. Ghiasi, T.-Y. Lin, Q. V. Le, "DropBlock: a regularization method for convolutional networks",
       NeurIPS 2018.
    """
    if x.dim() != 4:
        raise ValueError(f"x: got {x.dim()} dimensions; accepted: 4, (N, C, H, W)")
    if block_size < 1:
        raise ValueError(f"block_size: got {block_size}; accepted: 1 and above")
    form = functools.partial(_forms.block, size=block_size)
    return _call(form, x, p, training, inplace, generator=generator, rng=rng, drawn=True)


def drop_connect(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    p: float = 0.5,
    training: bool = True,
    *,
    generator: torch.Generator | None = None,
    rng: RNG = None,
) -> Tensor:
    """Return a linear layer of `x` with elements of its weight dropped, one mask for the whole batch [1]_.

    References
    ----------
    .. [1] L. Wan et al., "Regularization of neural networks using DropConnect", ICML 2013.
    """
    with whole():  # what every rank has, if it is not a DTensor
        dropped = dropout(weight, p, training, generator=generator, rng=rng)
    return F.linear(x, dropped, bias)


def _at_least(x: Tensor, dimensions: int, name: str) -> None:
    if x.dim() < dimensions:
        raise ValueError(f"x: got {x.dim()} dimensions; accepted by {name}: {dimensions} and more")
