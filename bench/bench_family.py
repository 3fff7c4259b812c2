"""Times the members of the family against the obvious NumPy expression, and against PyTorch.

The expression draws its mask, as simdrop does; beside it stands the same with a mask that NumPy is given for nothing.
Every answer is checked first. Run
`python bench/bench_family.py --help` for the options and see README.md in this folder.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import simdrop
from contestants import SEED, Array
from machine import count_name, extra_memory, optional
from plot_family import plot_family
from report import Result, WrongAnswerError, conduct, progress, read_options, result
from timing import Statement, alternate, paired_ratio

Call = Callable[[], Any]


class Case(NamedTuple):
    """One comparison of calls that have been checked."""

    name: str
    elements: int
    ours: Call
    numpy: Call
    torch: Call | None = None
    target: float | None = None
    given: Call | None = None  # NumPy with a mask that was drawn before


def same(name: str, answer: Array, wanted: Array) -> None:
    """Raise unless two answers agree but for roundings."""
    try:
        np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-5)
    except AssertionError as error:
        raise WrongAnswerError(f"{name}: {error}") from None


def cases(elements: int, torch: Any, threads: int = 1) -> Iterator[Case]:
    """Yield all cases for arrays of about `elements` float32 numbers; results go into arrays that exist if they can."""
    rng = np.random.default_rng(SEED)
    rows = max(1, elements // 1024)
    x = rng.standard_normal((rows, 1024)).astype(np.float32)
    y, out, bias, residual = x.copy(), np.empty_like(x), x[0].copy(), x[::-1].copy()
    one, scale, stream = np.float32(1), np.float32(1 / 0.9), simdrop.Stream(SEED)
    generator = np.random.default_rng(SEED)
    tx, tbias, tresidual = (torch and torch.from_numpy(array) for array in (x, bias, residual))

    def times(array: Array, factor: Array) -> Call:
        return partial(np.multiply, array, factor, out=out.reshape(array.shape))

    def operator(name: str, array: Array) -> Call | None:
        found = None if torch is None else getattr(torch.nn.functional, name, None)
        return found and partial(found, torch.from_numpy(array), 0.1, training=True)

    def case(
        name: str,
        member: Callable[..., Any],
        formula: Callable[[Array], Call],
        *,
        p: float = 0.1,
        part: Any = (),
        draw: Callable[[], Array] | None = None,
        shape: tuple[int, ...] | None = x.shape,
        torch: Call | None = None,
        target: float | None = 1.0,
    ) -> Case:
        """Check `member` against `formula`, which makes NumPy's call from the bits; `shape` is that of `out`.

        `part` of the bits says them all; NumPy draws as many, or calls `draw`.
        """
        answer, drawn = member(rng=1, return_drawn=True)
        bits = getattr(drawn, "mask", drawn).keep()[part]
        given = formula(bits)
        same(name, answer, given())
        draw = draw or (lambda: generator.random(bits.shape, np.float32) >= p)
        into = {} if shape is None else {"out": out.reshape(shape)}
        ours = partial(member, rng=stream, threads=threads, **into)

        def numpy() -> object:
            call = formula(draw())
            return call()

        return Case(name, answer.size, ours, numpy, torch, target, given)

    length = math.isqrt(elements)
    length -= length % 64
    query, values = rng.standard_normal((2, 1, length, 64)).astype(np.float32)

    def numpy_attention(keep: Array) -> Array:
        scores = query @ query.swapaxes(-1, -2) * np.float32(1 / 8)
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray((powers / powers.sum(axis=-1, keepdims=True) * (keep * scale)) @ values)

    yield case(
        "scaled_dot_product_attention",
        partial(simdrop.scaled_dot_product_attention, query, query, values, 0.1),
        lambda keep: partial(numpy_attention, keep),
        shape=None,
    )
    inputs = rng.standard_normal((64, length)).astype(np.float32)
    weight = rng.standard_normal((length, length)).astype(np.float32)
    yield case(
        "drop_connect, 64 rows",
        partial(simdrop.drop_connect, inputs, weight, p=0.1),
        lambda keep: lambda: inputs @ (weight * (keep * scale)).T,
        shape=None,
    )

    image, last, time = x.reshape(-1, 4, 16, 16), x.reshape(-1, 16, 16, 4), x.reshape(-1, 8, 128)
    single = x.reshape(-1, 64, 1, 1)
    channels_last = partial(simdrop.dropout2d, data_format="channels_last")
    # The last column is the part of the mask that says it all.
    multiplications: list[tuple[str, Any, Array, Any]] = [
        ("dropout", simdrop.dropout, x, ()),
        ("dropout2d", simdrop.dropout2d, image, np.s_[:, :, :1, :1]),
        ("dropout2d of 1 x 1 maps", simdrop.dropout2d, single, ()),
        ("dropout2d, channels last", channels_last, last, np.s_[:, :1, :1]),
        ("locked_dropout", simdrop.locked_dropout, time, np.s_[:1]),
    ]
    for name, member, array, part in multiplications:
        formula = partial(lambda keep, array: times(array, keep * scale), array=array)
        call = partial(member, array, 0.1)
        yield case(name, call, formula, part=part, shape=array.shape, torch=operator(name, array))

    for length, name in ((min(16384, x.size), ""), (1024, ", samples of 4 KiB")):
        many, in_place = x.reshape(-1, length), y.reshape(-1, length)
        half = simdrop.Mask(many.shape, 0.5, seed=1, noise_shape=(None, 1))
        unscaled = partial(simdrop.drop_path, p=0.5, scale_by_keep=False)
        same("drop_path, not scaled", unscaled(many, rng=1), many * half.keep())
        limit = partial(np.multiply, in_place, one, out=in_place)
        title, target = f"drop_path p = 0.5, in place, {{}}, against scaling{name}", 1.0 if length > 1024 else None
        ours = partial(unscaled, in_place, rng=stream, out=in_place, threads=threads)
        yield Case(title.format("not scaled"), x.size, ours, limit, target=target)
        # A scale near 1, so that values neither overflow nor vanish over thousands of calls.
        ours = partial(half.select, in_place, scale=1.0000001, out=in_place, threads=threads)
        yield Case(title.format("scaled"), x.size, ours, limit, target=target)
        yield case(
            f"drop_path p = 0.5{name}",
            partial(simdrop.drop_path, many, 0.5),
            lambda keep, many=many: times(many, keep * np.float32(2)),  # type: ignore[misc]
            p=0.5,
            part=np.s_[:, :1],
            shape=many.shape,
        )

    prime = -1.7580993408473766
    a = np.float32(((1 - 0.1) * (1 + 0.1 * prime**2)) ** -0.5)
    b = np.float32(-a * prime * 0.1)

    def numpy_alpha(keep: Array) -> object:
        np.copyto(out, np.float32(prime))
        np.copyto(out, x, where=keep)
        np.multiply(out, a, out=out)
        return np.add(out, b, out=out)

    yield case(
        "alpha_dropout",
        partial(simdrop.alpha_dropout, x, 0.1),
        lambda keep: partial(numpy_alpha, keep),
        torch=operator("alpha_dropout", x),
    )

    gaussian = partial(simdrop.gaussian_dropout, x, 0.1)
    noise = simdrop.Noise(x.shape, 1 / 3, seed=1)
    same("gaussian_dropout", gaussian(rng=1), x * noise.apply(np.ones_like(x)))
    yield Case(
        "gaussian_dropout, noise drawn by both",
        x.size,
        partial(gaussian, rng=stream, out=out, threads=threads),
        lambda: np.multiply(x, 1 + generator.standard_normal(x.shape, np.float32) * np.float32(1 / 3), out=out),
        torch and (lambda: tx * (1 + torch.randn_like(tx) / 3)),
        target=1.0,
    )

    def three_passes(mask: Array) -> object:
        total = x + bias
        total = total * mask
        return residual + total

    yield case(
        "bias_dropout_add",
        partial(simdrop.bias_dropout_add, x, bias, residual, 0.1),
        lambda keep: partial(three_passes, keep * scale),
        shape=None,
        torch=torch and (lambda: tresidual + torch.nn.functional.dropout(tx + tbias, 0.1)),
    )
    yield case("zoneout", partial(simdrop.zoneout, x, residual, 0.1), lambda keep: partial(np.where, keep, x, residual))
    gamma = 0.1 / 25 * 256 / 144

    def numpy_blocks() -> Array:
        seeds, keep = generator.random((*image.shape[:2], 12, 12), np.float32) < gamma, np.ones(image.shape, np.bool_)
        for i in range(5):
            for j in range(5):
                keep[:, :, i : i + 12, j : j + 12] &= ~seeds
        return keep

    yield case(
        "drop_block2d",
        partial(simdrop.drop_block2d, image, 0.1, 5),
        lambda keep: times(image, keep * np.float32(keep.size / np.count_nonzero(keep))),
        draw=numpy_blocks,
        shape=image.shape,
    )
    part = x[: max(1, rows // 8)]
    yield case(
        "monte_carlo_dropout, 8 samples",
        partial(simdrop.monte_carlo_dropout, part, 0.1, 8),
        lambda keep: partial(np.multiply, part, keep * scale),
        shape=None,
    )

    tokens = x.reshape(-1, 32, 256) if x.size % (32 * 256) == 0 else x.reshape(-1, 4, 256)
    patched, drawn = simdrop.patch_dropout(tokens, 0.5, rng=1, return_drawn=True)
    chosen, first = drawn.indices(), np.arange(len(tokens))[:, None]
    same("patch_dropout", patched, tokens[first, chosen])

    def numpy_patches() -> Array:
        order = generator.random((len(tokens), tokens.shape[1] - 1)).argsort(axis=1)[:, : chosen.shape[1] - 1] + 1
        order.sort(axis=1)
        return np.asarray(tokens[first, np.concatenate([np.zeros_like(first), order], axis=1)])

    yield Case(
        "patch_dropout",
        tokens.size,
        partial(simdrop.patch_dropout, tokens, 0.5, rng=stream),
        numpy_patches,
        target=1.0,
        given=lambda: tokens[first, chosen],
    )

    def numpy_concrete() -> Array:
        u = generator.random(x.shape)
        z = 1 / (1 + np.exp(-(np.log(0.1) - np.log1p(-0.1) + np.log(u) - np.log1p(-u)) / 0.1))
        return np.asarray(np.multiply(x, (1 - z) / 0.9, out=out, casting="same_kind"))

    concrete = partial(simdrop.concrete_dropout, x, 0.1)
    y, relaxed = concrete(rng=1, return_drawn=True)
    same("concrete_dropout", y, x * ((1 - relaxed.relaxed()) / 0.9))
    ours = partial(concrete, rng=stream, out=out, threads=threads)
    yield Case("concrete_dropout", x.size, ours, numpy_concrete, target=1.0)

    words = rng.integers(0, rows, rows)

    def rows_of(keep: Array) -> Array:
        return np.asarray(x[words] * (keep * scale)[words][:, None])

    def numpy_gradient(keep: Array) -> Array:
        total = np.zeros_like(x)
        np.add.at(total, words, x * (keep * scale)[words][:, None])
        return total

    yield case(
        "embedding_dropout",
        partial(simdrop.embedding_dropout, words, x, 0.1),
        lambda keep: partial(rows_of, keep),
        shape=None,
    )
    _, looked_up = simdrop.embedding_dropout(words, x, 0.1, rng=1, return_drawn=True)
    kept = looked_up.mask.keep()
    same("embedding_dropout, backward", looked_up.backward(x, words), numpy_gradient(kept))
    yield Case(
        "embedding_dropout, backward, mask given to NumPy",
        x.size,
        partial(looked_up.backward, x, words, threads=threads),
        partial(numpy_gradient, kept),
        target=1.0,
    )


def measure(options: argparse.Namespace) -> tuple[list[Result], dict[str, Any]]:
    """Time each member against each of its rivals."""
    torch = None if options.no_torch else optional("torch")
    if torch:
        torch.set_num_threads(options.threads)
    results = []
    for size in progress(options.sizes, count_name):
        for case in cases(size, torch, options.threads):
            if not options.wanted(case.name):
                continue
            sides = {"simdrop": case.ours, "NumPy": case.numpy, "NumPy, mask given": case.given, "PyTorch": case.torch}
            statements = [Statement(name, call) for name, call in sides.items() if call is not None]
            extra: dict[str, Any] = {"extra_bytes": extra_memory(case.ours)}
            extra["numpy_extra_bytes"] = extra_memory(case.numpy)
            samples = alternate(statements, seconds_each=options.seconds)
            ours = samples.pop("simdrop")
            for name, taken in samples.items():
                results.append(
                    result(
                        f"{case.name}/{count_name(size)}/{name}",
                        paired_ratio(taken, ours),
                        unit="ratio",
                        better="higher",
                        target=case.target if name == "NumPy" else None,
                        reference=name,
                        elements=case.elements,
                        **extra,
                        giga_elements_per_second=case.elements / ours.spread.median / 1e9,
                    )
                )
    return results, {}


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when an answer was wrong."""
    sizes, quick = ("4Ki", "256Ki", "16Mi"), ("64Ki",)
    no_torch = {"action": "store_true", "help": "leave PyTorch out"}
    options = read_options(__doc__, words, sizes=sizes, quick_sizes=quick, seconds=0.5, no_torch=no_torch)
    return conduct("family", options, lambda out: measure(options), draw=plot_family)


if __name__ == "__main__":
    sys.exit(main())
