"""Clipping: bound the updates by value, by norm, or relative to the parameters."""

import jax.numpy as jnp

from .._core.numerics import abs2, root
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Threshold


@transformation
def clip_by_global_norm(max_norm: Threshold) -> GradientTransformation:
    """Scale the whole tree down so that its norm is at most `max_norm`.

    With n = sqrt(sum over all arrays of sum |g|^2):

        u = g * min(1, max_norm / n)

    Shapes: any. The norm is one number for the whole tree, taken in float32 or wider.
    Units: `max_norm` is in units of the gradient.

    Args:
        max_norm: Largest norm, in [0, inf]; at inf nothing is clipped.

    Returns:
        The transformation, without state.

    Raises:
        ValueError: If `max_norm` is negative or nan.

    Source: Pascanu, Mikolov, Bengio 2013, https://arxiv.org/abs/1211.5063, Algorithm 1.
    """
    return lift(_CLIP_BY_GLOBAL_NORM, max_norm=max_norm)


def _square_norm(g, state, p, h):
    return {"square_norm": jnp.sum(abs2(g))}


def _clipping_factor(totals, state, h):
    norm = root(totals["square_norm"])
    too_long = norm > h.max_norm
    return {"factor": jnp.where(too_long, h.max_norm / jnp.where(too_long, norm, 1), 1)}, state


def _scale_by_factor(g, state, p, h):
    return g * h.factor, state


_CLIP_BY_GLOBAL_NORM = Rule(_scale_by_factor, measure=_square_norm, conclude=_clipping_factor)
