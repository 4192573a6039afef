"""What a constructor's arguments may be: annotations that are read and checked at run time."""

import dataclasses
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any

import jax
import numpy as np

from .hints import meant, who_takes, written_signature
from .leaves import is_traced
from .live import is_live

Numeric = float | jax.Array | np.ndarray
Schedule = Callable[[Any], Any]
ScalarOrSchedule = float | jax.Array | np.ndarray | Schedule


@dataclasses.dataclass(frozen=True, repr=False)
class Interval:
    """The numbers an argument may take. Ends belong to it unless they are declared open."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    integer: bool = False
    infinite: bool = False  # whether inf itself is a sensible value ("never")

    def __contains__(self, x: float) -> bool:
        above = x > self.low if self.open_low else x >= self.low
        below = x < self.high if self.open_high else x <= self.high
        return above and below and (self.infinite or math.isfinite(x))

    def __repr__(self) -> str:
        return self._ends()

    def __str__(self) -> str:
        kind = "an integer" if self.integer else "a finite number" * (not self.infinite)
        return f"{kind or 'a number'} in {self._ends()}"

    def _ends(self) -> str:
        left = "(" if self.open_low or math.isinf(self.low) else "["
        closed = not (self.open_high or (math.isinf(self.high) and not self.infinite))
        right = "]" if closed else ")"
        return f"{left}{self.low:g}, {self.high:g}{right}"


Real = Annotated[Numeric, Interval()]
Decay = Annotated[Numeric, Interval(0.0, 1.0, open_high=True)]
Fraction = Annotated[Numeric, Interval(0.0, 1.0)]
NonNegative = Annotated[Numeric, Interval(0.0)]
Positive = Annotated[Numeric, Interval(0.0, open_low=True)]
Threshold = Annotated[Numeric, Interval(0.0, infinite=True)]
RealOrSchedule = Annotated[ScalarOrSchedule, Interval()]
NonNegativeOrSchedule = Annotated[ScalarOrSchedule, Interval(0.0)]
PositiveInt = Annotated[int, Interval(1, integer=True)]
NonNegativeInt = Annotated[int, Interval(0, integer=True)]
DecayOrSchedule = Annotated[ScalarOrSchedule, Interval(0.0, 1.0, open_high=True)]
LearningRate = NonNegativeOrSchedule
DType = Annotated[Any, "dtype"]


def is_function(x) -> bool:
    """Whether x is a function to call. A module or other pytree with `__call__` is data."""
    if isinstance(x, type) or not callable(x):
        return False
    return len(leaves := jax.tree.leaves(x)) == 1 and leaves[0] is x


def is_flag(x: Any) -> bool:
    """Whether x is True or False, also NumPy's."""
    return isinstance(x, (bool, np.bool_))


def as_flag(x: Any) -> bool | None:
    """True or False, also where they come as an array without axes; None for anything else."""
    is_array = isinstance(x, (np.ndarray, jax.Array)) and x.dtype == np.bool_ and x.ndim == 0
    return bool(x) if is_flag(x) or (is_array and not is_traced(x)) else None


def concrete_number(value) -> float | None:
    """The value as a Python float, or None if it is traced, an array with axes or no number."""
    if is_flag(value):
        return None
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, (np.ndarray, np.generic, jax.Array)) and np.ndim(value) == 0:
        if is_traced(value) or not np.issubdtype(_np_dtype(value), np.number):
            return None
        return float(value)
    return None


def _np_dtype(value) -> np.dtype:
    # bfloat16 and the float8 family are no np.number; seen as float32 they are.
    name = str(value.dtype)
    return np.dtype(np.float32) if "float" in name else np.dtype(name)


