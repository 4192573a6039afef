"""Schedules that go up and down: one cycle, and cycles with restarts."""

from collections.abc import Sequence
from typing import Any

from .._core.constructor import schedule
from ..typing import Fraction, Positive, PositiveInt, Real, Schedule
from ._evaluate import SHAPES, Progress, from_formula, known, whole
from ._join import join_schedules, through
from ._warmup import warmup_cosine_decay_schedule

# No run is longer: the largest step that a 64-bit integer holds.
_LONGEST = 2**63 - 1


@schedule
def cosine_onecycle_schedule(
    transition_steps: PositiveInt,
    peak_value: Real,
    pct_start: Fraction = 0.3,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 1e4,
) -> Schedule:
    """Up to a peak and down again, along half periods of a cosine.

    The values at the steps 0, pct_start transition_steps (rounded down) and transition_steps are

        peak_value / div_factor,   peak_value,   peak_value / div_factor / final_div_factor

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of `peak_value`.

    Args:
        transition_steps: Length of the cycle, at least 1.
        peak_value: The peak, finite.
        pct_start: Fraction of the cycle (not per cent) at which the peak stands, in [0, 1].
        div_factor: What the peak is divided by at the start, in (0, inf).
        final_div_factor: What the start is divided by at the end, in (0, inf).

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Smith, Topin 2017, https://arxiv.org/abs/1708.07120, with cosine pieces.
    """
    steps = whole(transition_steps, "cosine_onecycle_schedule: `transition_steps`")
    peak = known(peak_value)
    start = peak / known(div_factor)
    up = int(float(pct_start) * steps)
    values = {"value_0": start, "value_1": peak, "value_2": start / known(final_div_factor)}
    return through("cosine", [up, steps], values)


@schedule
def linear_onecycle_schedule(
    transition_steps: PositiveInt,
    peak_value: Real,
    pct_start: Fraction = 0.3,
    pct_final: Fraction = 0.85,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 1e4,
) -> Schedule:
    """Up to a peak, down to the start and further down, along straight lines.

    The values at the steps 0, pct_start transition_steps, pct_final transition_steps (both
    rounded down) and transition_steps are

        peak_value / div_factor,   peak_value,   peak_value / div_factor,
        peak_value / div_factor / final_div_factor

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of `peak_value`.

    Args:
        transition_steps: Length of the cycle, at least 1.
        peak_value: The peak, finite.
        pct_start: Fraction of the cycle (not per cent) at which the peak stands, in [0, 1].
        pct_final: Fraction of the cycle at which the start is reached again, in [0, 1] and not
            less than `pct_start`.
        div_factor: What the peak is divided by at the start, in (0, inf).
        final_div_factor: What the start is divided by at the end, in (0, inf).

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range, or `pct_final` is below `pct_start`.

    Source: Smith, Topin 2017, https://arxiv.org/abs/1708.07120.
    """
    steps = whole(transition_steps, "linear_onecycle_schedule: `transition_steps`")
    up, down = (int(float(fraction) * steps) for fraction in (pct_start, pct_final))
    if down < up:
        raise ValueError(
            f"linear_onecycle_schedule: `pct_final` must not be below `pct_start`, but is "
            f"{pct_final!r} with a start of {pct_start!r}."
        )
    peak = known(peak_value)
    start = peak / known(div_factor)
    values = {
        "value_0": start,
        "value_1": peak,
        "value_2": start,
        "value_3": start / known(final_div_factor),
    }
    return through("linear", [up, down, steps], values)


@schedule
def sgdr_schedule(cosine_kwargs: Sequence[dict[str, Any]]) -> Schedule:
    """Warm restarts: cycles of `warmup_cosine_decay_schedule`, one after the other.

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the cycles.

    Args:
        cosine_kwargs: For each cycle the arguments of `warmup_cosine_decay_schedule`, as dicts;
            its `decay_steps` is the length of the cycle. At least one. After the last the value
            stays where it is.

    Returns:
        The schedule.

    Raises:
        ValueError: If there is no cycle, or an argument of one is outside its range.
        TypeError: If it is no list or tuple of dicts, or an argument of one is unknown.

    Source: Loshchilov, Hutter 2016, https://arxiv.org/abs/1608.03983.
    """
    if not isinstance(cosine_kwargs, (list, tuple)) or not all(
        isinstance(kwargs, dict) for kwargs in cosine_kwargs
    ):
        raise TypeError(
            f"sgdr_schedule: `cosine_kwargs` must be a list of dicts, but is {cosine_kwargs!r}."
        )
    if not cosine_kwargs:
        raise ValueError("sgdr_schedule: `cosine_kwargs` must hold a cycle, but is empty.")
    cycles, ends, end = [], [], 0
    for kwargs in cosine_kwargs:
        cycles.append(warmup_cosine_decay_schedule(**kwargs))
        end += int(kwargs["decay_steps"])
        ends.append(end)
    return join_schedules(cycles, ends[:-1])


@schedule
def cosine_restarts_schedule(
    init_value: Real,
    cycle_steps: PositiveInt,
    end_value: Real = 0.0,
    cycle_growth: PositiveInt = 1,
    peak_decay: Positive = 1.0,
) -> Schedule:
    """Half periods of a cosine again and again, each cycle longer and lower if wanted.

    Cycle i = 0, 1, ... has cycle_steps cycle_growth^i steps. With a the fraction of it that has
    passed:

        value = end_value + (peak_decay^i init_value - end_value) (1 + cos(pi a)) / 2

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the two values.

    Args:
        init_value: Value at step 0, finite.
        cycle_steps: Length of the first cycle, at least 1.
        end_value: What each cycle goes down to, finite: it would be reached where the next one
            starts.
        cycle_growth: How many times longer each cycle is than the one before, an integer, at
            least 1.
        peak_decay: How many times higher each cycle starts than the one before, in (0, inf).

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Loshchilov, Hutter 2016, https://arxiv.org/abs/1608.03983, with T_0 = cycle_steps and
        T_mult = cycle_growth.
    """
    name = "cosine_restarts_schedule"
    length = whole(cycle_steps, f"{name}: `cycle_steps`")
    growth = whole(cycle_growth, f"{name}: `cycle_growth`")
    starts = _restarts(length, growth) if growth > 1 else []

    def formula(clock, n):
        if growth == 1:
            cycle, way = clock.times(length), clock.in_cycle(length).progress(0, length)
        else:
            cycle, way = clock.number(0.0), clock.progress(0, length)
        for index, start in enumerate(starts, 1):
            now, later = clock.reached(start), clock.progress(start, length * growth**index)
            cycle = clock.xp.where(now, clock.number(index), cycle)
            way = Progress(*(clock.xp.where(now, x, y) for x, y in zip(later, way, strict=True)))
        peak = n.init * clock.xp.power(n.peak_decay, cycle)
        return clock.between(way, SHAPES["cosine"](clock.xp, way), peak, n.end)

    return from_formula(
        formula, init=known(init_value), end=known(end_value), peak_decay=known(peak_decay)
    )


def _restarts(length: int, growth: int) -> list[int]:
    """Steps at which the second, third, ... cycle begins."""
    starts, end = [], length
    while end <= _LONGEST:
        starts.append(end)
        length *= growth
        end += length
    return starts
