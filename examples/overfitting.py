"""Dropout against overfitting: a small network, few training digits, curves of training and test loss.

Dense(64, relu) - Dropout(0.5) - Dense(10, softmax), trained on 300 of scikit-learn's digits, to which noise is added,
without anything, with dropout, and with weight decay, each from ten starts. Prints the gap between test and training
loss and the accuracy, and writes docs/pictures/overfitting.png.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from network import Network, accuracy, arguments, digits, loss, progress, save, train

WAYS = (("nothing", 0.0, 0.0), ("dropout, p = 0.5", 0.5, 0.0), ("weight decay, 0.003", 0.0, 0.003))


EVERY = 3  # epochs from one point of a curve to the next


def main() -> None:
    options = arguments(__doc__, "overfitting.png")
    epochs, starts = (6, 1) if options.quick else (240, 10)
    curves: dict[str, list[list[tuple[float, float]]]] = {name: [] for name, _, _ in WAYS}
    right: dict[str, list[float]] = {name: [] for name, _, _ in WAYS}
    runs = [(start, *way) for start in range(starts) for way in WAYS]
    for start, name, p, decay in progress(runs, "training"):
        data = digits(300, options.seed + start, noise=0.3)
        network = Network(64, p, options.seed + start)
        curve: list[tuple[float, float]] = []
        for first in range(0, epochs, EVERY):
            train(network, data, range(first, first + EVERY), rate=0.001, decay=decay, seed=start)
            curve.append((loss(network(data.x), data.y), loss(network(data.test_x), data.test_y)))
        curves[name].append(curve)
        right[name].append(accuracy(network, data.test_x, data.test_y))

    print(f"after {epochs} epochs, mean of {starts} starts:")
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.8), sharey=True)
    for (name, _, _), ax in zip(WAYS, axes, strict=True):
        all_curves = np.array(curves[name])  # starts, epochs, (training, test)
        mean = all_curves.mean(axis=0)
        training, test = mean[-1]
        share = np.mean(right[name])
        print(
            f"  {name:20s} training loss {training:.3f}, test loss {test:.3f}, gap {test - training:.3f}, "
            f"lowest test loss {mean[:, 1].min():.3f}, accuracy {share:.1%}"
        )
        steps = np.arange(EVERY, epochs + 1, EVERY)
        ax.fill_between(steps, mean[:, 0], mean[:, 1], color="0.9", label="gap")
        for column, label, color in ((0, "training", "C0"), (1, "test", "C1")):
            for curve_ in all_curves[:, :, column]:
                ax.plot(steps, curve_, color=color, alpha=0.15, linewidth=0.8)
            ax.plot(steps, mean[:, column], color=color, label=label)
        ax.set_title(f"{name}\ngap {test - training:.2f}, accuracy {share:.1%}")
        ax.set_xlabel("epoch")
        ax.set_ylim(0, 1.1)
    axes[0].set_ylabel("cross-entropy")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, options.output)


if __name__ == "__main__":
    main()
