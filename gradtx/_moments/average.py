"""Averages of the updates over time: exponentially weighted, and over a moving window."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from .._core.numerics import average, debiasing, safe_increment
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, DType, PerParam, PerParamStack, PositiveInt, Tally


class EmaState(NamedTuple):
    """Step count and the average, not yet corrected for its start at zero."""

    count: Count
    ema: PerParam


def _next_bias(state, h, extra):
    t = safe_increment(state.count)
    bias = {"bias": debiasing(h.log_decay, t)} if h.debias else {}
    return bias, state._replace(count=t)


def _average_in(g, state, p, h):
    return state._replace(ema=average(state.ema, g, h.decay, h.one_minus_decay))


def _averaged(g, state, p, h):
    return state.ema / h.bias if h.debias else state.ema, state


_EMA = Rule(_averaged, state=EmaState, shared=_next_bias, accumulate=_average_in)


@transformation
def ema(
    decay: Decay, debias: bool = True, accumulator_dtype: DType | None = None
) -> GradientTransformation:
    """Replace the updates by their exponentially weighted average.

    For each array g, at step t = 1, 2, ..., with v = 0 before:

        v = decay v + (1 - decay) g
        u = v / (1 - decay^t)        or v itself without `debias`

    So v is the sum over m = 1 ... t of (1 - decay) decay^(t - m) g_m, and `debias` divides by the
    sum of these weights.

    Shapes: v is shaped like g.
    Units: u is in units of g.

    Args:
        decay: Weight of the past, in [0, 1); the average reaches back 1 / (1 - decay) steps.
        debias: Whether to correct for the start at zero.
        accumulator_dtype: Dtype in which v is stored; None for float32 or wider.

    Returns:
        The transformation, with an `EmaState`.

    Raises:
        ValueError: If `decay` is outside [0, 1).

    Source: Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, section 3, for the correction.
    """
    return lift(
        _EMA,
        decay=as_decay(decay),
        static={"debias": debias},
        dtypes={"ema": accumulator_dtype},
    )


class CorrectBiasState(NamedTuple):
    """Step count."""

    count: Count


def _next_weight(state, h, extra):
    t = safe_increment(state.count)
    return {"weight": debiasing(h.log_decay, t)}, state._replace(count=t)


def _corrected(g, state, p, h):
    return g / h.weight, state


_CORRECT_BIAS = Rule(_corrected, state=CorrectBiasState, shared=_next_weight)


@transformation
def correct_bias(decay: Decay) -> GradientTransformation:
    """Divide by the weight that an average started at zero has gathered.

    For each array g, at step t = 1, 2, ...:

        u = g / (1 - decay^t)

    `chain(ema(b, debias=False), correct_bias(b))` is `ema(b)`. On its own it also corrects what
    other transformations average.

    Shapes: any.
    Units: u is in units of g.

    Args:
        decay: Decay of the average to be corrected, in [0, 1).

    Returns:
        The transformation, with a `CorrectBiasState`.

    Raises:
        ValueError: If `decay` is outside [0, 1).

    Source: Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, section 3.
    """
    return lift(_CORRECT_BIAS, decay=as_decay(decay))


class MovingAverageState(NamedTuple):
    """Step count and the last updates, in the order of step modulo window."""

    count: Tally
    recent: PerParamStack


def _next_place(state, h, extra):
    t = safe_increment(state.count)
    place = {"place": state.count % h.window, "seen": jnp.minimum(t, h.window)}
    return place, state._replace(count=t)


def _empty_window(p, h):
    return {"recent": jnp.broadcast_to(jnp.zeros_like(p)[None], (h.window, *p.shape))}


def _mean_of_window(g, state, p, h):
    recent = lax.dynamic_update_index_in_dim(state.recent, g, h.place.astype(jnp.int32), axis=0)
    return jnp.sum(recent, axis=0) / h.seen, state._replace(recent=recent)


_MOVING_AVERAGE = Rule(
    _mean_of_window, state=MovingAverageState, init=_empty_window, shared=_next_place
)


@transformation
def moving_average(
    window: PositiveInt, *, accumulator_dtype: DType | None = None
) -> GradientTransformation:
    """Replace the updates by the mean of the last few, all with the same weight.

    For each array g, at step t = 1, 2, ..., with M = min(t, window):

        u = (g_t + g_(t-1) + ... + g_(t-M+1)) / M

    Before `window` updates were seen it is the mean of those seen.

    Shapes: the state keeps `window` copies of the parameters.
    Units: u is in units of g.

    Args:
        window: Number of updates in a full window, at least 1; at 1, u = g.
        accumulator_dtype: Dtype in which the window is stored; None for float32 or wider.

    Returns:
        The transformation, with a `MovingAverageState`.

    Raises:
        ValueError: If `window` is less than 1.

    Source: the uniform moving average, as old as time series.
    Differs: the sum is taken anew at every step: one that is kept up to date by adding what
        enters and subtracting what leaves would gather rounding errors.
    """
    return lift(
        _MOVING_AVERAGE,
        static={"window": int(window)},
        dtypes={"recent": accumulator_dtype},
    )
