"""Stochastic depth in a residual network; attention dropout and DropConnect in a tiny transformer block.

Both are plain NumPy with hand-written gradients, trained on 400 digits with added noise, with and without dropping,
each from three starts. Writes docs/pictures/depth_and_attention.png.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import simdrop
from network import Array, Dense, accuracy, arguments, digits, loss, progress, save, softmax, train
from simdrop import layers


class Residual:
    """Blocks x + drop_path(W2 relu(W1 x)); block l is dropped with probability p * l / blocks."""

    def __init__(self, blocks: int, width: int, p: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        streams = simdrop.Stream(seed).spawn(blocks)
        self.entry, self.exit = Dense(64, width, rng), Dense(width, 10, rng)
        self.blocks = [(Dense(width, width, rng), Dense(width, width, rng)) for _ in range(blocks)]
        for _, second in self.blocks:
            second.weight *= np.float32(1 / blocks)
        self.paths = [
            layers.DropPath(rate, rng=stream)
            for rate, stream in zip(simdrop.linear_decay(p, blocks), streams, strict=True)
        ]
        self.training = True

    def __call__(self, x: Array) -> Array:
        x = self.entry(x)
        self.active = []
        for (first, second), path in zip(self.blocks, self.paths, strict=True):
            self.active.append(np.maximum(first(x), 0))
            x = x + path.train(self.training)(second(self.active[-1]))
        return softmax(self.exit(x))

    def backward(self, grad: Array) -> None:
        grad = self.exit.backward(grad)
        for (first, second), path, active in zip(
            reversed(self.blocks), reversed(self.paths), reversed(self.active), strict=True
        ):
            grad = grad + first.backward(second.backward(path.backward(grad)) * (active > 0))
        self.entry.backward(grad)

    def update(self, rate: float, decay: float) -> None:
        for dense in (self.entry, self.exit, *(d for block in self.blocks for d in block)):
            dense.update(rate, decay)


class DropConnectDense(Dense):
    """A dense layer whose weights are dropped, one mask for each batch."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator, p: float, stream: simdrop.Stream) -> None:
        super().__init__(inputs, outputs, rng)
        self.layer = layers.DropConnect(self.weight, self.bias, p, rng=stream)

    def __call__(self, x: Array) -> Array:
        return np.asarray(self.layer(x))

    def backward(self, grad: Array) -> Array:
        result = self.layer.backward(grad)
        self.gradients = [self.layer.grad_weight, self.layer.grad_bias]
        return np.asarray(result)


class Transformer:
    """The rows of a digit as eight tokens; attention, then a layer for each token, each added to its input."""

    def __init__(self, width: int, p: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.stream, other = simdrop.Stream(seed).spawn(2)
        self.embed = Dense(8, width, rng)
        self.place = (rng.standard_normal((8, width)) * 0.5).astype(np.float32)
        self.qkv = [Dense(width, width, rng) for _ in range(3)]
        self.first = DropConnectDense(width, 2 * width, rng, p, other)
        self.second, self.exit = Dense(2 * width, width, rng), Dense(8 * width, 10, rng)
        self.p, self.width, self.training = p, width, True

    def __call__(self, x: Array) -> Array:
        n = len(x)
        self.first.layer.train(self.training)
        tokens = self.embed(x.reshape(n * 8, 8)).reshape(n, 8, self.width) + self.place
        flat = tokens.reshape(n * 8, self.width)
        self.parts = [dense(flat).reshape(n, 8, self.width) for dense in self.qkv]
        mixed, self.drawn = simdrop.scaled_dot_product_attention(
            *self.parts, self.p, rng=self.stream, training=self.training, return_drawn=True
        )
        middle = flat + mixed.reshape(n * 8, self.width)
        self.active = np.maximum(self.first(middle), 0)
        y = middle + self.second(self.active)
        return softmax(self.exit(y.reshape(n, 8 * self.width)))

    def backward(self, grad: Array) -> None:
        n = len(grad)
        after = self.exit.backward(grad).reshape(n * 8, self.width)
        middle = after + self.first.backward(self.second.backward(after) * (self.active > 0))
        parts = self.drawn.backward(middle.reshape(n, 8, self.width), *self.parts)
        tokens = middle
        for dense, part in zip(self.qkv, parts, strict=True):
            tokens = tokens + dense.backward(part.reshape(n * 8, self.width))
        self.embed.backward(tokens)

    def update(self, rate: float, decay: float) -> None:
        for dense in (self.embed, *self.qkv, self.first, self.second, self.exit):
            dense.update(rate, decay)


def make(kind: str, p: float, seed: int) -> Any:
    return Residual(10, 64, p, seed) if kind == "residual network" else Transformer(32, p, seed)


KINDS = (
    ("residual network", "stochastic depth, p_L = 0.5", 0.5, 0.0002),
    ("transformer block", "attention dropout and DropConnect, p = 0.3", 0.3, 0.001),
)
EVERY = 4


def main() -> None:
    options = arguments(__doc__, "depth_and_attention.png")
    epochs, starts = (4, 1) if options.quick else (60, 3)
    curves: dict[tuple[str, str], list[list[tuple[float, float]]]] = {}
    shares: dict[tuple[str, str], list[float]] = {}
    runs = [
        (start, kind, way, p, speed)
        for start in range(starts)
        for kind, name, rate, speed in KINDS
        for way, p in (("nothing dropped", 0.0), (name, rate))
    ]
    for start, kind, way, p, speed in progress(runs, "training"):
        data = digits(400, options.seed + start, noise=0.3)
        model = make(kind, p, options.seed + start)
        curve = []
        for first in range(0, epochs, EVERY):
            train(model, data, range(first, first + EVERY), rate=speed, seed=start)
            curve.append((loss(model(data.x), data.y), loss(model(data.test_x), data.test_y)))
        curves.setdefault((kind, way), []).append(curve)
        shares.setdefault((kind, way), []).append(accuracy(model, data.test_x, data.test_y))

    figure, axes = plt.subplots(1, 2, figsize=(10, 4.8))
    for (kind, name, _, _), ax in zip(KINDS, axes, strict=True):
        for way, color in (("nothing dropped", "C1"), (name, "C0")):
            mean = np.array(curves[kind, way]).mean(axis=0)
            share = np.mean(shares[kind, way])
            print(
                f"{kind}, {way}: training loss {mean[-1, 0]:.3f}, test loss {mean[-1, 1]:.3f} "
                f"(lowest {mean[:, 1].min():.3f}), accuracy {share:.1%}"
            )
            steps = np.arange(1, len(mean) + 1) * EVERY
            ax.plot(steps, mean[:, 1], color=color, label=f"{way}: test loss, accuracy {share:.1%}")
            ax.plot(steps, mean[:, 0], color=color, linestyle=":", label="training loss")
        ax.set(title=kind, xlabel="epoch", ylabel="cross-entropy", ylim=(0, 2.4))
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
    save(figure, options.output)


if __name__ == "__main__":
    main()
