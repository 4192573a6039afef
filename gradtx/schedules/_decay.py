"""Constant values and single decays."""

from .._core.constructor import schedule
from ..typing import NonNegativeInt, Positive, PositiveInt, Real, Schedule
from ._evaluate import SHAPES, from_formula, known, logarithm, whole


@schedule
def constant_schedule(value: Real) -> Schedule:
    """The same value at every step.

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of `value`.

    Args:
        value: The value, finite.

    Returns:
        The schedule.

    Raises:
        ValueError: If `value` is not finite.
    """
    return from_formula(lambda clock, n: n.value + 0.0 * clock.elapsed, value=known(value))


@schedule
def linear_schedule(
    init_value: Real,
    end_value: Real,
    transition_steps: NonNegativeInt,
    transition_begin: NonNegativeInt = 0,
) -> Schedule:
    """Straight from one value to another, constant before and after.

    At step k = count - transition_begin, held between 0 and transition_steps:

        a = k / transition_steps
        value = (1 - a) init_value + a end_value

    This is the decay to lr_tau at step tau = `transition_steps`, constant from then on.

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the two values.

    Args:
        init_value: Value until step `transition_begin`, finite.
        end_value: Value from step `transition_begin + transition_steps` on, finite.
        transition_steps: Length of the way, 0 or more; with 0 the value jumps.
        transition_begin: Step at which the way begins, 0 or more.

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Differs: from Optax, where 0 steps mean `init_value` for ever.
    """
    steps, begin = _stretch("linear_schedule", transition_steps, transition_begin)
    return from_formula(
        lambda clock, n: clock.anneal("linear", begin, steps, n.init, n.end),
        init=known(init_value),
        end=known(end_value),
    )


@schedule
def polynomial_schedule(
    init_value: Real,
    end_value: Real,
    power: Positive,
    transition_steps: NonNegativeInt,
    transition_begin: NonNegativeInt = 0,
) -> Schedule:
    """From one value to another along a power of the steps left.

    At step k = count - transition_begin, held between 0 and transition_steps:

        w = (1 - k / transition_steps)^power
        value = w init_value + (1 - w) end_value

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of the two values.

    Args:
        init_value: Value until step `transition_begin`, finite.
        end_value: Value from step `transition_begin + transition_steps` on, finite.
        power: Power, in (0, inf); 1 is `linear_schedule`.
        transition_steps: Length of the way, 0 or more; with 0 the value jumps.
        transition_begin: Step at which the way begins, 0 or more.

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Differs: from Optax, where 0 steps mean `init_value` for ever.
    """
    steps, begin = _stretch("polynomial_schedule", transition_steps, transition_begin)

    def formula(clock, n):
        way = clock.progress(begin, steps)
        return clock.between(way, clock.xp.power(way.left, n.power), n.init, n.end)

    return from_formula(formula, init=known(init_value), end=known(end_value), power=known(power))


@schedule
def exponential_decay(
    init_value: Real,
    transition_steps: PositiveInt,
    decay_rate: Positive,
    transition_begin: NonNegativeInt = 0,
    staircase: bool = False,
    end_value: Real | None = None,
) -> Schedule:
    """Multiplied by one factor every so many steps.

    At step k = count - transition_begin, at least 0:

        value = init_value decay_rate^(k / transition_steps)

    With `staircase` the exponent is rounded down. exp(-count) is
    `exponential_decay(1.0, 1, math.exp(-1))`. The power is taken as an exponential of
    log(decay_rate), found in float64, so that a rate close to 1 keeps its digits.

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of `init_value`.

    Args:
        init_value: Value until step `transition_begin`, finite.
        transition_steps: Steps in which the value is multiplied by `decay_rate`, at least 1.
        decay_rate: The factor, in (0, inf).
        transition_begin: Step at which the decay begins, 0 or more.
        staircase: Whether to change only every `transition_steps` steps.
        end_value: Bound of the value: from below if `decay_rate` < 1, else from above. None for
            no bound.

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Differs: from Optax, where a rate or a number of steps of 0 means a constant.
    """
    steps, begin = _stretch("exponential_decay", transition_steps, transition_begin)
    rate = known(decay_rate)
    bound = {} if end_value is None else {"end": known(end_value)}

    def formula(clock, n):
        later = clock.from_step(begin)
        exponent = later.times(steps) if staircase else later.elapsed / float(steps)
        value = n.init * clock.xp.exp(exponent * n.log_rate)
        if not bound:
            return value
        return clock.xp.where(
            n.log_rate < 0, clock.xp.maximum(value, n.end), clock.xp.minimum(value, n.end)
        )

    return from_formula(formula, init=known(init_value), log_rate=logarithm(rate), **bound)


