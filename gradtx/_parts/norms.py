"""Sizes of one array that rules share, and what it takes to stay below a limit."""

import jax
import jax.numpy as jnp

from .._core.numerics import abs2, root, scaled
from .._core.reduce import array_mean, array_sum


def square_norm(x: jax.Array) -> jax.Array:
    """The sum of |x|^2."""
    return array_sum(abs2(x))


def norm(x: jax.Array) -> jax.Array:
    """The Euclidean norm of all entries."""
    return root(square_norm(x))


def root_mean_square(x: jax.Array) -> jax.Array:
    """The root of the mean of |x|^2; 0 for an array without entries."""
    return root(array_mean(abs2(x)))


def shrinking(size: jax.Array, limit: jax.Array) -> jax.Array:
    """The factor min(1, limit / size), also where both are 0.

    A size that is nan counts as inf: what it is of may be too large, and nan entries stay nan.
    """
    size = jnp.where(jnp.isnan(size), jnp.inf, size)
    too_large = size > limit
    return jnp.where(too_large, limit / jnp.where(too_large, size, 1), 1)


def measure_square_norm(g, state, p, h):
    """The `measure` of rules that need the norm of the whole tree."""
    return {"square_norm": square_norm(g)}


def scale_by_factor(g, state, p, h):
    """The `update` of rules whose `conclude` returns the `factor` of the whole tree."""
    return scaled(g, h.factor), state