def is_numeric(annotation: Any) -> bool | None:
    """Whether an annotation is of a number that may vary; None if it does not say."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [is_numeric(m) for m in typing.get_args(annotation) if m is not type(None)]
        return kinds[0] if len(kinds) == 1 else None
    marks = getattr(annotation, "__metadata__", ())
    intervals = [mark for mark in marks if isinstance(mark, Interval)]
    if intervals:
        return not intervals[0].integer  # an integer decides about structure
    return None if annotation is inspect.Parameter.empty else False


def may_be_scheduled(annotation: Any) -> bool:
    """Whether an annotation is of a number that may be given as a schedule."""
    for member in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(member) is Annotated:
            return Schedule in typing.get_args(typing.get_args(member)[0])
    return False


def check_arguments(name: str, annotations: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Raise a ValueError or TypeError naming the first argument outside what it may be."""
    for argument, value in arguments.items():
        annotation = annotations.get(argument)
        if annotation is not None:
            _check(f"{name}: `{argument}`", annotation, value)


def _check(label: str, annotation, value) -> None:
    optional = False
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = typing.get_args(annotation)
        optional = type(None) in members
        rest = [m for m in members if m is not type(None)]
        if not optional or len(rest) != 1:
            return
        annotation = rest[0]
    if value is None and optional:
        return
    if annotation is bool:
        if not is_flag(value):
            raise TypeError(f"{label} must be True or False, but is {value!r}.")
        return
    if typing.get_origin(annotation) is Annotated:
        base, *marks = typing.get_args(annotation)
        for mark in marks:
            if isinstance(mark, Interval):
                _check_interval(label, base, mark, value)
            elif mark == "dtype" and value is not None:
                check_dtype(label, value)


def _check_interval(label: str, base, interval: Interval, value) -> None:
    if is_live(value):
        return
    if hasattr(value, "description") and type(value) in typing.get_args(base):
        return  # a described value with numbers of its own, which were checked when it was made
    takes_schedule = Schedule in typing.get_args(base)
    if is_function(value):
        if not takes_schedule:
            raise TypeError(f"{label} must be {interval}, but is a function ({value!r}).")
        return
    if is_traced(value) and np.ndim(value) == 0:
        return
    number = None if is_traced(value) else concrete_number(value)
    if number is None:
        hint = ", or a schedule" if takes_schedule else ""
        raise TypeError(f"{label} must be {interval}{hint}, but is {_short(value)}.")
    if interval.integer and math.isfinite(number) and number != int(number):
        raise TypeError(f"{label} must be {interval}, but is {value!r}.")
    if number not in interval:
        raise ValueError(f"{label} must be {interval}, but is {_short(value)}.")


def check_dtype(label: str, value) -> None:
    """Raise a TypeError if the value names no dtype that numbers can be stored in."""
    try:
        floating = jax.numpy.floating
        fits = value is not None and jax.numpy.issubdtype(jax.numpy.dtype(value), floating)
    except TypeError:
        fits = False
    if not fits:
        raise TypeError(
            f"{label} must be a floating-point dtype such as 'bfloat16', but is {value!r}."
        )


def _short(value) -> str:
    if isinstance(value, (jax.Array, np.ndarray)) and np.ndim(value):
        return f"an array of shape {np.shape(value)}"
    if isinstance(value, (jax.Array, np.generic)):
        return str(value)
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


def bind(name: str, signature: inspect.Signature, args: tuple, kwargs: dict):
    """Bind a call's arguments; an unknown name raises with the names that look like it."""
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    named = [p.name for p in signature.parameters.values() if p.kind is not p.VAR_POSITIONAL]
    for given in kwargs:
        if given not in named and not takes_any:
            close = meant(given, named)
            hint = who_takes(name, given, named) or (f" Did you mean `{close}`?" if close else "")
            takes = ", ".join(f"`{n}`" for n in named) or "nothing"
            raise TypeError(f"{name}: no argument is called `{given}`.{hint} It takes {takes}.")
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        written = written_signature(name, signature)
        choices = "".join(
            f" `{p.name}` is one of {', '.join(map(repr, typing.get_args(p.annotation)))}."
            for p in signature.parameters.values()
            if f"'{p.name}'" in str(error) and typing.get_origin(p.annotation) is typing.Literal
        )
        raise TypeError(f"{name}: {error}; its signature is {written}.{choices}") from None
