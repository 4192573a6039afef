"""Adan: Nesterov's momentum written with a moment of gradient differences."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import average, debiasing, divide, root, safe_increment
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, NonNegative, PerParam, PerParamReal
from .moments import mean_square


class ScaleByAdanState(NamedTuple):
    """Means of gradient, of its change, of the squared look-ahead; last gradient; step count."""

    m: PerParam
    v: PerParam
    n: PerParamReal
    g: PerParam
    t: Count


def _next_biases(state, h, extra):
    t = safe_increment(state.t)
    biases = {
        "first": state.t == 0,
        "m_bias": debiasing(h.log_b1, t),
        "v_bias": debiasing(h.log_b2, t),
        "n_bias": debiasing(h.log_b3, t),
    }
    return biases, state._replace(t=t)


def _adan_direction(g, state, p, h):
    change = jnp.where(h.first > 0, jnp.zeros_like(g), g - state.g)
    m = average(state.m, g, h.b1, h.one_minus_b1)
    v = average(state.v, change, h.b2, h.one_minus_b2)
    n = mean_square(state.n, g + h.b2 * change, h.b3, h.one_minus_b3)
    ahead = m / h.m_bias + h.b2 * (v / h.v_bias)
    u = divide(ahead, root(n / h.n_bias + h.eps_root) + h.eps)
    return u, state._replace(m=m, v=v, n=n, g=g)


_ADAN = Rule(_adan_direction, state=ScaleByAdanState, shared=_next_biases)


@transformation
def scale_by_adan(
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """Divide the gradient's mean, extrapolated by its mean change, by its root mean square.

    For each array g, at step t = 1, 2, ..., with m = v = n = 0 before and d = g - (g before),
    0 at the first step:

        m = b1 m + (1 - b1) g
        v = b2 v + (1 - b2) d
        n = b3 n + (1 - b3) |g + b2 d|^2
        u = (m / (1 - b1^t) + b2 v / (1 - b2^t)) / (sqrt(n / (1 - b3^t) + eps_root) + eps)

    Shapes: m, v, n and the last gradient are shaped like g: the state costs four copies of the
        parameters.
    Units: u has none, so the learning rate is the distance a parameter moves in one step.

    Args:
        b1: Decay of the mean gradient, in [0, 1); 1 minus the paper's beta_1.
        b2: Decay of the mean change, in [0, 1), and its weight; 1 minus the paper's beta_2.
        b3: Decay of the mean square, in [0, 1); 1 minus the paper's beta_3.
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.

    Returns:
        The transformation, with a `ScaleByAdanState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Xie, Zhou, Li, Lin, Yan 2022, https://arxiv.org/abs/2208.06677, Algorithm 1.
    Differs: the bias correction is that of the authors' code. Optax weighs d and v by 1 - b2,
        0.08 by default, where the paper has 0.92.
    """
    return lift(
        _ADAN, b1=as_decay(b1), b2=as_decay(b2), b3=as_decay(b3), eps=eps, eps_root=eps_root
    )
