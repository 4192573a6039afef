"""Prodigy: D-Adaptation that learns from where the parameters are, recent steps counting most."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import average, divide, root
from .._core.rule import Rule
from .._moments.moments import mean_square
from ..typing import Count, PerParam, PerParamReal, Scalar
from .common import adam_rate, decaying, inner, l1_norm


class ProdigyState(NamedTuple):
    """Adam's moments of d g, the sum of gradients, the start; d, its numerator, step count."""

    exp_avg: PerParam
    exp_avg_sq: PerParamReal
    grad_sum: PerParam
    params0: PerParam
    estim_lr: Scalar
    numerator_weighted: Scalar
    count: Count


def _keep_start(p, h):
    return {"params0": p}


def _average_scaled(g, state, p, h):
    weight = h.d if h.safeguard_warmup else h.rate
    return state._replace(
        exp_avg=average(state.exp_avg, h.d * g, h.b1, h.one_minus_b1),
        exp_avg_sq=mean_square(state.exp_avg_sq, h.d * g, h.b2, h.one_minus_b2),
        grad_sum=h.b3 * state.grad_sum + h.d / h.estim_lr0 * weight * g,
    )


def _measure_progress(g, state, p, h):
    return {"gain": inner(g, state.params0 - p), "size": l1_norm(state.grad_sum)}


def _raise_rate(totals, state, h):
    gain = h.d / h.estim_lr0 * h.rate * totals.gain
    numerator = h.b3 * state.numerator_weighted + gain
    bound = h.estim_lr_coef * divide(numerator, totals.size)
    d = jnp.maximum(state.estim_lr, bound)
    return {"next_d": d}, state._replace(estim_lr=d, numerator_weighted=numerator)


def _adam_step(g, state, p, h):
    direction = divide(state.exp_avg, root(state.exp_avg_sq) + h.next_d * h.eps)
    return -h.rate * (h.weight_decay * decaying(direction, p, state.params0, h) + direction), state


PRODIGY = Rule(
    _adam_step,
    state=ProdigyState,
    init=_keep_start,
    shared=adam_rate,
    accumulate=_average_scaled,
    measure=_measure_progress,
    conclude=_raise_rate,
    reports=(("step_size", "rate"),),
    params=True,
)
PRODIGY_SOME_DECAY = dataclasses.replace(PRODIGY, per_leaf="decays")
