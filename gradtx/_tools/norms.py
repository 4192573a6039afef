"""Norms with a lower bound, and the norm of a whole tree."""

from typing import Any

import jax
import jax.numpy as jnp

from .. import tree
from .._core.arguments import Numeric
from .._core.numerics import abs2, real_dtype_of, root, widened


def global_norm(updates: Any) -> jax.Array:
    """The Euclidean norm of a tree as one vector: sqrt(sum over all entries of |g|^2).

    Args:
        updates: Tree of arrays; None counts as nothing.

    Returns:
        Real scalar in float32 or wider, 0 for an empty tree. Its derivative at 0 is 0, not nan.
        It is right also where squares over- or underflow.
    """
    return tree.norm(updates)


def safe_norm(
    x: Any,
    min_norm: Numeric,
    ord: float | str | None = None,  # noqa: A002 (named as in jax.numpy)
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
) -> jax.Array:
    """max(norm(x), min_norm) with a finite derivative, 0 where the bound holds.

    Args:
        x: Array.
        min_norm: Lower bound, at least 0.
        ord: Which norm, as in `jax.numpy.linalg.norm`; None for the Euclidean one.
        axis: Axis of vectors, or two axes of matrices; None for the whole array.
        keepdims: Whether these axes stay, with length 1.

    Returns:
        Real array in the precision of x, computed in float32 or wider.
    """
    x = jnp.asarray(x)
    wide = widened(x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32))
    bound = jnp.asarray(min_norm).astype(real_dtype_of(wide.dtype))
    is_bound = jnp.linalg.norm(jax.lax.stop_gradient(wide), ord, axis, keepdims=True) <= bound
    # Where the bound holds the norm is taken of ones: the derivative of the other must be finite.
    norm = jnp.linalg.norm(jnp.where(is_bound, 1, wide), ord, axis, keepdims)
    floored = jnp.where(is_bound.reshape(norm.shape), bound, norm)
    return floored.astype(_real_as(x))


def safe_root_mean_squares(x: Any, min_rms: Numeric) -> jax.Array:
    """max(sqrt(mean |x|^2), min_rms) with a finite derivative, 0 where the bound holds.

    Args:
        x: Array.
        min_rms: Lower bound, at least 0.

    Returns:
        Real scalar in the precision of x, computed in float32 or wider.
    """
    x = jnp.asarray(x)
    wide = widened(x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32))
    rms = root(jnp.mean(abs2(wide)))
    bound = jnp.asarray(min_rms).astype(rms.dtype)
    return jnp.where(rms <= bound, bound, rms).astype(_real_as(x))


def _real_as(x: jax.Array) -> Any:
    """The dtype of a norm of x."""
    return real_dtype_of(x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.float32
