"""What all layers are: a function of the package with its options, a stream, a mode, and what the last call drew."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, SupportsFloat, TypeAlias, TypeVar

from simdrop import _core
from simdrop._core import Stream
from simdrop._rng import RNG, as_stream
from simdrop.functional.gaussian import as_sd
from simdrop.schedules import Schedule

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**options: Any) -> Callable[[Any], Any]:
        """Stand in for the decorator that tells type checkers how a layer is constructed."""
        return lambda thing: thing


Rate: TypeAlias = SupportsFloat | Schedule
LayerT = TypeVar("LayerT", bound="Layer")

_AMOUNTS = ("p", "sd")  # what a function calls the number that a schedule may give
_DOCUMENTED = {
    "p": """p : float or callable
    The drop probability, or a schedule from the step (0, 1, ... calls in training) to it; see `simdrop.schedules`.""",
    "sd": """sd : float or callable
    The standard deviation, or a schedule from the step (0, 1, ... calls in training) to it.""",
    "rng": """rng : None, int, sequence of int, SeedSequence, Generator, BitGenerator or Stream, keyword only
    Where the masks come from, as for `simdrop.dropout`: it is made into a `Stream`, of which each call in training
    takes the next number. Two layers with the same integer draw the same masks; a stream may be shared.""",
}


@dataclass_transform(eq_default=False)
class Layer:
    """A function of the package as a layer: call it for the forward pass, `backward` for the gradient of the last call.

    A layer holds its options, a `Stream`, a step counter and what the last call drew: numbers (a `Drawn`), never bits.
    Pickled and loaded it goes on where it was, without what it drew last; `state_dict` has the four plain values that
    say where.

    One more layer is a declaration: its fields are the parameters of its constructor and are given to the function by
    name, and their documentation is the function's. ``function`` is the function, ``inputs`` how many of its leading
    arguments the calls give, ``needs`` which arguments the backward pass of what it draws wants to have again, and
    ``gradients`` which of them the gradients belong to, in their order (by default the inputs).

    Attributes
    ----------
    training : bool
        Whether calls drop; True at first. `train` and `eval` set it and return the layer.
    step : int
        Number of calls in training so far.
    drawn : Drawn or None
        What the last call drew.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> from simdrop import layers
    >>> class Rows(layers.Layer, function=simdrop.drop_path):
    ...     p: float = 0.5
    ...     rng: object = None
    >>> layer = Rows(rng=42)
    >>> layer(np.ones((4, 2)))[:, 0], layer.eval()(np.ones((4, 2)))[:, 0]
    (array([2., 2., 0., 0.]), array([1., 1., 1., 1.]))
    """

    __module__ = "simdrop.layers"

    rng: RNG  # a Stream, once the layer is made
    _function: ClassVar[Callable[..., Any]]
    _inputs: ClassVar[tuple[str, ...]]
    _needs: ClassVar[tuple[str, ...]]
    _gradients: ClassVar[tuple[str, ...]]
    _amount: ClassVar[str]
    _options: ClassVar[tuple[str, ...]]

    def __init_subclass__(
        cls,
        *,
        function: Callable[..., Any] | None = None,
        inputs: int = 1,
        needs: tuple[str, ...] = (),
        gradients: tuple[str, ...] = (),
    ) -> None:
        super().__init_subclass__()
        dataclass(eq=False, repr=False)(cls)
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        cls._options = tuple(name for name in names if name not in (*_AMOUNTS, "rng"))
        if function is None:  # a subclass of a layer, which keeps what that one declares
            return
        cls._function = staticmethod(function)
        cls._inputs = tuple(inspect.signature(function).parameters)[:inputs]
        cls._needs, cls._gradients = needs, gradients or cls._inputs
        cls._amount = next(name for name in names if name in _AMOUNTS)
        cls.__doc__ = _documentation(cls.__doc__ or "", names, function.__doc__ or "")

    def __post_init__(self) -> None:
        amount = self._given_amount
        if not callable(amount):
            _check(self._amount, amount)
        self.rng = as_stream(self.rng)
        self.training = True
        self.step = 0
        self._forget()

    def _forget(self) -> None:
        self.drawn: Any = None
        self._arrays: list[Any] = []  # what its backward pass needs
        self._calls, self._served = 0, False  # calls since the first one that no backward pass served

    @property
    def stream(self) -> Stream:
        """The stream of draws; each call in training takes its next number."""
        assert isinstance(self.rng, Stream)
        return self.rng

    @property
    def _given_amount(self) -> Any:
        return getattr(self, self._amount)

    @property
    def current_p(self) -> float:
        """The drop probability (or standard deviation) of the next call in training."""
        amount = self._given_amount
        return float(amount(self.step) if callable(amount) else amount)

    def train(self: LayerT, mode: bool = True) -> LayerT:
        """Switch to training (or to inference with False) and return the layer."""
        self.training = mode
        return self

    def eval(self: LayerT) -> LayerT:
        """Switch to inference and return the layer."""
        return self.train(False)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Return the forward pass of the inputs, which are the function's leading arguments."""
        options = {name: getattr(self, name) for name in self._options}
        result, drawn = self._function(
            *inputs,
            **named,
            **options,
            **{self._amount: self.current_p},
            rng=self.rng,
            training=self.training,
            return_drawn=True,
        )
        given = {**dict(zip(self._inputs, inputs, strict=False)), **named, **options}
        self.drawn, self._arrays = drawn, [given[name] for name in self._needs]
        self._calls, self._served = (1 if self._served else self._calls + 1), False
        self.step += self.training
        return result

    def backward(self, grad: Any) -> Any:
        """Return the gradient of the last call's input, given that of its result; of several inputs, a tuple.

        Gradients of what the layer holds (weights, a learned p) are left in attributes: ``grad_weight``, ``grad_p``.
        Only the last call is kept. For the calls before it, keep ``layer.drawn`` of each, and use its `backward`.

        Raises
        ------
        RuntimeError
            Before the first call, and when it is called again after several calls of the layer, of which it knows
            only the last.
        """
        if self.drawn is None:
            raise RuntimeError("backward: accepted: after a call of the layer")
        if self._served and self._calls > 1:
            raise RuntimeError(
                f"backward: got {self._calls} calls of the layer and a second backward pass; accepted: one, which is "
                "that of the last call; keep layer.drawn of each call, and use its backward"
            )
        result = self.drawn.backward(grad, *self._arrays)
        self._served = True
        gradients = dict(zip(self._gradients, result if isinstance(result, tuple) else (result,), strict=True))
        for name in gradients.keys() - set(self._inputs):
            setattr(self, f"grad_{name}", gradients[name])
        wanted = tuple(gradients[name] for name in self._inputs if name in gradients)
        return wanted[0] if len(wanted) == 1 else wanted or None

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
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        # The format of pickles: the parameters of the constructor by name, the mode and the step. What the last call
        # drew is not part of it.
        names = (self._amount, *self._options, "rng", "training", "step")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        parameters = dict(state)
        training, step = parameters.pop("training"), parameters.pop("step")
        self.__init__(**parameters)  # type: ignore[misc]
        self.training, self.step = training, step

    def __repr__(self) -> str:
        words = [repr(self._given_amount)]
        for name in (*self._options, "rng"):
            value = getattr(self, name)
            shape = getattr(value, "shape", None)
            words.append(f"{name}={value!r}" if shape is None else f"{name}=<array of shape {shape}>")
        return f"{type(self).__module__}.{type(self).__name__}({', '.join(words)})"


