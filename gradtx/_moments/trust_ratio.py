"""Trust ratio: updates as long as the parameter they move."""

from typing import Any

import jax.numpy as jnp

from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from .._parts.norms import norm
from ..typing import NonNegative


def _scale_by_ratio(g, state, p, h):
    size = jnp.maximum(norm(g), h.min_norm)
    param_size = jnp.maximum(norm(p), h.min_norm)
    either_is_zero = (size == 0) | (param_size == 0)
    ratio = h.trust_coefficient * param_size / jnp.where(either_is_zero, 1, size + h.eps)
    return g * jnp.where(either_is_zero, 1, ratio), state


_TRUST_RATIO = Rule(_scale_by_ratio, params=True)


@transformation
def scale_by_trust_ratio(
    min_norm: NonNegative = 0.0,
    trust_coefficient: NonNegative = 1.0,
    eps: NonNegative = 0.0,
    *,
    mask: Any = None,
) -> GradientTransformation:
    """Give each array of updates a length in proportion to that of its parameter.

    For each array g and its parameter p, with norm(x) = max(sqrt(sum |x|^2), min_norm):

        u = trust_coefficient norm(p) / (norm(g) + eps) g,  and g if one of the norms is 0

    Shapes: any.
    Units: u is in units of the parameter, whatever those of g: the learning rate is the relative
        change of a parameter in one step.

    Args:
        min_norm: Norms below count as this one, in [0, inf).
        trust_coefficient: Length of u over that of p, in [0, inf).
        eps: Added to the norm of g, in [0, inf), in units of g.
        mask: Which parameters it applies to: a tree of booleans with the structure of the
            parameters or of the top of it, or a function from the parameters to one; None for
            all. Biases and scales of normalisation are commonly left out.

    Returns:
        The transformation, without state. Its update needs the parameters.

    Raises:
        ValueError: If a number is outside its range or the mask does not fit the parameters.

    Source: You, Gitman, Ginsburg 2017, https://arxiv.org/abs/1708.03888, for LARS;
        You et al. 2019, https://arxiv.org/abs/1904.00962, for LAMB.
    """
    return lift(
        _TRUST_RATIO,
        min_norm=min_norm,
        trust_coefficient=trust_coefficient,
        eps=eps,
        where=mask,
    )
