"""SM3: AdaGrad whose sum of squares is covered by one vector for each axis."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._core.numerics import abs2, average, divide, real_dtype_of, root
from .._core.reduce import array_max, array_sum
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Decay, Fraction, NonNegative, PerParam, PerParamReduced


class ScaleBySM3State(NamedTuple):
    """For each axis the largest accumulated squares along it; the mean of the directions."""

    mu: PerParamReduced
    nu: PerParam


def _other_axes(ndim: int) -> list[tuple[int, ...]]:
    """For each cover the axes it takes the maximum over; a single number is its own cover."""
    return [tuple(j for j in range(ndim) if j != i) for i in range(max(ndim, 1))]


def _largest(v: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(array_max(v, axis=axes, keepdims=True) for axes in _other_axes(v.ndim))


def _empty_covers(p, h):
    # Sums of zeros have the sharding that the maxima of later steps will have.
    zeros = jnp.zeros_like(p, dtype=real_dtype_of(p.dtype))
    return {"mu": tuple(array_sum(zeros, axis=i, keepdims=True) for i in _other_axes(p.ndim))}


def _sm3_direction(g, state, p, h):
    weight = jnp.where(h.one_minus_b2 == 0, 1, h.one_minus_b2)
    v = h.b2 * functools.reduce(jnp.minimum, state.mu) + weight * abs2(g)
    seen = v > 0
    direction = jnp.where(seen, divide(g, root(v + h.eps)), jnp.zeros_like(g))
    nu = average(state.nu, direction, h.b1, h.one_minus_b1)
    return nu, ScaleBySM3State(mu=_largest(v) if v.size else state.mu, nu=nu)


_SM3 = Rule(_sm3_direction, state=ScaleBySM3State, init=_empty_covers)


@transformation
def scale_by_sm3(
    b1: Decay = 0.9, b2: Fraction = 1.0, eps: NonNegative = 1e-8
) -> GradientTransformation:
    """Divide by the root of a bound on the sum of squares that needs little memory.

    For each array g with axes 1, 2, ..., with mu_i = nu = 0 before and mu_i constant along all
    axes but i:

        v = b2 min_i(mu_i) + c |g|^2     c = 1 - b2, or 1 if b2 is 1
        mu_i = max(v, all axes but i)
        nu = b1 nu + (1 - b1) g / sqrt(v + eps)
        u = nu

    Each v is at least the sum of squares of its entry, so no step is longer than AdaGrad's.

    Shapes: nu is shaped like g; mu_i has the length of g on axis i and 1 on the others. For an
        array with one axis, or none, it is AdaGrad.
    Units: u has none.

    Args:
        b1: Decay of the mean of the directions, in [0, 1).
        b2: Decay of the covers, in [0, 1]; 1 for sums.
        eps: Added under the root, in [0, inf), in units of the squared gradient.

    Returns:
        The transformation, with a `ScaleBySM3State`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Anil, Gupta, Koren, Singer 2019, https://arxiv.org/abs/1901.11150, Algorithm SM3-II.
    Differs: the paper has no eps and takes 0/0 as 0, as is done here where v is 0.
    """
    return lift(_SM3, b1=as_decay(b1), b2=as_decay(b2), eps=eps)
