"""Sophia: a mean of the gradient over one of the Hessian diagonal, clipped entry by entry."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from .._core.numerics import average, debiasing, divide, magnitude, safe_increment, sign
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, DType, NonNegative, PerParam, PerParamReal, Positive
from .diagonal import DEFAULTS, EXTRAS, TREES, average_estimate, weights_of_estimate


class ScaleBySophiaState(NamedTuple):
    """Step count, mean of the gradient, mean of the estimated Hessian diagonal."""

    count: Count
    mu: PerParam
    nu: PerParamReal


def _next_step(state, h, extra):
    t = safe_increment(state.count)
    numbers = weights_of_estimate(h, extra) | {"mu_bias": debiasing(h.log_b1, t)}
    return numbers, state._replace(count=t)


def _average_gradient_and_diagonal(g, state, p, h):
    return state._replace(
        mu=average(state.mu, g, h.b1, h.one_minus_b1),
        nu=average_estimate(state.nu, jnp.real(h.hessian_diagonal), h),
    )


def _clipped_newton_step(g, state, p, h):
    mean = state.mu / h.mu_bias if h.bias_correction else state.mu
    curvature = jnp.maximum(h.gamma * state.nu, h.eps)
    if not h.clips:
        return divide(mean, curvature), state
    # The quotient is formed only where it is small, so that it can neither overflow nor be 0/0.
    inside = magnitude(mean) < h.clip_threshold * curvature
    quotient = divide(mean, jnp.where(inside, curvature, 1))
    return jnp.where(inside, quotient, h.clip_threshold * sign(mean)), state


_SOPHIA = Rule(
    _clipped_newton_step,
    state=ScaleBySophiaState,
    shared=_next_step,
    accumulate=_average_gradient_and_diagonal,
    extras=EXTRAS,
    defaults=DEFAULTS,
    trees=TREES,
)


@transformation
def scale_by_sophia(
    b1: Decay = 0.965,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    gamma: Positive = 0.01,
    clip_threshold: Positive | None = 1.0,
    mu_dtype: DType | None = None,
    *,
    bias_correction: bool = False,
) -> GradientTransformation:
    """Divide a mean of the gradient by a mean of the Hessian diagonal, and clip every entry.

    For each array g, with d the extra argument `hessian_diagonal`, and mu = nu = 0 before:

        mu = b1 mu + (1 - b1) g
        nu = b2 nu + (1 - b2) d    if d is an estimate of this step, else nu
        u = clip(mu / max(gamma nu, eps), -clip_threshold, clip_threshold)

    Where the curvature is negative or small, u is clip_threshold sign(mu): a step by sign. The
    diagonal comes from `with_hessian_diagonal` around this, or from yourself by
    `update(grads, state, params, hessian_diagonal=d)`; at steps without a new one pass
    `hessian_is_fresh=False` too. Of a complex entry the magnitude is clipped, and d is real: the
    mean of its two second derivatives.

    Shapes: d is a tree like g. The state costs two copies of the parameters.
    Units: u has none: the learning rate is the largest distance that an entry moves in a step.
        `gamma` is in the inverse of the parameters' units.

    Args:
        b1: Decay of the mean gradient, in [0, 1).
        b2: Decay of the mean diagonal, in [0, 1), per estimate, not per step.
        eps: Least denominator, in [0, inf), in units of the gradient; the paper has 1e-12.
        gamma: Factor of the diagonal, in (0, inf); the paper has 0.01 with Hutchinson's estimates,
            0.05 with Gauss-Newton-Bartlett's. From 10 % to 50 % of all entries should stay
            unclipped.
        clip_threshold: Largest magnitude of an entry, in (0, inf); None for no limit.
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        bias_correction: Whether mu is divided by 1 - b1^t, as in the authors' later code.

    Returns:
        The transformation, with a `ScaleBySophiaState`. Its update needs the extra argument
        `hessian_diagonal`.

    Raises:
        ValueError: If an argument is outside its range, or on update if the diagonal has other
            shapes.
        TypeError: On update, if `hessian_diagonal` is missing.

    Source: Liu, Li, Hall, Liang, Ma 2023, https://arxiv.org/abs/2305.14342, Algorithm 3.
    Differs: where nu and eps are 0, u is clip_threshold sign(mu), and 0 without a threshold.
    """
    limit: dict[str, Any] = {} if clip_threshold is None else {"clip_threshold": clip_threshold}
    return lift(
        _SOPHIA,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        gamma=gamma,
        **limit,
        static={"bias_correction": bias_correction, "clips": clip_threshold is not None},
        dtypes={"mu": mu_dtype},
    )
