"""Monte Carlo dropout: how sure is the network of digits that are turned away from upright?

A network with dropout is trained on upright digits. Then the digits that it has not seen are rotated, and each is shown
50 times with dropout on. The entropy of the mean prediction tells what the network does not know; the spread between
the passes (mutual information) tells how much of that comes from its weights. Writes docs/pictures/uncertainty.png.
"""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import simdrop
from network import Array, Network, accuracy, arguments, digits, progress, save, softmax, train


def rotate(x: Array, degrees: float) -> Array:
    """Rotate 8 by 8 images about their centre, with bilinear interpolation; outside is 0."""
    images = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 2), (1, 2)))
    turn = math.radians(degrees)
    rows, columns = np.mgrid[0:8, 0:8] - 3.5
    at_row = np.clip(math.cos(turn) * rows - math.sin(turn) * columns + 3.5, -1, 8)
    at_column = np.clip(math.sin(turn) * rows + math.cos(turn) * columns + 3.5, -1, 8)
    i, j = np.floor(at_row).astype(int), np.floor(at_column).astype(int)
    down, right = at_row - i, at_column - j
    corners = [images[:, i + a + 1, j + b + 1] * (down if a else 1 - down) * (right if b else 1 - right)
               for a in (0, 1) for b in (0, 1)]  # fmt: skip
    return np.asarray(sum(corners).reshape(len(x), 64).astype(np.float32))


def entropy(probabilities: Array) -> Array:
    return np.asarray(-(probabilities * np.log(probabilities + 1e-12)).sum(axis=-1))


def passes(network: Network, x: Array, samples: int, rng: simdrop.Stream) -> Array:
    """Return the predictions of `samples` masked passes in one call: (samples, images, 10)."""
    active = np.maximum(network.first(x), 0)
    return softmax(network.last(simdrop.monte_carlo_dropout(active, network.dropout.current_p, samples, rng=rng)))


def main() -> None:
    options = arguments(__doc__, "uncertainty.png")
    epochs, samples = (2, 5) if options.quick else (60, 50)
    angles = range(0, 91, 45) if options.quick else range(0, 91, 5)
    data = digits(900, options.seed)
    network = Network(256, 0.5, options.seed)
    # Weight decay lets go of pixels at the border, which are empty in every upright digit.
    train(network, data, progress(range(epochs), "training"), decay=0.003)
    rng = simdrop.Stream(options.seed)
    rows = []
    for angle in progress(angles, "rotating"):
        x = rotate(data.test_x, angle)
        network.training = False
        sure = entropy(network(x)).mean()
        each = passes(network, x, samples, rng)
        total = entropy(each.mean(axis=0))
        between = total - entropy(each).mean(axis=0)
        rows.append((angle, accuracy(network, x, data.test_y), sure, total.mean(), between.mean()))
    table = np.array(rows)
    for angle, share, sure, total, between in rows[:: max(1, len(rows) // 6)]:
        print(
            f"{angle:4d} degrees: accuracy {share:.1%}, entropy {sure:.3f} without dropout, {total:.3f} with, "
            f"{between:.3f} of it between passes"
        )

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.6), gridspec_kw={"wspace": 0.08})
    left.plot(table[:, 0], table[:, 3], color="C1", label="entropy, Monte Carlo dropout")
    low = table[:, 3] - table[:, 4]
    left.fill_between(table[:, 0], low, table[:, 3], color="C1", alpha=0.25, label="of it between passes")
    left.plot(table[:, 0], table[:, 2], color="C0", linestyle="--", label="entropy, dropout off")
    left.set(xlabel="rotation, degrees", ylabel="entropy of the prediction, nats", ylim=(0, None))
    left.set_title("Least sure where it begins to fail;\nsideways it errs with confidence")
    shares = left.twinx()
    line = shares.plot(table[:, 0], 100 * table[:, 1], color="C7", linestyle=":", label="accuracy (right)")
    shares.set(ylabel="accuracy, percent", ylim=(0, 100))
    shares.spines["right"].set_visible(True)
    shares.grid(visible=False)
    handles = [*left.get_legend_handles_labels()[0], *line]
    left.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)

    number = int(np.flatnonzero(data.test_y == 7)[0])
    turned = [rotate(data.test_x[number : number + 1], angle)[0] for angle in angles]
    each = passes(network, np.stack(turned), samples, rng)
    for digit in range(10):
        line, spread = each[:, :, digit].mean(axis=0), each[:, :, digit].std(axis=0)
        if line.max() > 0.25 or options.quick:
            right.plot(list(angles), line, label=f"a {digit}")
            right.fill_between(list(angles), np.clip(line - spread, 0, 1), np.clip(line + spread, 0, 1), alpha=0.2)
    for k, image in enumerate(turned[:: max(1, len(turned) // 6)]):
        inset = right.inset_axes((k / 7 + 0.01, 1.02, 0.11, 0.16))
        inset.imshow(image.reshape(8, 8), cmap="gray_r")
        inset.axis("off")
    right.set(xlabel="rotation of one 7, degrees", ylabel="probability of each digit", ylim=(0, 1))
    right.legend(
        title="mean and standard deviation that it is", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4
    )
    save(figure, options.output)


if __name__ == "__main__":
    main()
