"""The members of the family that move data: simdrop's call, NumPy's formula given a ready mask, PyTorch's operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import simdrop
from numpy.typing import NDArray

Array = NDArray[Any]
Call = Callable[[], object]
SEED = 20240501


class Case(NamedTuple):
    """One comparison; `check` holds simdrop's answer against the formula with the mask that simdrop drew."""

    name: str
    elements: int
    ours: Call
    numpy: Call
    torch: Call | None
    check: Call
    target: float | None = None


def _same(a: Array, b: Array) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def _torch(torch: Any, x: Array) -> Any:
    return None if torch is None else torch.from_numpy(x)


def cases(elements: int, torch: Any, threads: int = 1) -> Iterator[Case]:
    """Yield all cases for arrays of about `elements` float32 numbers; results go into arrays that exist."""
    rng = np.random.default_rng(SEED)
    rows = max(1, elements // 1024)
    x = rng.standard_normal((rows, 1024)).astype(np.float32)
    out = np.empty_like(x)
    one, scale = np.float32(1), np.float32(1 / 0.9)
    stream = simdrop.Stream(SEED)
    functional: Any = None if torch is None else torch.nn.functional
    tx = _torch(torch, x)

    keep = simdrop.Mask(x.shape, 0.1, seed=1).keep()
    ready = keep * scale
    yield Case(
        "dropout",
        x.size,
        lambda: simdrop.dropout(x, 0.1, rng=stream, out=out, threads=threads),
        lambda: np.multiply(x, ready, out=out),
        None if torch is None else lambda: functional.dropout(tx, 0.1),
        lambda: _same(simdrop.Mask(x.shape, 0.1, seed=1).apply(x), x * ready),
    )

    y = x.copy()
    for length, name in ((min(16384, x.size), ""), (1024, ", samples of 4 KiB")):
        many, y_many, out_many = (v.reshape(-1, length) for v in (x, y, out))
        half = simdrop.Mask(many.shape, 0.5, seed=1, noise_shape=(None, 1))
        row = half.keep()[:, :1] * np.float32(2)
        target = 1.0 if length > 1024 else None
        yield Case(
            f"drop_path p = 0.5, in place, not scaled, against scaling{name}",
            x.size,
            lambda y=y_many: simdrop.drop_path(y, 0.5, rng=stream, out=y, scale_by_keep=False, threads=threads),  # type: ignore[misc]
            lambda y=y_many: np.multiply(y, one, out=y),  # type: ignore[misc]
            None,
            lambda half=half, many=many, row=row: _same(half.apply(many), many * row),  # type: ignore[misc]
            target,
        )
        # A scale near 1, so that values neither overflow nor vanish over thousands of calls.
        yield Case(
            f"drop_path p = 0.5, in place, scaled, against scaling{name}",
            x.size,
            lambda y=y_many, half=half: half.select(y, scale=1.0000001, out=y, threads=threads),  # type: ignore[misc]
            lambda y=y_many: np.multiply(y, one, out=y),  # type: ignore[misc]
            None,
            lambda: None,
            target,
        )
        yield Case(
            f"drop_path p = 0.5{name}",
            x.size,
            lambda many=many, to=out_many: simdrop.drop_path(many, 0.5, rng=stream, out=to, threads=threads),  # type: ignore[misc]
            lambda many=many, row=row, to=out_many: np.multiply(many, row, out=to),  # type: ignore[misc]
            None,
            lambda half=half, many=many, row=row: _same(half.apply(many), many * row),  # type: ignore[misc]
        )

    side = 16
    image = x.reshape(-1, 4, side, side)
    image_out = out.reshape(image.shape)
    channels = simdrop.Mask(image.shape, 0.1, seed=1, noise_shape=(None, None, 1, 1))
    channel = channels.keep()[:, :, :1, :1] * scale
    timage = _torch(torch, image)
    yield Case(
        "dropout2d",
        x.size,
        lambda: simdrop.dropout2d(image, 0.1, rng=stream, out=image_out, threads=threads),
        lambda: np.multiply(image, channel, out=image_out),
        None if torch is None else lambda: functional.dropout2d(timage, 0.1),
        lambda: _same(channels.apply(image), image * channel),
    )
    last = x.reshape(-1, side, side, 4)
    last_out = out.reshape(last.shape)
    lasts = simdrop.Mask(last.shape, 0.1, seed=1, noise_shape=(None, 1, 1, None))
    last_mask = lasts.keep()[:, :1, :1] * scale
    yield Case(
        "dropout2d, channels last",
        x.size,
        lambda: simdrop.dropout2d(last, 0.1, rng=stream, out=last_out, data_format="channels_last", threads=threads),
        lambda: np.multiply(last, last_mask, out=last_out),
        None,
        lambda: _same(lasts.apply(last), last * last_mask),
    )

    time = x.reshape(-1, 8, 128)
    time_out = out.reshape(time.shape)
    locked = simdrop.Mask(time.shape, 0.1, seed=1, noise_shape=(1, None, None))
    lock = locked.keep()[:1] * scale
    yield Case(
        "locked_dropout",
        x.size,
        lambda: simdrop.locked_dropout(time, 0.1, rng=stream, out=time_out, threads=threads),
        lambda: np.multiply(time, lock, out=time_out),
        None,
        lambda: _same(locked.apply(time), time * lock),
    )

    prime = -1.7580993408473766
    a = np.float32(((1 - 0.1) * (1 + 0.1 * prime**2)) ** -0.5)
    b = np.float32(-a * prime * 0.1)
    alpha, alpha_drawn = simdrop.alpha_dropout(x, 0.1, rng=1, return_drawn=True)
    alpha_keep = alpha_drawn.mask.keep()

    def numpy_alpha() -> object:
        np.copyto(out, np.float32(prime))
        np.copyto(out, x, where=alpha_keep)
        np.multiply(out, a, out=out)
        return np.add(out, b, out=out)

    yield Case(
        "alpha_dropout",
        x.size,
        lambda: simdrop.alpha_dropout(x, 0.1, rng=stream, out=out, threads=threads),
        numpy_alpha,
        None if torch is None else lambda: functional.alpha_dropout(tx, 0.1, training=True),
        lambda: _same(alpha, np.where(alpha_keep, x * a + b, a * np.float32(prime) + b)),
    )

    noise = simdrop.Noise(x.shape, 1 / 3, seed=1)
    factors = noise.apply(np.ones_like(x))
    generator = np.random.default_rng(SEED)
    yield Case(
        "gaussian_dropout, noise drawn by both",
        x.size,
        lambda: simdrop.gaussian_dropout(x, 0.1, rng=stream, out=out, threads=threads),
        lambda: np.multiply(x, 1 + generator.standard_normal(x.shape, np.float32) * np.float32(1 / 3), out=out),
        None if torch is None else lambda: tx * (1 + torch.randn_like(tx) / 3),
        lambda: _same(noise.apply(x), x * factors),
    )

    bias, residual = x[0].copy(), x[::-1].copy()
    fused, fused_drawn = simdrop.bias_dropout_add(x, bias, residual, 0.1, rng=1, return_drawn=True)
    fused_mask = fused_drawn.mask.keep() * scale

    def three_passes() -> object:
        total = x + bias
        total = total * fused_mask
        return residual + total

    tbias, tresidual = _torch(torch, bias), _torch(torch, residual)
    yield Case(
        "bias_dropout_add",
        x.size,
        lambda: simdrop.bias_dropout_add(x, bias, residual, 0.1, rng=stream, threads=threads),
        three_passes,
        None if torch is None else lambda: tresidual + functional.dropout(tx + tbias, 0.1),
        lambda: _same(fused, residual + (x + bias) * fused_mask),
        2.5,
    )

    zoned, zoned_drawn = simdrop.zoneout(x, residual, 0.1, rng=1, return_drawn=True)
    zone = zoned_drawn.mask.keep()
    yield Case(
        "zoneout",
        x.size,
        lambda: simdrop.zoneout(x, residual, 0.1, rng=stream, out=out, threads=threads),
        lambda: np.where(zone, x, residual),
        None,
        lambda: _same(zoned, np.where(zone, x, residual)),
    )

    blocks, mask = simdrop.drop_block2d(image, 0.1, 5, rng=1, return_drawn=True)
    kept = mask.keep()
    block = kept * np.float32(kept.size / np.count_nonzero(kept))
    yield Case(
        "drop_block2d, mask drawn against ready",
        x.size,
        lambda: simdrop.drop_block2d(image, 0.1, 5, rng=stream, out=image_out, threads=threads),
        lambda: np.multiply(image, block, out=image_out),
        None,
        lambda: _same(blocks, image * block),
    )

    samples, samples_drawn = simdrop.monte_carlo_dropout(x[: max(1, rows // 8)], 0.1, 8, rng=1, return_drawn=True)
    part = x[: max(1, rows // 8)]
    monte = samples_drawn.mask.keep() * scale
    yield Case(
        "monte_carlo_dropout, 8 samples",
        samples.size,
        lambda: simdrop.monte_carlo_dropout(part, 0.1, 8, rng=stream, threads=threads),
        lambda: part * monte,
        None,
        lambda: _same(samples, part * monte),
    )

    tokens = x.reshape(-1, 32, 256) if x.size % (32 * 256) == 0 else x.reshape(-1, 4, 256)
    patched, token_mask = simdrop.patch_dropout(tokens, 0.5, rng=1, return_drawn=True)
    chosen = token_mask.indices()
    first = np.arange(len(tokens))[:, None]
    yield Case(
        "patch_dropout, tokens drawn against ready",
        tokens.size,
        lambda: simdrop.patch_dropout(tokens, 0.5, rng=stream),
        lambda: tokens[first, chosen],
        None,
        lambda: _same(patched, tokens[first, chosen]),
    )