@schedule
def cosine_decay_schedule(
    init_value: Real, decay_steps: PositiveInt, alpha: Real = 0.0, exponent: Positive = 1.0
) -> Schedule:
    """Half a period of a cosine, from a value to a fraction of it.

    With t = min(count, decay_steps):

        w = ((1 + cos(pi t / decay_steps)) / 2)^exponent
        value = w init_value + (1 - w) alpha init_value

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of `init_value`; `alpha` has none.

    Args:
        init_value: Value at step 0, finite.
        decay_steps: Step from which on the value is `alpha * init_value`, at least 1.
        alpha: What is left at the end, as a fraction of `init_value`, finite.
        exponent: Power of the cosine factor, in (0, inf).

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Loshchilov, Hutter 2016, https://arxiv.org/abs/1608.03983, equation 5, one cycle.
    """
    steps, start = whole(decay_steps, "cosine_decay_schedule: `decay_steps`"), known(init_value)
    return from_formula(
        lambda clock, n: cosine_between(clock, 0, steps, n),
        start=start,
        end=start * known(alpha),
        exponent=known(exponent),
    )


def cosine_between(clock, begin: int, steps: int, n):
    """From `n.start` at step `begin` to `n.end`, along a power of half a cosine period."""
    way = clock.progress(begin, steps)
    weight = clock.xp.power(SHAPES["cosine"](clock.xp, way), n.exponent)
    return clock.between(way, weight, n.start, n.end)


@schedule
def inverse_sqrt_schedule(
    value: Real, timescale: Positive = 1.0, offset: Positive = 1.0
) -> Schedule:
    """One over the root of the step.

        value_t = value / sqrt((count + offset) / timescale)

    With the default offset, t = count + 1 = 1, 2, ...: `inverse_sqrt_schedule(lr, N)` is
    lr / sqrt(t / N), which starts sqrt(N) high and reaches lr at t = N. With offset = timescale
    it starts at `value` instead.

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of `value`; the other two are steps.

    Args:
        value: Value where count + offset = timescale, finite.
        timescale: Steps that pass as one, in (0, inf).
        offset: What is added to the step, in (0, inf).

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 5.3, after warm-up.
    """
    return from_formula(
        lambda clock, n: n.value / clock.xp.sqrt((clock.elapsed + n.offset) / n.timescale),
        value=known(value),
        timescale=known(timescale),
        offset=known(offset),
    )


@schedule
def inverse_time_schedule(init_value: Real, timescale: Positive = 1.0) -> Schedule:
    """One over the step.

        value = init_value / (1 + count / timescale)

    With the default it is init_value / t for t = count + 1 = 1, 2, ...

    Shapes: the step is one integer or an array of them; the value has its shape.
    Units: those of `init_value`; `timescale` is a number of steps.

    Args:
        init_value: Value at step 0, finite.
        timescale: Step at which half of it is left, in (0, inf).

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Robbins, Monro 1951, https://doi.org/10.1214/aoms/1177729586, whose a_n are of
        type 1/n.
    """
    return from_formula(
        lambda clock, n: n.init / (1.0 + clock.elapsed / n.timescale),
        init=known(init_value),
        timescale=known(timescale),
    )


def _stretch(name: str, steps, begin) -> tuple[int, int]:
    return whole(steps, f"{name}: `transition_steps`"), whole(begin, f"{name}: `transition_begin`")
