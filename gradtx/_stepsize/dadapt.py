"""D-Adaptation: a lower bound on the distance to the solution as the rate of Adam."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from .._core.numerics import average, divide, root
from .._core.rule import Rule
from .._moments.moments import mean_square
from ..typing import Count, PerParam, PerParamReal, Scalar
from .common import adam_rate, decaying, inner, l1_norm


class DAdaptAdamWState(NamedTuple):
    """Adam's moments, the mean of the gradients; rate, numerator of its bound, step count."""

    exp_avg: PerParam
    exp_avg_sq: PerParamReal
    grad_sum: PerParam
    estim_lr: Scalar
    numerator_weighted: Scalar
    count: Count


class DAdaptAdamWTowardsStartState(NamedTuple):
    """The same, and the parameters that `init` was given."""

    exp_avg: PerParam
    exp_avg_sq: PerParamReal
    grad_sum: PerParam
    start: PerParam
    estim_lr: Scalar
    numerator_weighted: Scalar
    count: Count


def _keep_start(p, h):
    return {"start": p}


def _roots(h):
    """sqrt(b2) and 1 - sqrt(b2)."""
    decay = root(h.b2)
    return decay, h.one_minus_b2 / (1 + decay)


def _next_sum(g, state, h, rate):
    decay, complement = _roots(h)
    return average(state.grad_sum, rate * g, decay, complement)


def _measure_bound(g, state, p, h):
    weighed = divide(state.grad_sum, root(state.exp_avg_sq) + h.eps)
    return {"gain": inner(g, weighed), "size": l1_norm(_next_sum(g, state, h, h.rate))}


def _raise_rate(totals, state, h):
    decay, complement = _roots(h)
    numerator = average(state.numerator_weighted, h.rate * totals.gain, decay, complement)
    bound = divide(numerator, complement * totals.size)
    rate = jnp.maximum(state.estim_lr, bound)
    # The steps need no total. Told to wait for them, XLA updates in place what it has measured.
    step, _ = lax.optimization_barrier((h.rate, rate))
    return {"step": step}, state._replace(estim_lr=rate, numerator_weighted=numerator)


def _adam_step(g, state, p, h):
    mean = average(state.exp_avg, h.step * g, h.b1, h.one_minus_b1)
    square = mean_square(state.exp_avg_sq, g, h.b2, h.one_minus_b2)
    direction = divide(mean, root(square) + h.eps)
    start = state.start if h.towards == "start" else None
    u = -h.weight_decay * h.step * decaying(direction, p, start, h) - direction
    grad_sum = _next_sum(g, state, h, h.step)
    return u, state._replace(exp_avg=mean, exp_avg_sq=square, grad_sum=grad_sum)


DADAPT_ADAMW = Rule(
    _adam_step,
    state=DAdaptAdamWState,
    shared=adam_rate,
    measure=_measure_bound,
    conclude=_raise_rate,
    reports=(("step_size", "step"),),
    params=True,
)
DADAPT_ADAMW_TOWARDS_START = dataclasses.replace(
    DADAPT_ADAMW, state=DAdaptAdamWTowardsStartState, init=_keep_start
)


def dadapt_adamw_rule(towards: str, some: bool) -> Rule:
    """The rule for a weight decay towards "zero" or the "start", if only some leaves decay."""
    rule = DADAPT_ADAMW_TOWARDS_START if towards == "start" else DADAPT_ADAMW
    return dataclasses.replace(rule, per_leaf="decays") if some else rule
