"""What all layers share: training and inference, where p and the random numbers come from, saving and restoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsFloat

from simdrop import _core
from simdrop._core import Stream
from simdrop._rng import RNG, as_stream
from simdrop.schedules import Schedule


class Layer:
    """A layer: call it for the forward pass, `backward` for the gradient of the last call.

    A layer holds a `Stream`, a step counter and what the last call drew: numbers (a `Mask`), never bits.

    Parameters
    ----------
    p : float or callable
        The drop probability, or a schedule from the step (0, 1, ... calls in training) to it; see
        `simdrop.schedules`.
    rng : None, int, SeedSequence, Generator, BitGenerator or Stream, keyword only
        Where the masks come from, as for `simdrop.dropout`; each call in training takes the next stream number.

    Attributes
    ----------
    training : bool
        Whether calls drop; True at first. `train` and `eval` set it and return the layer.
    step : int
        Number of calls in training so far.
    mask : Mask or similar value, or None
        What the last call drew.
    """

    #: Names of the other arguments, for the repr.
    _options: tuple[str, ...] = ()

    def __init__(self, p: SupportsFloat | Schedule = 0.5, *, rng: RNG = None) -> None:
        if not callable(p):
            _core.threshold(p)
        self.p = p
        self.stream: Stream = as_stream(rng)
        self.training = True
        self.step = 0
        self.mask: Any = None

    @property
    def current_p(self) -> float:
        """The drop probability of the next call in training."""
        return float(self.p(self.step)) if callable(self.p) else float(self.p)

    def train(self, mode: bool = True) -> Layer:
        """Switch to training (or to inference with False) and return the layer."""
        self.training = mode
        return self

    def eval(self) -> Layer:
        """Switch to inference and return the layer."""
        return self.train(False)

    def __call__(self, x: Any, **inputs: Any) -> Any:
        """Return the forward pass."""
        result, self.mask = self._forward(x, self.current_p, **inputs)
        self.step += self.training
        return result

    def backward(self, grad: Any) -> Any:
        """Return the gradient of the last call's input, given that of its result."""
        if self.mask is None:
            raise RuntimeError("backward: accepted: after a call of the layer")
        return self._backward(grad)

    def state_dict(self) -> dict[str, Any]:
        """Return what makes a layer go on bit-exactly: four plain values.

        Examples
        --------
        >>> import numpy as np
        >>> from simdrop import layers
        >>> layer = layers.Dropout(0.5, rng=7)
        >>> saved = layer.state_dict()
        >>> first = layer(np.ones(8))
        >>> layer.load_state_dict(saved)
        >>> bool((layer(np.ones(8)) == first).all())
        True
        """
        seed, stream = self.stream.state
        return {"seed": seed, "stream": stream, "step": self.step, "training": self.training}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        missing = {"seed", "stream", "step", "training"} - set(state)
        if missing:
            raise ValueError(f"state: accepted: what state_dict returns; missing: {', '.join(sorted(missing))}")
        self.stream.restore((state["seed"], state["stream"]))
        self.step = int(state["step"])
        self.training = bool(state["training"])
        self.mask = None

    def __repr__(self) -> str:
        p = getattr(self.p, "__qualname__", repr(self.p)) if callable(self.p) else repr(self.p)
        options = "".join(f", {name}={getattr(self, name)!r}" for name in self._options)
        return f"simdrop.layers.{type(self).__name__}({p}{options}, rng={self.stream!r})"

    def _forward(self, *args: Any, **inputs: Any) -> tuple[Any, Any]:
        """Return the result and what was drawn, given x, p and the other inputs."""
        raise NotImplementedError

    def _backward(self, grad: Any) -> Any:
        """Return the gradient; most members need that of the result only."""
        return self.mask.backward(grad)
