"""What a call drew, as a value that knows what was done with it and has the derivative."""

from __future__ import annotations

import copyreg
import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from simdrop import _core
from simdrop._mask import Mask

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

    from simdrop._types import ArrayLike
else:

    def dataclass_transform(**options):
        """Tell type checkers about `value`; nothing happens here."""
        return lambda decorator: decorator


ClassT = TypeVar("ClassT", bound=type)


class Drawn:
    """What a member of the family returns beside its result if it is called with ``return_drawn=True``.

    A value that holds numbers, never arrays or bits: it prints as it is typed in, compares, hashes and pickles.
    `backward` is the derivative of what the call computed, whatever its options were, inference included.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> x = np.ones(3)
    >>> for member in (simdrop.dropout, simdrop.alpha_dropout, simdrop.gaussian_dropout):
    ...     y, drawn = member(x, 0.5, rng=42, return_drawn=True)
    ...     isinstance(drawn, simdrop.Drawn), drawn.backward(x).round(2)
    (True, array([2., 2., 0.]))
    (True, array([0.89, 0.89, 0.  ]))
    (True, array([2.1 , 1.29, 0.55]))
    """

    __slots__ = ()
    __module__ = "simdrop"

    def __post_init__(self) -> None:
        """Check the numbers; classes with numbers of other kinds than these do it themselves."""
        for name, check in _checks(type(self)):  # type: ignore[arg-type]
            object.__setattr__(self, name, check(name, getattr(self, name)))

    def backward(self, grad: ArrayLike, *inputs: Any, out: ArrayLike | None = None, threads: int | None = None) -> Any:
        """Return the gradient of the input, or a tuple of those of all inputs in the order of the arguments.

        Parameters
        ----------
        grad : array
            The gradient of the result.
        *inputs : array
            What the forward pass was given, for the members whose derivative depends on it.
        out : array, keyword only
            Where the (first) gradient goes, `grad` itself included, for members whose gradient has the shape of
            `grad`.
        threads : int, keyword only
            As for `dropout`.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> y, drawn = simdrop.dropout(np.ones(4), 0.5, rng=42, return_drawn=True)
        >>> drawn.backward(np.ones(4))
        array([2., 2., 0., 0.])
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        parts = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            number = getattr(self, field.name)
            if not (field.default == number and type(field.default) is type(number)):
                parts.append(f"{field.name}={number!r}" if field.kw_only else repr(number))
        return f"simdrop.{type(self).__name__}({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The format of pickles: the public name of the class, and the numbers by theirs.
        state = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]


def _load(self: Any, state: dict[str, Any]) -> None:
    self.__init__(**state)  # checks the numbers again


def _refuse_change(self: Any, name: str, value: object = None) -> None:
    raise AttributeError(f"a {type(self).__name__} cannot be changed; make another one instead of setting {name!r}")


def _as_mask(name: str, value: Any) -> Mask:
    if not isinstance(value, Mask):
        raise TypeError(f"{name}: got {_core.shown(value)}; accepted: a simdrop.Mask")
    return value


def _as_float(name: str, value: Any) -> float:
    if type(value) is float:
        return value
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: got {_core.shown(value)}; accepted: a real number") from None


def as_flag(name: str, value: Any) -> bool:
    """Return True or False, as which no other object counts."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: got {_core.shown(value)}; accepted: True or False")
    return bool(value)


# By the annotation of a field.
_CHECKS: dict[Any, Callable[[str, Any], Any]] = {"Mask": _as_mask, "float": _as_float, "bool": as_flag}


@functools.cache
def _checks(cls: Any) -> list[tuple[str, Callable[[str, Any], Any]]]:
    """Return the names of the fields of a class that are checked by their kind, and the checks."""
    return [(field.name, _CHECKS[field.type]) for field in dataclasses.fields(cls) if field.type in _CHECKS]


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def drawn_value(cls: ClassT) -> ClassT:
    """Make a class of `Drawn` a frozen dataclass with slots, public in `simdrop`."""
    made: Any = dataclasses.dataclass(frozen=True, slots=True, repr=False)(cls)
    made.__module__ = "simdrop"  # pickles name the public path
    made.__setstate__ = _load
    made.__setattr__ = made.__delattr__ = _refuse_change
    return made  # type: ignore[no-any-return]


@drawn_value
class AffineDrawn(Drawn):
    """What most members did: ``y = kept ? x * scale + shift : dropped`` for the elements of a mask.

    Parameters
    ----------
    mask : Mask
        The numbers that were drawn; in inference a mask with ``p = 0``, which drops nothing.
    scale, shift, dropped : float, keyword only
        See above.

    Examples
    --------
    >>> import numpy as np, simdrop
    >>> y, drawn = simdrop.dropout(np.ones(4), 0.5, rng=42, return_drawn=True)
    >>> drawn
    simdrop.AffineDrawn(simdrop.Mask((4,), 0.5, seed=42, stream=0, offset=0), scale=2.0)
    >>> drawn.mask.keep()
    array([ True,  True, False, False])
    """

    mask: Mask
    scale: float = dataclasses.field(default=1.0, kw_only=True)
    shift: float = dataclasses.field(default=0.0, kw_only=True)
    dropped: float = dataclasses.field(default=0.0, kw_only=True)

    def apply(self, x: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None) -> Any:
        """Return what the call computed, for any array of the mask's shape.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> simdrop.AffineDrawn(simdrop.Mask(4, 0.5, seed=42), scale=3.0, dropped=-1.0).apply(np.ones(4))
        array([ 3.,  3., -1., -1.])
        """
        return self.mask.select(x, scale=self.scale, shift=self.shift, dropped=self.dropped, out=out, threads=threads)

    def backward(  # type: ignore[override]
        self, grad: ArrayLike, *, out: ArrayLike | None = None, threads: int | None = None
    ) -> Any:
        """Return the gradient of the input: ``kept ? grad * scale : +0``.

        Examples
        --------
        >>> import numpy as np, simdrop
        >>> y, drawn = simdrop.dropout(
        ...     np.ones(4), 0.25, training=False, scaling="classic", return_drawn=True
        ... )
        >>> drawn.backward(np.ones(4))
        array([0.75, 0.75, 0.75, 0.75])
        """
        return scaled(self.mask, grad, self.scale, out, threads)


_put_mask, _put_scale, _put_shift, _put_dropped = (
    vars(AffineDrawn)[field.name].__set__ for field in dataclasses.fields(AffineDrawn)
)


def affine_drawn(mask: Mask, scale: float, shift: float = 0.0, dropped: float = 0.0) -> AffineDrawn:
    """Return an `AffineDrawn` of numbers that nobody has to check again."""
    drawn = object.__new__(AffineDrawn)
    _put_mask(drawn, mask)
    _put_scale(drawn, scale)
    _put_shift(drawn, shift)
    _put_dropped(drawn, dropped)
    return drawn


def checked(drawn: Drawn, **numbers: Any) -> None:
    """Set the numbers of a value that is being made, after its ``__post_init__`` has checked them."""
    for name, number in numbers.items():
        object.__setattr__(drawn, name, number)


def scaled(mask: Mask, grad: ArrayLike, scale: float, out: ArrayLike | None, threads: int | None) -> Any:
    """Return ``kept ? grad * scale : +0``, and +0 where `scale` is 0, whatever `grad` is."""
    p = mask.p if scale else 1.0
    numbers = (mask.seed, mask.stream, mask.offset)
    return _core.select(grad, out, p, numbers, scale, 0.0, 0.0, threads, mask.shape, mask._steps, "grad")[0]
