"""The moments of one array: every formula that several rules share, written once.

The parts of the grid (`trace`, `ema`, `root_mean_square`, ...) and the rules that join two of
them (`scale_by_adam`, `scale_by_rms`, ...) call the same functions.
"""

import jax
import jax.numpy as jnp

from .._core.numerics import abs2, average, magnitude, root


def velocity(
    v: jax.Array, g: jax.Array, decay: jax.Array | float, weight: jax.Array | float
) -> jax.Array:
    """Momentum: decay v + weight g, with weight 1 (heavy ball) or 1 - decay (a mean)."""
    return decay * v + weight * g


def mean_square(nu: jax.Array, g: jax.Array, decay: jax.Array, complement: jax.Array) -> jax.Array:
    """Moving mean of the square: decay nu + (1 - decay) |g|^2."""
    return average(nu, abs2(g), decay, complement)


def sum_of_squares(s: jax.Array, g: jax.Array) -> jax.Array:
    """Sum of the squares so far: s + |g|^2."""
    return s + abs2(g)


def decayed_maximum(u: jax.Array, g: jax.Array, decay: jax.Array, eps: jax.Array) -> jax.Array:
    """Largest magnitude so far, the older the more decayed: max(decay u, |g| + eps)."""
    return jnp.maximum(decay * u, magnitude(g) + eps)


def root_with_eps(x: jax.Array, eps: jax.Array, inside: bool) -> jax.Array:
    """sqrt(x + eps), or sqrt(x) + eps."""
    return root(x + eps) if inside else root(x) + eps


def filled_like(p: jax.Array, value: jax.Array) -> jax.Array:
    """A real array shaped like p with the same number everywhere."""
    return jnp.zeros_like(jnp.real(p)) + value