def _check(name: str, amount: Any) -> None:
    """Refuse what is no probability, or no standard deviation."""
    if name == "p":
        _core.threshold(amount)
    else:
        as_sd(amount)


def _documentation(text: str, names: list[str], function: str) -> str:
    """Return the documentation of a layer, with a section on its parameters from that of its function."""
    entries = {**_parameters(function), **_DOCUMENTED}
    section = "\n".join(["Parameters", "----------", *(entries[name] for name in names if name in entries)])
    section = re.sub(r" \[\d+\]_", "", section)  # the references stay with the function
    summary, examples, rest = inspect.cleandoc(text).partition("Examples\n--------")
    return f"{summary.rstrip()}\n\n{section}\n\n{examples}{rest}".rstrip() + "\n"


def _parameters(documentation: str) -> dict[str, str]:
    """Return the entries of a docstring's section on parameters, one for each name."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=\n\n\w+\n-+\n|\Z)", inspect.cleandoc(documentation), re.M | re.S)
    found = {}
    for entry in re.findall(r"^(\w.*(?:\n(?:    .*|(?=\n    )))*)", section[1] if section else "", re.M):
        head, _, body = entry.partition("\n")
        shared, colon, kind = head.partition(" : ")
        for name in shared.split(", "):
            found[name] = f"{name}{colon}{kind}\n{body}"
    return found
