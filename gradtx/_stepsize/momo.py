"""MoMo: momentum whose step reaches the lower bound of a model of the loss."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import average, debiasing, divide, root, safe_increment
from .._core.rule import Rule
from .._moments.moments import mean_square
from .._parts.norms import square_norm
from ..typing import Count, PerParam, PerParamReal, Scalar
from .common import inner


class MomoState(NamedTuple):
    """Means of the gradient, of the loss and of <g, p>; lower bound of the loss; step count."""

    exp_avg: PerParam
    barf: Scalar
    gamma: Scalar
    lb: Scalar
    count: Count


class MomoAdamState(NamedTuple):
    """Means of the gradient, its square, the loss and <g, p>; lower bound; step count."""

    exp_avg: PerParam
    exp_avg_sq: PerParamReal
    barf: Scalar
    gamma: Scalar
    lb: Scalar
    count: Count


def _with_loss(state, h, extra, decay, complement):
    """The state with the loss in its mean, and the count."""
    if extra.value.ndim:
        raise ValueError(
            f"{h.owner}: `value` must be one number, the loss at the parameters, but has the "
            f"shape {extra.value.shape}. Is a mean over the batch missing?"
        )
    barf = average(state.barf, extra.value, decay, complement)
    return state._replace(barf=barf, count=safe_increment(state.count))


def _mean_loss(state, h, extra):
    first = state.count == 0
    decay = jnp.where(first, 0, h.beta)
    complement = jnp.where(first, 1, h.one_minus_beta)
    numbers = {"decay": decay, "complement": complement, "weight": jnp.ones_like(decay)}
    return numbers, _with_loss(state, h, extra, decay, complement)


def _mean_loss_and_biases(state, h, extra):
    t = safe_increment(state.count)
    numbers = {
        "decay": h.b1,
        "complement": h.one_minus_b1,
        "weight": debiasing(h.log_b1, t),
        "square_weight": debiasing(h.log_b2, t),
    }
    return numbers, _with_loss(state, h, extra, h.b1, h.one_minus_b1)


def _average(g, state, p, h):
    return state._replace(exp_avg=average(state.exp_avg, g, h.decay, h.complement))


def _average_both(g, state, p, h):
    square = mean_square(state.exp_avg_sq, g, h.b2, h.one_minus_b2)
    return _average(g, state, p, h)._replace(exp_avg_sq=square)


def _direction(state, h):
    """The mean gradient, divided by Adam's root where there is one."""
    if not h.adam:
        return state.exp_avg
    return divide(state.exp_avg, root(state.exp_avg_sq / h.square_weight) + h.eps)


def _measure_model(g, state, p, h):
    mean = state.exp_avg
    return {
        "slope": inner(g, p),
        "mean_slope": inner(mean, p),
        "decrease": inner(mean, _direction(state, h)) if h.adam else square_norm(mean),
    }


def _step_to_bound(totals, state, h):
    """The step to where the model, with the weight decay, meets the lower bound, and the bound."""
    gamma = average(state.gamma, totals.slope, h.decay, h.complement)
    growth = 1 + h.learning_rate * h.weight_decay
    height, bound = state.barf - gamma, state.lb
    if h.adapt_lower_bound:
        cap = growth * height + totals.mean_slope
        lower = jnp.maximum(cap / (2 * h.weight * growth), h.lower_bound)
        bound = jnp.where(cap < growth * h.weight * bound, lower, bound)
    gap = jnp.maximum(growth * (height - h.weight * bound) + totals.mean_slope, 0)
    step = jnp.minimum(h.learning_rate / h.weight, divide(gap, totals.decrease))
    if h.adapt_lower_bound:
        reached = height + totals.mean_slope - step * totals.decrease / 2
        bound = jnp.maximum(reached / h.weight, h.lower_bound)
    return {"step": step, "growth": growth}, state._replace(gamma=gamma, lb=bound)


def _proximal_step(g, state, p, h):
    decay = h.learning_rate * h.weight_decay
    return -(decay * p + h.step * _direction(state, h)) / h.growth, state


MOMO = Rule(
    _proximal_step,
    state=MomoState,
    shared=_mean_loss,
    accumulate=_average,
    measure=_measure_model,
    conclude=_step_to_bound,
    reports=(("step_size", "step"),),
    params=True,
    extras=("value",),
)
MOMO_ADAM = Rule(
    _proximal_step,
    state=MomoAdamState,
    shared=_mean_loss_and_biases,
    accumulate=_average_both,
    measure=_measure_model,
    conclude=_step_to_bound,
    reports=(("step_size", "step"),),
    params=True,
    extras=("value",),
)
