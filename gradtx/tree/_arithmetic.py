"""Elementwise arithmetic on trees."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.arguments import Numeric
from ._map import dtype_of, map_leaves, wide


def add(tree_x: Any, tree_y: Any, *other_trees: Any) -> Any:
    """x + y + ..., leaf by leaf.

    Args:
        tree_x: Tree of arrays.
        tree_y: Tree of the same structure, its leaves of shapes that broadcast.
        *other_trees: More of them.

    Returns:
        Tree of the same structure; None where one of the trees has None.

    Raises:
        ValueError: If the structures differ.
    """
    return map_leaves(
        "tree.add", lambda *xs: functools.reduce(jnp.add, xs), tree_x, tree_y, *other_trees
    )


def sub(tree_x: Any, tree_y: Any) -> Any:
    """x - y, leaf by leaf.

    Args:
        tree_x: Tree of arrays.
        tree_y: Tree of the same structure, its leaves of shapes that broadcast.

    Returns:
        Tree of the same structure; None where one of the trees has None.

    Raises:
        ValueError: If the structures differ.
    """
    return map_leaves("tree.sub", jnp.subtract, tree_x, tree_y)


def mul(tree_x: Any, tree_y: Any) -> Any:
    """x y, leaf by leaf.

    Args:
        tree_x: Tree of arrays.
        tree_y: Tree of the same structure, its leaves of shapes that broadcast.

    Returns:
        Tree of the same structure; None where one of the trees has None.

    Raises:
        ValueError: If the structures differ.
    """
    return map_leaves("tree.mul", jnp.multiply, tree_x, tree_y)


def div(tree_x: Any, tree_y: Any) -> Any:
    """x / y, leaf by leaf, infinite or nan where y is 0.

    Args:
        tree_x: Tree of arrays.
        tree_y: Tree of the same structure, its leaves of shapes that broadcast.

    Returns:
        Tree of the same structure; None where one of the trees has None.

    Raises:
        ValueError: If the structures differ.
    """
    return map_leaves("tree.div", jnp.divide, tree_x, tree_y)


def scale(scalar: Numeric, tree: Any) -> Any:
    """scalar x for every leaf x, calculated in float32 or wider.

    Args:
        scalar: Number or 0-d array of any real or complex dtype.
        tree: Tree of arrays.

    Returns:
        Tree of the same structure, its floating-point leaves in their own dtypes (complex if the
        scalar is); None where it has None.

    Differs: from Optax, where a float32 scalar makes bfloat16 leaves float32.
    """
    return map_leaves("tree.scale", lambda x: _as_before(_scaled(scalar, x), x), tree)


def add_scale(tree_x: Any, scalar: Numeric, tree_y: Any) -> Any:
    """x + scalar y, leaf by leaf, calculated in float32 or wider.

    Args:
        tree_x: Tree of arrays.
        scalar: Number or 0-d array of any real or complex dtype.
        tree_y: Tree of the same structure, its leaves of shapes that broadcast.

    Returns:
        Tree of the same structure, its floating-point leaves in the dtypes of `tree_x` (complex
        if something added is); None where one of the trees has None.

    Raises:
        ValueError: If the structures differ.

    Differs: from Optax, where bfloat16 and float32 give float32.
    """

    def leaf(x, y):
        start, step = _met(wide(x), _scaled(scalar, y))
        return _as_before(start + step, x)

    return map_leaves("tree.add_scale", leaf, tree_x, tree_y)


def clip(tree: Any, min_value: Numeric | None = None, max_value: Numeric | None = None) -> Any:
    """Every element brought into [min_value, max_value].

    Args:
        tree: Tree of real arrays.
        min_value: Lower bound, or None for none.
        max_value: Upper bound, or None for none.

    Returns:
        Tree of the same structure and dtypes; None where it has None.
    """

    def leaf(x):
        x = jnp.asarray(x)
        low, high = (
            None if bound is None else jnp.asarray(bound).astype(x.dtype)
            for bound in (min_value, max_value)
        )
        return jnp.clip(x, low, high)

    return map_leaves("tree.clip", leaf, tree)


def conj(tree: Any) -> Any:
    """The complex conjugate of every leaf.

    JAX's gradient of a real loss at complex parameters is the conjugate of the direction in which
    the loss grows: descend along `conj(grads)`.

    Args:
        tree: Tree of arrays.

    Returns:
        Tree of the same structure and dtypes; None where it has None.
    """
    return map_leaves("tree.conj", jnp.conj, tree)


def real(tree: Any) -> Any:
    """The real part of every leaf.

    Args:
        tree: Tree of arrays.

    Returns:
        Tree of real arrays of the same structure; None where it has None.
    """
    return map_leaves("tree.real", jnp.real, tree)


def where(condition: Any, tree_x: Any, tree_y: Any) -> Any:
    """x where the condition holds, else y.

    Args:
        condition: Boolean array or tree of them: of the structure of `tree_x`, or of the top of
            it, such as one array for all.
        tree_x: Tree of arrays.
        tree_y: Tree of the same structure.

    Returns:
        Tree of the same structure; None where one of the trees has None.

    Raises:
        ValueError: If the structures differ.
    """
    spread = jax.tree_util.tree_broadcast(condition, tree_x, is_leaf=lambda x: x is None)
    return map_leaves("tree.where", lambda x, y, c: jnp.where(c, x, y), tree_x, tree_y, spread)


def _scaled(scalar: Any, x: Any) -> jax.Array:
    factor, x = _met(wide(scalar), wide(x))
    return factor * x


def _met(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Two arrays in one dtype that holds both: JAX may be set not to promote."""
    dtype = jax.dtypes.canonicalize_dtype(np.result_type(x.dtype, y.dtype))
    return x.astype(dtype), y.astype(dtype)


def _as_before(result: jax.Array, x: Any) -> jax.Array:
    """The result in the dtype that x came in, if that holds it."""
    dtype = dtype_of(x)
    if not jnp.issubdtype(dtype, jnp.inexact):
        return result
    if jnp.iscomplexobj(result) and not jnp.issubdtype(dtype, jnp.complexfloating):
        return result
    return result.astype(dtype)
