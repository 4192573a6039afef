"""Scaling: multiply the updates by a number, by a schedule, by minus the learning rate."""

from typing import NamedTuple

from .._core.arguments import is_function
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, LearningRate, Real, Schedule


class ScaleByScheduleState(NamedTuple):
    """Number of updates scaled so far: what the schedule sees next."""

    count: Count


def _scaled(g, state, p, h):
    return h.step_size * g, state


def _scaled_against(g, state, p, h):
    return -h.step_size * g, state


_SCALE = Rule(_scaled, keeps_zero=True)
_SCALE_BY_SCHEDULE = Rule(
    _scaled, state=ScaleByScheduleState, reports=(("step_size", "step_size"),)
)
_RATE = (("learning_rate", "step_size"),)
_ASCEND = Rule(_scaled, reports=_RATE, keeps_zero=True)
_ASCEND_BY_SCHEDULE = Rule(_scaled, state=ScaleByScheduleState, reports=_RATE, keeps_zero=True)
_DESCEND = Rule(_scaled_against, reports=_RATE, keeps_zero=True)
_DESCEND_BY_SCHEDULE = Rule(
    _scaled_against, state=ScaleByScheduleState, reports=_RATE, keeps_zero=True
)


@transformation
def scale(step_size: Real) -> GradientTransformation:
    """Multiply every update by the same number.

    For each array g:

        u = step_size g

    Shapes: any.
    Units: u is in units of g times those of `step_size`.

    Args:
        step_size: Any finite number; a negative one turns ascent into descent.

    Returns:
        The transformation, without state.

    Raises:
        ValueError: If `step_size` is not finite.
        TypeError: If it is no number. For a schedule there is `scale_by_schedule`.
    """
    return lift(_SCALE, step_size=step_size)


@transformation
def scale_by_schedule(step_size_fn: Schedule) -> GradientTransformation:
    """Multiply every update by a number that depends on the step.

    For each array g, at count = 0, 1, 2, ...:

        u = step_size_fn(count) g

    Shapes: any.
    Units: u is in units of g times those of the schedule.

    Args:
        step_size_fn: Schedule: the count, an integer array that starts at 0, to a number. It may
            be traced, so it must not branch in Python on the count.

    Returns:
        The transformation, with a `ScaleByScheduleState`.

    Raises:
        TypeError: If `step_size_fn` is no function. For a number there is `scale`.
    """
    if not is_function(step_size_fn):
        raise TypeError(
            "scale_by_schedule: `step_size_fn` must be a function of the step, but is "
            f"{step_size_fn!r}. For a number use scale(step_size)."
        )
    return lift(_SCALE_BY_SCHEDULE, step_size=step_size_fn)


@transformation
def scale_by_learning_rate(
    learning_rate: LearningRate, *, flip_sign: bool = True
) -> GradientTransformation:
    """Multiply every update by minus the learning rate: the last link of a descent.

    For each array g, at count = 0, 1, 2, ... if the learning rate is a schedule:

        u = -learning_rate g

    Shapes: any.
    Units: u is in units of the parameters.

    Args:
        learning_rate: Number in [0, inf), or a schedule: a function from the count, which starts
            at 0, to such a number.
        flip_sign: Whether to multiply by -1 as well, so that adding u descends.

    Returns:
        The transformation, with a `ScaleByScheduleState` if the learning rate is a schedule,
        else without state.

    Raises:
        ValueError: If `learning_rate` is negative or not finite.
        TypeError: If it is neither a number nor a schedule.
    """
    if is_function(learning_rate):
        rule = _DESCEND_BY_SCHEDULE if flip_sign else _ASCEND_BY_SCHEDULE
    else:
        rule = _DESCEND if flip_sign else _ASCEND
    return lift(rule, step_size=learning_rate)
