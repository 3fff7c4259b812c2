"""Which p to choose: test error of the network of overfitting.py for many drop probabilities, with error bars.

Each point is the mean of twelve starts with 100, 200 and 800 noisy training digits, the bar its
standard error. Writes
docs/pictures/which_p.png.
"""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
from network import Network, accuracy, arguments, digits, progress, save, train

PROBABILITIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SIZES = ((100, "C1"), (200, "C2"), (800, "C0"))


def main() -> None:
    options = arguments(__doc__, "which_p.png")
    probabilities = (0.0, 0.5) if options.quick else PROBABILITIES
    starts, steps = (2, 20) if options.quick else (12, 400)
    figure, ax = plt.subplots(figsize=(6.4, 4))
    runs = [(size, p, start) for size, _ in SIZES for p in probabilities for start in range(starts)]
    errors: dict[tuple[int, float], list[float]] = {}
    for size, p, start in progress(runs, "training"):
        data = digits(size, options.seed + start, noise=0.3)
        network = Network(128, p, options.seed + start)
        # The same number of steps for every size, so that only the data differ.
        train(network, data, range(max(1, steps * 32 // size)), seed=start)
        errors.setdefault((size, p), []).append(1 - accuracy(network, data.test_x, data.test_y))
    for size, color in SIZES:
        mean = np.array([np.mean(errors[size, p]) for p in probabilities])
        bar = np.array([np.std(errors[size, p], ddof=1) / math.sqrt(starts) for p in probabilities])
        best = int(mean.argmin())
        print(
            f"{size:4d} digits: error {mean[0]:.2%} without dropout, {mean[best]:.2%} +- {bar[best]:.2%} "
            f"at p = {probabilities[best]}"
        )
        ax.errorbar(probabilities, 100 * mean, 100 * bar, color=color, marker="o", markersize=4, capsize=3)
        ax.plot(probabilities[best], 100 * mean[best], "o", markersize=10, fillstyle="none", color=color)
        ax.annotate(
            f"{size} training digits",
            (probabilities[0], 100 * mean[0]),
            xytext=(8, 12),
            textcoords="offset points",
            color=color,
        )
    ax.set(xlabel="drop probability p", ylabel="test error, percent", title="Which p: a circle marks the lowest mean")
    save(figure, options.output)


if __name__ == "__main__":
    main()
