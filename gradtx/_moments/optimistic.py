"""Optimistic gradients: extrapolate from the last gradient to the next."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import safe_increment
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, PerParam, RealOrSchedule


class ScaleByOptimisticGradientState(NamedTuple):
    """Step count and the gradient before."""

    count: Count
    previous_gradient: PerParam


def _next_step(state, h, extra):
    return {"first": state.count == 0}, state._replace(count=safe_increment(state.count))


def _extrapolate(g, state, p, h):
    change = jnp.where(h.first > 0, jnp.zeros_like(g), g - state.previous_gradient)
    return h.alpha * g + h.beta * change, state._replace(previous_gradient=g)


_OPTIMISTIC = Rule(_extrapolate, state=ScaleByOptimisticGradientState, shared=_next_step)


@transformation
def scale_by_optimistic_gradient(
    alpha: RealOrSchedule = 1.0, beta: RealOrSchedule = 1.0
) -> GradientTransformation:
    """Add to the gradient its change since the last step.

    For each array g, with g_before = g at the first step:

        u = alpha g + beta (g - g_before)

    Where two players descend against each other, plain gradients circle and these converge.

    Shapes: the state costs one copy of the parameters.
    Units: u is in units of g.

    Args:
        alpha: Weight of the gradient, a number or a schedule of such.
        beta: Weight of its change, a number or a schedule of such.

    Returns:
        The transformation, with a `ScaleByOptimisticGradientState`.

    Raises:
        ValueError: If an argument is not finite.

    Source: Mokhtari, Ozdaglar, Pattathil 2019, https://arxiv.org/abs/1901.08511; with
        alpha = beta = 1 Daskalakis, Ilyas, Syrgkanis, Zeng 2017, https://arxiv.org/abs/1711.00141.
    Differs: the state counts steps where Optax's has a flag for the first, so alpha and beta may
        be schedules.
    """
    return lift(_OPTIMISTIC, alpha=alpha, beta=beta)
