"""Evaluating a schedule's formula at a step: on the host in float64, or traced in JAX.

Each formula is written once, as a function of a `Clock`. The clock holds the step and the array
namespace (NumPy or `jax.numpy`), compares steps as integers, so that boundaries are exact, and
turns them into fractions only after subtracting.
"""

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._core.arguments import concrete_number, is_function

_LAST_STEP = np.iinfo(np.int64).max


def known(value: Any) -> Any:
    """A number as a Python float if it is known, else as an array of the default float dtype.

    Constructors calculate with such numbers, for example the product of a start and a factor.
    Known ones then meet in float64, whatever the formula is evaluated in later.
    """
    number = concrete_number(value)
    return jnp.asarray(value).astype(_float_dtype()) if number is None else number


def logarithm(value: Any) -> Any:
    """log of a positive number that `known` returned."""
    return float(np.log(value)) if isinstance(value, float) else jnp.log(value)


def value_at(schedule: Any, count: Any) -> Any:
    """The value of a schedule, or of a number that stands for a constant one."""
    return schedule(count) if is_function(schedule) else schedule


def from_formula(formula: Callable[["Clock", Any], Any], **numbers: Any) -> Callable:
    """A schedule from a formula.

    Args:
        formula: (clock, n) -> value, where n holds the numbers as scalars of the dtype of the
            arithmetic.
        **numbers: What `known` returned.

    Returns:
        A function of the step. A Python or NumPy number gives a Python float calculated in
        float64 on the host, a NumPy array of steps gives an array of those, and a JAX array
        gives a JAX array of the default float dtype.
    """
    traced = any(not isinstance(number, float) for number in numbers.values())

    def schedule(count):
        clock = clock_of(count, traced)
        with np.errstate(over="ignore"):  # growth without bound is inf, as under jit
            n = SimpleNamespace(**{name: clock.number(x) for name, x in numbers.items()})
            return clock.result(formula(clock, n))

    return schedule


def from_pieces(formula: Callable[["Clock", list], Any], pieces: Callable) -> Callable:
    """A schedule made of others, which need not come from a formula.

    Args:
        formula: (clock, values of the pieces) -> value.
        pieces: (clock) -> list of what the pieces return at that step.

    Returns:
        A function of the step, as `from_formula` returns. If a piece returns a traced value at a
        step that is known, so does this one.
    """

    def schedule(count):
        clock = clock_of(count)
        values = pieces(clock)
        if any(isinstance(value, Tracer) for value in values):
            clock = dataclasses.replace(clock, xp=jnp)
        return clock.result(formula(clock, [clock.number(value) for value in values]))

    return schedule


def clock_of(count: Any, traced: bool = False) -> "Clock":
    """The clock at a step; negative steps count as 0.

    Args:
        count: The step, known or a JAX array.
        traced: Whether traced numbers will meet it, so that the result must be a JAX array.
    """
    if not isinstance(count, (int, float, np.ndarray, np.generic)):
        count = jnp.asarray(count)
        return Clock(jnp, jnp.maximum(count, jnp.zeros_like(count)))
    count = np.asarray(min(count, _LAST_STEP) if isinstance(count, int) else count)
    if count.dtype == np.uint64:
        count = np.minimum(count, np.uint64(_LAST_STEP))
    if not np.issubdtype(count.dtype, np.inexact):
        count = count.astype(np.int64)
    count = np.maximum(count, 0)
    return Clock(jnp if traced else np, count)


def _float_dtype() -> np.dtype:
    return np.dtype(jax.dtypes.canonicalize_dtype(np.float64))


class Progress(NamedTuple):
    """How far a stretch of steps has been walked.

    Attributes:
        done: Fraction walked, from 0 to 1.
        left: Fraction still to go, from 1 to 0, with all its digits.
        started: Whether at least one step is walked.
        finished: Whether the whole stretch is walked.
    """

    done: Any
    left: Any
    started: Any
    finished: Any


