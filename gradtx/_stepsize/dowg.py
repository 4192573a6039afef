"""DoWG: DoG whose squared gradients are weighed by the distance at which they were seen."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import divide, root
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from .._parts.norms import scale_by_factor
from ..typing import NonNegative, PerParam, Scalar
from .common import keep_start, measure_distance, start_at


class DoWGState(NamedTuple):
    """The start, the weighted sum of squared gradients, the largest squared distance."""

    init_params: PerParam
    weighted_sq_norm_grads: Scalar
    estim_sq_dist: Scalar


def _distance_over_weighted_gradients(totals, state, h):
    square = jnp.maximum(state.estim_sq_dist, totals.square_distance)
    total = state.weighted_sq_norm_grads + square * totals.square_norm
    state = state._replace(weighted_sq_norm_grads=total, estim_sq_dist=square)
    return {"factor": divide(square, root(total) + h.eps)}, state


_DOWG = Rule(
    scale_by_factor,
    state=DoWGState,
    init=keep_start,
    measure=measure_distance,
    conclude=_distance_over_weighted_gradients,
    reports=(("step_size", "factor"),),
    params=True,
)


@transformation
def scale_by_dowg(
    init_estim_sq_dist: NonNegative | None = None, eps: NonNegative = 1e-4
) -> GradientTransformation:
    """Scale by the squared distance from the start over the root of weighted squared gradients.

    With sums over all arrays, p_0 the parameters at `init`, v = 0 and r2 = init_estim_sq_dist
    before:

        r2 = max(r2, sum |p - p_0|^2)
        v = v + r2 sum |g|^2
        u = r2 / (sqrt(v) + eps) g

    Shapes: p_0 is shaped like the parameters and kept in float32 or wider: the state costs a copy
        of them. All else is one number for the whole tree.
    Units: u is in units of the parameters.

    Args:
        init_estim_sq_dist: First r2, in [0, inf); None for `eps`. From 0 nothing ever moves.
        eps: Added to the root, in [0, inf), in units of the gradient times the parameters.

    Returns:
        The transformation, with a `DoWGState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Khaled, Mishchenko, Jin 2023, https://arxiv.org/abs/2305.16284, Algorithm 1.
    Differs: the paper has no eps. Where no gradient was seen, u is 0, also if eps is 0.
    """
    first = eps if init_estim_sq_dist is None else init_estim_sq_dist
    start = {"weighted_sq_norm_grads": start_at(0.0), "estim_sq_dist": start_at(first)}
    return lift(_DOWG, start=start, eps=eps)
