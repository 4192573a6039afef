"""Zeros: drop updates altogether, or those entries that are no numbers."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import PerParamReduced


@transformation
def set_to_zero() -> GradientTransformation:
    """Replace all updates by zeros: u = 0, also where g is nan.

    Shapes: any.
    Units: those of g.

    Returns:
        The transformation, without state.
    """
    return lift(_SET_TO_ZERO)


def _zeros(g, state, p, h):
    return jnp.zeros_like(g), state


_SET_TO_ZERO = Rule(_zeros, still=True)


class ZeroNansState(NamedTuple):
    """For each array whether the last update had a nan in it."""

    found_nan: PerParamReduced


@transformation
def zero_nans() -> GradientTransformation:
    """Replace entries that are nan by 0, and remember where there were any.

    For each entry g:

        u = 0 if isnan(g) else g
        found_nan = any(isnan(g))

    Infinite entries pass: they say that something grew, which clipping by value handles.

    Shapes: any; found_nan is one boolean for each array.
    Units: those of g.

    Returns:
        The transformation, with a `ZeroNansState`.
    """
    return lift(_ZERO_NANS)


def _nothing_found(p, h):
    return {"found_nan": jnp.zeros([], bool)}


def _replace_nans(g, state, p, h):
    is_nan = jnp.isnan(g)
    return jnp.where(is_nan, jnp.zeros_like(g), g), ZeroNansState(found_nan=jnp.any(is_nan))


_ZERO_NANS = Rule(_replace_nans, state=ZeroNansState, init=_nothing_found)