@dataclasses.dataclass(frozen=True)
class Clock:
    """A step in an array namespace.

    Attributes:
        xp: NumPy or `jax.numpy`: what formulas call.
        count: The step, an integer array (or a float where a user passed one), at least 0. It is
            a NumPy array where the step is known, also if traced numbers meet it.
    """

    xp: Any
    count: Any

    def number(self, value: Any) -> Any:
        """A number, or an array of numbers, in the dtype of the arithmetic."""
        if self.xp is np:
            return np.asarray(value, np.float64)
        if isinstance(value, jax.Array):
            return value.astype(_float_dtype())
        return np.asarray(value, _float_dtype())

    def result(self, value: Any) -> Any:
        """What the schedule returns: a Python float for one step on the host, else an array."""
        value = self.xp.broadcast_to(value, np.shape(self.count))
        if self.xp is jnp:
            return value
        return value.copy() if value.ndim else float(value)

    @property
    def elapsed(self) -> Any:
        """The step as a number."""
        return self.number(self.count)

    @property
    def _steps(self) -> Any:
        """The namespace in which steps are compared and subtracted."""
        return jnp if isinstance(self.count, jax.Array) else np

    @property
    def _last(self) -> int:
        """The last step that can be told from the ones before."""
        if jnp.issubdtype(self.count.dtype, jnp.integer):
            return int(jnp.iinfo(self.count.dtype).max)
        return _LAST_STEP

    def reached(self, step: int) -> Any:
        """Whether count >= step. A step beyond the dtype of the count is never reached."""
        if step > self._last:
            return np.zeros(np.shape(self.count), bool)
        return self.count >= step

    def since(self, step: int) -> Any:
        """Steps since a step, 0 before it: what a schedule that starts there sees."""
        if step > self._last:
            return self._steps.zeros_like(self.count)
        return self._steps.maximum(self.count, self._steps.full_like(self.count, step)) - step

    def since_as_given(self, step: int) -> Any:
        """The same for a schedule of the user's: a Python number where the step is one."""
        steps = self.since(step)
        known_step = isinstance(steps, (np.ndarray, np.generic)) and steps.ndim == 0
        return steps.item() if known_step else steps

    def from_step(self, step: int) -> "Clock":
        """The clock of what starts at a step."""
        return dataclasses.replace(self, count=self.since(step))

    def in_cycle(self, length: int) -> "Clock":
        """The clock that starts again every `length` steps."""
        if length > self._last:
            return self
        return dataclasses.replace(self, count=self.count % length)

    def times(self, length: int) -> Any:
        """How many whole times a stretch of this length has been walked, as a number."""
        if length > self._last:
            return self.number(self._steps.zeros_like(self.count))
        return self.number(self.count // length)

    def progress(self, begin: int, length: int) -> Progress:
        """How far the stretch of `length` steps from step `begin` on has been walked."""
        finished, walked = self.reached(begin + length), self.since(begin)
        length = max(length, 1)
        if length <= self._last:
            walked = self._steps.minimum(walked, self._steps.full_like(walked, length))
            left = self.number(length - walked) / float(length)
        else:
            left = 1.0 - self.number(walked) / float(length)
        return Progress(self.number(walked) / float(length), left, walked > 0, finished)

    def between(self, progress: Progress, weight: Any, start: Any, end: Any) -> Any:
        """weight start + (1 - weight) end, exactly the start before and the end after it all."""
        mixed = weight * start + (1.0 - weight) * end
        return self.xp.where(progress.finished, end, self.xp.where(progress.started, mixed, start))

    def anneal(self, shape: str, begin: int, length: int, start: Any, end: Any) -> Any:
        """From `start` at step `begin` to `end` after `length` more, in one of the `SHAPES`."""
        progress = self.progress(begin, length)
        return self.between(progress, SHAPES[shape](self.xp, progress), start, end)


# Weight of the start on the way to the end.
SHAPES: dict[str, Callable[[Any, Progress], Any]] = {
    "linear": lambda xp, way: way.left,
    "cosine": lambda xp, way: (1.0 + xp.cos(np.pi * way.done)) / 2.0,
    "sqrt": lambda xp, way: 1.0 - xp.sqrt(way.done),
}


def whole(value: Any, label: str) -> int:
    """A number of steps as an int. It decides structure, so it cannot be a traced value."""
    if isinstance(value, Tracer):
        raise TypeError(
            f"{label} must be a known integer, but is a traced value: numbers of steps cannot "
            "vary under jit, vmap or grad."
        )
    number = concrete_number(value)
    if number is None or not number.is_integer():
        raise TypeError(f"{label} must be an integer, but is {value!r}.")
    if number < 0:
        raise ValueError(f"{label} must be 0 or more, but is {value!r}.")
    return int(value)
