"""Schedules made of pieces: other schedules one after the other, steps, interpolation."""

import itertools
from collections.abc import Sequence
from typing import Any

from jax.core import Tracer

from .._core.arguments import Interval, concrete_number, is_function
from .._core.constructor import schedule
from ..typing import Real, ScalarOrSchedule, Schedule
from ._evaluate import SHAPES, from_formula, from_pieces, known, value_at, whole

_FACTOR = Interval(0.0)


@schedule
def join_schedules(schedules: Sequence[ScalarOrSchedule], boundaries: Sequence[int]) -> Schedule:
    """One schedule after the other, each seeing the steps since its own beginning.

    With boundaries b_1 <= b_2 <= ... and b_0 = 0, from step b_i on, until b_(i+1):

        value = schedules[i](count - b_i)

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the schedules.

    Args:
        schedules: Schedules, or numbers for constant ones; at least one.
        boundaries: Steps at which the second, third, ... begins, 0 or more, none smaller than
            the one before; one fewer than there are schedules.

    Returns:
        The schedule.

    Raises:
        ValueError: If the numbers of schedules and boundaries do not match, or the boundaries
            decrease.
        TypeError: If a schedule is neither a function nor a number, or a boundary no integer.
    """
    pieces, starts = list(schedules), [0, *_increasing("join_schedules", boundaries)]
    if len(pieces) != len(starts):
        raise ValueError(
            f"join_schedules: `boundaries` must be one fewer than `schedules`, but there are "
            f"{len(starts) - 1} boundaries and {len(pieces)} schedules."
        )
    for index, piece in enumerate(pieces):
        check_schedule(f"join_schedules: `schedules[{index}]`", piece)

    def formula(clock, values):
        value = values[0]
        for start, later in zip(starts[1:], values[1:], strict=True):
            value = clock.xp.where(clock.reached(start), later, value)
        return value

    return from_pieces(
        formula,
        lambda clock: [
            value_at(piece, clock.since_as_given(start))
            for piece, start in zip(pieces, starts, strict=True)
        ],
    )


@schedule
def piecewise_constant_schedule(
    init_value: Real, boundaries_and_scales: dict[int, Any] | None = None
) -> Schedule:
    """Multiplied by a factor at each of some steps.

        value = init_value * (product of the factors at steps <= count)

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of `init_value`; factors have none.

    Args:
        init_value: Value before the first boundary, finite.
        boundaries_and_scales: {step: factor}, steps and factors 0 or more. None for a constant.

    Returns:
        The schedule.

    Raises:
        ValueError: If a step or a factor is negative or not finite.
        TypeError: If a step is no integer or a factor no number.
    """
    steps, values = _levels("piecewise_constant_schedule", init_value, boundaries_and_scales)

    def formula(clock, n):
        value = n.value_0
        for index, step in enumerate(steps, 1):
            value = clock.xp.where(clock.reached(step), getattr(n, f"value_{index}"), value)
        return value

    return from_formula(formula, **values)


@schedule
def piecewise_interpolate_schedule(
    interpolate_type: str, init_value: Real, boundaries_and_scales: dict[int, Any] | None = None
) -> Schedule:
    """Interpolated between the values that factors at some steps make.

    The value at boundary b_i is v_i = init_value * (product of the first i factors), v_0 at step
    0. Between two boundaries, with a = (count - b_i) / (b_(i+1) - b_i):

        value = w v_i + (1 - w) v_(i+1)

    with w = 1 - a if linear, (1 + cos(pi a)) / 2 if cosine. After the last it is constant.

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of `init_value`; factors have none.

    Args:
        interpolate_type: "linear" or "cosine".
        init_value: Value at step 0, finite.
        boundaries_and_scales: {step: factor}, steps and factors 0 or more. With a boundary at
            step 0 the value starts at its product. None for a constant.

    Returns:
        The schedule.

    Raises:
        ValueError: If a step or a factor is negative or not finite, or the type is unknown.
        TypeError: If a step is no integer or a factor no number.
    """
    name = "piecewise_interpolate_schedule"
    check_shape(name, "interpolate_type", interpolate_type, ("linear", "cosine"))
    steps, values = _levels(name, init_value, boundaries_and_scales)
    return through(interpolate_type, steps, values)


def through(shape: str, steps: Sequence[int], values: dict[str, Any]) -> Schedule:
    """From value_0 at step 0 through value_1, value_2, ... at the given steps."""
    starts = [0, *steps]

    def formula(clock, n):
        value = n.value_0
        for index, step in enumerate(steps):
            start, end = getattr(n, f"value_{index}"), getattr(n, f"value_{index + 1}")
            piece = clock.anneal(shape, starts[index], step - starts[index], start, end)
            value = clock.xp.where(clock.reached(starts[index]), piece, value)
        return value

    return from_formula(formula, **values)


def check_shape(name: str, argument: str, shape: str, allowed: tuple[str, ...] = ()) -> None:
    """Raise unless the shape is one of those allowed, by default all of `SHAPES`."""
    allowed = allowed or tuple(SHAPES)
    if shape not in allowed:
        choice = " or ".join(repr(name) for name in allowed)
        raise ValueError(f"{name}: `{argument}` must be {choice}, but is {shape!r}.")


def check_schedule(label: str, value: Any) -> None:
    """Raise unless the value is a function, a number or a traced value."""
    if not (is_function(value) or _is_number(value)):
        raise TypeError(f"{label} must be a schedule or a number, but is {value!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, Tracer) or concrete_number(value) is not None


def _increasing(name: str, boundaries: Sequence[int]) -> list[int]:
    steps = [whole(step, f"{name}: `boundaries[{i}]`") for i, step in enumerate(boundaries)]
    for earlier, later in itertools.pairwise(steps):
        if later < earlier:
            raise ValueError(
                f"{name}: `boundaries` must not decrease, but {later} comes after {earlier}. They "
                "are steps counted from 0, not lengths."
            )
    return steps


def _levels(name: str, init_value: Any, scales: dict[int, Any] | None):
    """The steps in order, and the value from the start and from each of them on, by name."""
    argument = f"{name}: `boundaries_and_scales`"
    if scales is not None and not isinstance(scales, dict):
        raise TypeError(f"{argument} must be a dict {{step: factor}} or None, but is {scales!r}.")
    factors = {whole(step, f"{argument}: step"): scale for step, scale in (scales or {}).items()}
    values = [known(init_value)]
    for step, scale in sorted(factors.items(), key=lambda item: item[0]):
        if not _is_number(scale):
            raise TypeError(f"{argument}: the factor at {step} must be a number, but is {scale!r}.")
        number = concrete_number(scale)
        if number is not None and number not in _FACTOR:
            raise ValueError(
                f"{argument}: the factor at {step} must be {_FACTOR}, but is {scale!r}."
            )
        values.append(values[-1] * known(scale))
    return sorted(factors), {f"value_{i}": value for i, value in enumerate(values)}
