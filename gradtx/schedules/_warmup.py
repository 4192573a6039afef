"""Warm-up before any schedule, and the usual combinations."""

from .._core.constructor import schedule
from ..typing import (
    NonNegativeInt,
    Positive,
    PositiveInt,
    Real,
    RealOrSchedule,
    Schedule,
)
from ._decay import cosine_between, exponential_decay
from ._evaluate import from_formula, from_pieces, known, value_at, whole
from ._join import check_shape


@schedule
def warmup(schedule: RealOrSchedule, steps: NonNegativeInt, init_value: Real = 0.0) -> Schedule:
    """A straight rise to the start of any schedule, which then follows from its own step 0.

    Until step `steps`, with a = count / steps:

        value = (1 - a) init_value + a schedule(0)

    and from there on schedule(count - steps).

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the schedule.

    Args:
        schedule: The schedule to warm up to, or a number for a constant one.
        steps: Length of the rise, 0 or more.
        init_value: Value at step 0, finite. At 0 the first update is zero; with
            `schedule(0) / steps` the rise starts one step up.

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2.2.
    """
    inner, length, start = schedule, whole(steps, "warmup: `steps`"), known(init_value)

    def formula(clock, values):
        after, before = values
        return clock.anneal("linear", 0, length, before, after)

    return from_pieces(
        formula, lambda clock: [value_at(inner, clock.since_as_given(length)), start]
    )


@schedule
def warmup_constant_schedule(
    init_value: Real, peak_value: Real, warmup_steps: NonNegativeInt
) -> Schedule:
    """A straight rise, then constant.

        value = (1 - a) init_value + a peak_value,   a = min(1, count / warmup_steps)

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the two values.

    Args:
        init_value: Value at step 0, finite.
        peak_value: Value from step `warmup_steps` on, finite.
        warmup_steps: Length of the rise, 0 or more; with 0 the value is `peak_value`.

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Differs: from Optax, where 0 steps mean `init_value` for ever.
    """
    length = whole(warmup_steps, "warmup_constant_schedule: `warmup_steps`")
    return from_formula(
        lambda clock, n: clock.anneal("linear", 0, length, n.start, n.peak),
        start=known(init_value),
        peak=known(peak_value),
    )


@schedule
def warmup_cosine_decay_schedule(
    init_value: Real,
    peak_value: Real,
    warmup_steps: NonNegativeInt,
    decay_steps: PositiveInt,
    end_value: Real = 0.0,
    exponent: Positive = 1.0,
) -> Schedule:
    """A straight rise, then half a period of a cosine.

    A straight line from `init_value` to `peak_value` at step `warmup_steps`; then, with
    a = (count - warmup_steps) / (decay_steps - warmup_steps) held at 1:

        w = ((1 + cos(pi a)) / 2)^exponent
        value = w peak_value + (1 - w) end_value

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the three values.

    Args:
        init_value: Value at step 0, finite.
        peak_value: Value at step `warmup_steps`, finite.
        warmup_steps: Length of the rise, 0 or more.
        decay_steps: Step from which on the value is `end_value`: the length of the whole, with
            the rise. More than `warmup_steps`.
        end_value: Value at the end, finite.
        exponent: Power of the cosine factor, in (0, inf).

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range, or `decay_steps` is not more than
            `warmup_steps`.

    Source: Loshchilov, Hutter 2016, https://arxiv.org/abs/1608.03983, equation 5.
    """
    name = "warmup_cosine_decay_schedule"
    rise = whole(warmup_steps, f"{name}: `warmup_steps`")
    total = whole(decay_steps, f"{name}: `decay_steps`")
    if total <= rise:
        raise ValueError(
            f"{name}: `decay_steps` must be more than `warmup_steps`, but is {total} with "
            f"{rise} steps of warm-up. It is the length of the whole, with the warm-up."
        )

    def formula(clock, n):
        falling = cosine_between(clock, rise, total - rise, n)
        return clock.xp.where(
            clock.reached(rise), falling, clock.anneal("linear", 0, rise, n.init, n.start)
        )

    return from_formula(
        formula,
        init=known(init_value),
        start=known(peak_value),
        end=known(end_value),
        exponent=known(exponent),
    )


@schedule
def warmup_exponential_decay_schedule(
    init_value: Real,
    peak_value: Real,
    warmup_steps: NonNegativeInt,
    transition_steps: PositiveInt,
    decay_rate: Positive,
    transition_begin: NonNegativeInt = 0,
    staircase: bool = False,
    end_value: Real | None = None,
) -> Schedule:
    """A straight rise, then `exponential_decay`.

    A straight line from `init_value` to `peak_value` at step `warmup_steps`; then, with
    k = max(0, count - warmup_steps - transition_begin):

        value = peak_value decay_rate^(k / transition_steps)

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the values.

    Args:
        init_value: Value at step 0, finite.
        peak_value: Value at step `warmup_steps`, finite.
        warmup_steps: Length of the rise, 0 or more.
        transition_steps: Steps in which the value is multiplied by `decay_rate`, at least 1.
        decay_rate: The factor, in (0, inf).
        transition_begin: Steps between the rise and the decay, 0 or more.
        staircase: Whether to change only every `transition_steps` steps.
        end_value: Bound of the decaying value: from below if `decay_rate` < 1, else from above.
            None for no bound.

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.
    """
    decay = exponential_decay(
        peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )
    return warmup(decay, warmup_steps, init_value)


@schedule
def warmup_stable_decay_schedule(
    init_value: Real,
    peak_value: Real,
    warmup_steps: NonNegativeInt,
    stable_steps: NonNegativeInt,
    decay_steps: NonNegativeInt,
    end_value: Real = 0.0,
    decay_shape: str = "linear",
) -> Schedule:
    """A straight rise, a plateau, and a decay at the end.

    From `init_value` to `peak_value` in `warmup_steps`, constant for `stable_steps`; then, with a
    the fraction of `decay_steps` that has passed:

        value = w peak_value + (1 - w) end_value

    with w = 1 - a if linear, (1 + cos(pi a)) / 2 if cosine, 1 - sqrt(a) if sqrt. A run can be
    extended from any step of the plateau: the values up to there do not depend on its length.

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the three values.

    Args:
        init_value: Value at step 0, finite.
        peak_value: Value on the plateau, finite.
        warmup_steps: Length of the rise, 0 or more.
        stable_steps: Length of the plateau, 0 or more.
        decay_steps: Length of the decay alone, 0 or more.
        end_value: Value after the decay, finite.
        decay_shape: "linear", "cosine" or "sqrt".

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range, or the shape is unknown.

    Source: Hu et al. 2024, https://arxiv.org/abs/2404.06395, section 4; the shapes are those
        compared by Hägele et al. 2024, https://arxiv.org/abs/2405.18392.
    """
    name = "warmup_stable_decay_schedule"
    check_shape(name, "decay_shape", decay_shape)
    rise = whole(warmup_steps, f"{name}: `warmup_steps`")
    fall = rise + whole(stable_steps, f"{name}: `stable_steps`")
    length = whole(decay_steps, f"{name}: `decay_steps`")

    def formula(clock, n):
        falling = clock.anneal(decay_shape, fall, length, n.peak, n.end)
        rising = clock.anneal("linear", 0, rise, n.init, n.peak)
        return clock.xp.where(clock.reached(fall), falling, rising)

    return from_formula(
        formula, init=known(init_value), peak=known(peak_value), end=known(end_value)
    )
