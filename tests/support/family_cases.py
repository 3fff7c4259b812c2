"""The members of the family as the tests see them: one entry for each, with its backward pass and its plain NumPy form.

``forward(x, rng)`` returns the result and a function from its gradient to the gradients of the inputs; ``plain(x,
rng)`` computes the same in a few lines of NumPy, from the mask that the oracle in reference.py draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import reference
import simdrop
from numpy.typing import NDArray

Array = Any  # arrays of one type of float
Gradients = tuple[Array, ...]
SEED = 20240501


class Case(NamedTuple):
    name: str
    inputs: tuple[tuple[int, ...], ...]
    forward: Callable[..., tuple[Array, Callable[[Array], Gradients]]]
    plain: Callable[..., Array]


def kept(shape: tuple[int, ...], p: float, bits: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
    """The mask of the first draw of the seed, by the definition."""
    own = shape if bits is None else bits
    flags = reference.keep(int(np.prod(own)), p, SEED).reshape(own)
    return np.broadcast_to(flags, shape)


def inverted(x: Array, p: float, bits: tuple[int, ...] | None = None) -> Array:
    return np.where(kept(x.shape, p, bits), x * x.dtype.type(1 / reference.keep_probability(p)), x.dtype.type(0))


def member(function: Callable[..., Any], amount: float, *, needs: int = 0, **options: Any) -> Callable[..., Any]:
    """The forward pass of a member whose derivative takes the first `needs` inputs."""

    def forward(*inputs: Array) -> Any:
        y, drawn = function(*inputs, amount, rng=SEED, return_drawn=True, **options)

        def backward(grad: Array) -> Gradients:
            found = drawn.backward(grad, *inputs[:needs])
            return found if isinstance(found, tuple) else (found,)

        return y, backward

    return forward


def plain_alpha(x: Array, bits: tuple[int, ...] | None = None) -> Array:
    p = reference.threshold(0.3) / 2**40
    prime = -1.7580993408473766
    a = ((1 - p) * (1 + p * prime**2)) ** -0.5
    b = -a * prime * p
    t = x.dtype.type
    return np.where(kept(x.shape, 0.3, bits), x * t(a) + t(b), t(a * prime + b))


def plain_gaussian_dropout(x: Array) -> Array:
    q = reference.keep_probability(0.3)
    return x * (1 + np.sqrt((1 - q) / q) * simdrop.normal(x.shape, rng=SEED)).astype(x.dtype)


def plain_gaussian_noise(x: Array) -> Array:
    return x + (0.25 * simdrop.normal(x.shape, rng=SEED)).astype(x.dtype)


def plain_blocks(x: Array) -> Array:
    _, _, height, width = x.shape
    size = 3
    gamma = 0.3 * height * width / (size**2 * (height - size + 1) * (width - size + 1))
    starts = ~kept((*x.shape[:2], height - size + 1, width - size + 1), gamma)
    dropped = np.zeros(x.shape, bool)
    for n, c, i, j in np.argwhere(starts):
        dropped[n, c, i : i + size, j : j + size] = True
    return np.where(dropped, 0, x * x.dtype.type(x.size / np.count_nonzero(~dropped)))


def plain_patch(x: Array) -> Array:
    samples, tokens = x.shape[0], x.shape[1] - 1
    words = reference.random_bits(samples * tokens, SEED).reshape(samples, tokens)
    stay = np.sort(np.argsort(words, axis=1, kind="stable")[:, : tokens // 2], axis=1) + 1
    return np.stack([x[n, [0, *stay[n]]] for n in range(samples)])


def concrete(x: Array) -> Any:
    y, drawn = simdrop.concrete_dropout(x, 0.3, temperature=0.5, rng=SEED, return_drawn=True)
    return y, lambda grad: drawn.backward(grad, x)[:1]


def plain_concrete(x: Array) -> Array:
    u = (reference.random_bits(x.size, SEED).reshape(x.shape) + 0.5) / 2**32
    z = 1 / (1 + np.exp(-(np.log(0.3) - np.log(0.7) + np.log(u) - np.log(1 - u)) / 0.5))
    return x * (1 - z) / 0.7


def embedding(weight: Array) -> Any:
    indices = np.array([[0, 3, 1], [3, 3, 5]])
    y, drawn = simdrop.embedding_dropout(indices, weight, 0.4, rng=SEED, return_drawn=True)
    return y, lambda grad: (drawn.backward(grad, indices),)


def plain_embedding(weight: Array) -> Array:
    return inverted(weight, 0.4, (len(weight), 1))[np.array([[0, 3, 1], [3, 3, 5]])]


def plain_connect(x: Array, weight: Array, bias: Array) -> Array:
    return x @ inverted(weight, 0.3).T + bias


def plain_connect_per_sample(x: Array, weight: Array, bias: Array) -> Array:
    many = inverted(np.broadcast_to(weight, (len(x), *weight.shape)), 0.3)
    return np.einsum("noi,ni->no", many, x) + bias


def plain_attend(q: Array, k: Array, v: Array) -> Array:
    scores = np.einsum("nqd,nkd->nqk", q, k) / np.sqrt(q.shape[-1])
    scores[:, ~np.tri(q.shape[1], k.shape[1], dtype=bool)] = -np.inf
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    return inverted(weights, 0.3) @ v


def sampled(x: Array) -> Any:
    y, drawn = simdrop.monte_carlo_dropout(x, 0.3, 5, rng=SEED, return_drawn=True)
    return y, lambda grad: (drawn.backward(grad),)


def plain_monte_carlo(x: Array) -> Array:
    return inverted(np.broadcast_to(x, (5, *x.shape)), 0.3)


IMAGE, ROWS, SEQUENCE = (3, 4, 6, 5), (7, 5), (6, 3, 4)

CASES = (
    Case("dropout", (ROWS,), member(simdrop.dropout, 0.4), lambda x: inverted(x, 0.4)),
    Case(
        "noise_shape",
        (SEQUENCE,),
        member(simdrop.dropout, 0.4, noise_shape=(None, 1, None)),
        lambda x: inverted(x, 0.4, (6, 1, 4)),
    ),
    Case(
        "broadcast_dims",
        (SEQUENCE,),
        member(simdrop.dropout, 0.4, broadcast_dims=(-1,)),
        lambda x: inverted(x, 0.4, (6, 3, 1)),
    ),
    Case("dropout1d", (SEQUENCE,), member(simdrop.dropout1d, 0.4), lambda x: inverted(x, 0.4, (6, 3, 1))),
    Case("dropout2d", (IMAGE,), member(simdrop.dropout2d, 0.4), lambda x: inverted(x, 0.4, (3, 4, 1, 1))),
    Case(
        "dropout2d, channels last",
        (IMAGE,),
        member(simdrop.dropout2d, 0.4, data_format="channels_last"),
        lambda x: inverted(x, 0.4, (3, 1, 1, 5)),
    ),
    Case("dropout2d, one sample", ((4, 6, 5),), member(simdrop.dropout2d, 0.4), lambda x: inverted(x, 0.4, (4, 1, 1))),
    Case("dropout3d", ((2, 3, 2, 3, 2),), member(simdrop.dropout3d, 0.4), lambda x: inverted(x, 0.4, (2, 3, 1, 1, 1))),
    Case("feature_dropout", (IMAGE,), member(simdrop.feature_dropout, 0.4), lambda x: inverted(x, 0.4, (3, 4, 1, 1))),
    Case("drop_path", (ROWS,), member(simdrop.drop_path, 0.5), lambda x: inverted(x, 0.5, (7, 1))),
    Case(
        "drop_path, batch",
        (ROWS,),
        member(simdrop.drop_path, 0.5, mode="batch"),
        lambda x: inverted(x, 0.5, (1, 1)),
    ),
    Case(
        "drop_path, not scaled",
        (ROWS,),
        member(simdrop.drop_path, 0.5, scale_by_keep=False),
        lambda x: np.where(kept(x.shape, 0.5, (7, 1)), x, x.dtype.type(0)),
    ),
    Case("attention_dropout", (SEQUENCE,), member(simdrop.attention_dropout, 0.1), lambda x: inverted(x, 0.1)),
    Case(
        "scaled_dot_product_attention",
        ((2, 5, 4), (2, 5, 4), (2, 5, 3)),
        member(simdrop.scaled_dot_product_attention, 0.3, needs=3, is_causal=True),
        plain_attend,
    ),
    Case("alpha_dropout", (ROWS,), member(simdrop.alpha_dropout, 0.3), plain_alpha),
    Case(
        "feature_alpha_dropout",
        (IMAGE,),
        member(simdrop.feature_alpha_dropout, 0.3),
        lambda x: plain_alpha(x, (3, 4, 1, 1)),
    ),
    Case("gaussian_dropout", (ROWS,), member(simdrop.gaussian_dropout, 0.3), plain_gaussian_dropout),
    Case("gaussian_noise", (ROWS,), member(simdrop.gaussian_noise, 0.25), plain_gaussian_noise),
    Case("drop_block2d", (IMAGE,), member(simdrop.drop_block2d, 0.3, block_size=3), plain_blocks),
    Case("locked_dropout", (SEQUENCE,), member(simdrop.locked_dropout, 0.4), lambda x: inverted(x, 0.4, (1, 3, 4))),
    Case("weight_drop", (ROWS,), member(simdrop.weight_drop, 0.4), lambda x: inverted(x, 0.4)),
    Case(
        "weight_drop, variational",
        (ROWS,),
        member(simdrop.weight_drop, 0.4, variational=True),
        lambda x: inverted(x, 0.4, (7, 1)),
    ),
    Case("embedding_dropout", (ROWS,), embedding, plain_embedding),
    Case(
        "zoneout",
        (ROWS, ROWS),
        member(simdrop.zoneout, 0.3),
        lambda state, previous: np.where(kept(state.shape, 0.3), state, previous),
    ),
    Case("patch_dropout", ((3, 9, 2),), member(simdrop.patch_dropout, 0.5), plain_patch),
    Case("concrete_dropout", (ROWS,), concrete, plain_concrete),
    Case(
        "bias_dropout_add",
        (ROWS, (5,), ROWS),
        member(simdrop.bias_dropout_add, 0.3),
        lambda x, b, r: r + inverted(x + b, 0.3),
    ),
    Case("drop_connect", ((4, 5), (3, 5), (3,)), member(simdrop.drop_connect, 0.3, needs=2), plain_connect),
    Case(
        "drop_connect, per sample",
        ((4, 5), (3, 5), (3,)),
        member(simdrop.drop_connect, 0.3, needs=2, per_sample=True),
        plain_connect_per_sample,
    ),
    Case("monte_carlo_dropout", (ROWS,), sampled, plain_monte_carlo),
)


def arrays(case: Case, dtype: str = "float64") -> tuple[Array, ...]:
    rng = np.random.default_rng(SEED)
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in case.inputs)
