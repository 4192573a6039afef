"""MADGRAD: dual averaging with a cube root, and momentum by averaging the iterates."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import abs2, divide, safe_increment
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, LearningRate, NonNegative, PerParam, PerParamReal


class MadgradState(NamedTuple):
    """Step count, weighted sums of the squared gradient and of the gradient, first parameters."""

    count: Count
    grad_sum_sq: PerParamReal
    s: PerParam
    x0: PerParam


def _first_parameters(p, h):
    return {"x0": p}


def _next_weight(state, h, extra):
    t = safe_increment(state.count)
    rate = h.learning_rate + h.eps
    return {"weight": rate * jnp.sqrt(t.astype(rate.dtype))}, state._replace(count=t)


def _gather(g, state, p, h):
    return state._replace(
        grad_sum_sq=state.grad_sum_sq + h.weight * abs2(g), s=state.s + h.weight * g
    )


def _cube_root(x):
    """The cube root whose derivative at 0 is 0 instead of infinity."""
    positive = x > 0
    return jnp.where(positive, jnp.cbrt(jnp.where(positive, x, 1)), 0)


def _towards_dual_average(g, state, p, h):
    z = state.x0 - divide(state.s, _cube_root(state.grad_sum_sq) + h.eps)
    return h.one_minus_momentum * (z - p), state


_MADGRAD = Rule(
    _towards_dual_average,
    state=MadgradState,
    init=_first_parameters,
    shared=_next_weight,
    accumulate=_gather,
    reports=(("learning_rate", "learning_rate"),),
    params=True,
)


@transformation
def scale_by_madgrad(
    learning_rate: LearningRate, momentum: Decay = 0.9, eps: NonNegative = 1e-6
) -> GradientTransformation:
    """Move towards the minimum of all gradients so far, each axis in its own scale.

    For each array g and its parameter w, at step t = 1, 2, ..., with s = v = 0 and x_0 = w before:

        l = (learning_rate + eps) sqrt(t)
        v = v + l |g|^2
        s = s + l g
        z = x_0 - s / (v^(1/3) + eps)
        u = (1 - momentum) (z - w)

    So w + u = momentum w + (1 - momentum) z: the update is final, no learning rate follows it.
    No gradient is forgotten, and a later one weighs more.

    Shapes: v (the state's `grad_sum_sq`), s and x_0 are shaped like w: the state costs three
        copies of the parameters.
    Units: u is in units of w; `learning_rate` in units of w^(3/2) over those of g^(1/2).

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        momentum: Weight of the parameters in the average, in [0, 1).
        eps: Added to the cube root and to the learning rate, in [0, inf).

    Returns:
        The transformation, with a `MadgradState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Defazio, Jelassi 2021, https://arxiv.org/abs/2101.11075, Algorithm 1.
    Differs: eps is added to the learning rate, too, as in the authors' code and in Optax: a rate
        of 0 is one of 1e-6. Where v and eps are 0, z is x_0.
    """
    return lift(_MADGRAD, learning_rate=learning_rate, momentum=as_decay(momentum), eps=eps)
