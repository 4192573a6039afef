"""NovoGrad: one second moment for each array, and momentum of what was divided by it."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import average, divide, real_dtype_of, root, safe_increment
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from .._parts.norms import square_norm
from ..typing import Count, Decay, DType, NonNegative, PerParam, PerParamReduced


class ScaleByNovogradState(NamedTuple):
    """Step count, momentum, and for each array the mean of the squared norm of its gradient."""

    count: Count
    mu: PerParam
    nu: PerParamReduced


def _no_norm_yet(p, h):
    return {"nu": jnp.zeros([], real_dtype_of(p.dtype))}


def _next_step(state, h, extra):
    return {"first": state.count == 0}, state._replace(count=safe_increment(state.count))


def _novograd_direction(g, state, p, h):
    square = square_norm(g)
    nu = jnp.where(h.first > 0, square, average(state.nu, square, h.b2, h.one_minus_b2))
    direction = divide(g, root(nu + h.eps_root) + h.eps) + h.weight_decay * p
    mu = h.b1 * state.mu + direction
    return mu, state._replace(mu=mu, nu=nu)


_NOVOGRAD = Rule(
    _novograd_direction,
    state=ScaleByNovogradState,
    init=_no_norm_yet,
    shared=_next_step,
    params=True,
)


@transformation
def scale_by_novograd(
    b1: Decay = 0.9,
    b2: Decay = 0.25,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
    mu_dtype: DType | None = None,
) -> GradientTransformation:
    """Add up gradients that were divided by a mean of the norm of their array.

    For each array g and its parameter p, with mu = 0 before and nu = sum |g|^2 at the first step:

        nu = b2 nu + (1 - b2) sum |g|^2
        mu = b1 mu + g / (sqrt(nu + eps_root) + eps) + weight_decay p
        u = mu

    Shapes: mu is shaped like g, nu is one number for each array: the state costs one copy of the
        parameters.
    Units: u has none and its norm does not depend on the size of the array; for a constant
        gradient it tends to 1 / (1 - b1) times a unit vector.

    Args:
        b1: Decay of the momentum, in [0, 1). The momentum is a sum, not an average.
        b2: Decay of the mean of the squared norm, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        weight_decay: Multiple of the parameter that enters the momentum, in [0, inf).
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.

    Returns:
        The transformation, with a `ScaleByNovogradState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Ginsburg et al. 2019, https://arxiv.org/abs/1905.11286, Algorithm 1.
    """
    return lift(
        _NOVOGRAD,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        eps_root=eps_root,
        weight_decay=weight_decay,
        dtypes={"mu": mu_dtype},
    )
