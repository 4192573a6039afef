"""Numbers taken over a whole tree: sums, inner products, norms, extremes."""

import functools
import math
import operator
from typing import Any

import jax
import jax.numpy as jnp

from .._core.numerics import abs2, magnitude, root
from ._map import common, map_leaves
from ._squares import in_range

_EMPTY = jnp.float32


def sum(  # noqa: A001 (named as in jax.numpy)
    tree: Any, associative_reduction: bool = False
) -> jax.Array:
    """The sum of all elements, accumulated in float32 or wider.

    Args:
        tree: Tree of arrays; None counts as nothing.
        associative_reduction: Whether to add the sums of the leaves in pairs, then those of the
            pairs, and so on, instead of one after the other.

    Returns:
        Scalar: an integer if all leaves are integers, complex if one is. 0 for an empty tree.
    """
    sums = [jnp.sum(x) for x in common(tree)]
    while associative_reduction and len(sums) > 1:
        sums = [_total(sums[i : i + 2]) for i in range(0, len(sums), 2)]
    return _total(sums)


def vdot(tree_x: Any, tree_y: Any) -> jax.Array:
    """The inner product: the sum of conj(x) y over all elements, in float32 or wider.

    Args:
        tree_x: Tree of arrays; its entries are conjugated.
        tree_y: Tree of the same structure and shapes. Where one has None, both count as nothing.

    Returns:
        Scalar, complex if a leaf is. 0 for an empty tree.

    Raises:
        ValueError: If the structures differ.
    """
    products = map_leaves("tree.vdot", _inner_product, tree_x, tree_y)
    return sum(products)


def norm(tree: Any, ord: float | None = None, squared: bool = False) -> jax.Array:  # noqa: A002
    """The norm of the tree as one vector, accumulated in float32 or wider.

    Over all elements x of all leaves:

        ord = 1: sum |x|      ord = 2: sqrt(sum |x|^2)      ord = inf: max |x|

    Args:
        tree: Tree of arrays; None counts as nothing.
        ord: 1, 2 or inf; None is 2.
        squared: Whether to return the square of the norm.

    Returns:
        Real scalar, 0 for an empty tree. The derivative at 0 is 0, not nan. The norm for ord = 2 is
        right also where squares over- or underflow.

    Raises:
        ValueError: If `ord` is none of those.
    """
    arrays = [_inexact(x) for x in common(tree)]
    if ord is None or ord == 2:
        square = _total([jnp.sum(abs2(x)) for x in arrays])
        return square if squared else _root_in_range(square, arrays)
    if ord == 1:
        value = _total([jnp.sum(magnitude(x)) for x in arrays])
    elif ord == math.inf:
        largest = [_or_nan(jnp.max(magnitude(x), initial=0.0), x) for x in arrays]
        value = functools.reduce(jnp.maximum, largest) if largest else jnp.zeros([], _EMPTY)
    else:
        raise ValueError(f"tree.norm: `ord` must be 1, 2, inf or None, but is {ord!r}.")
    return jnp.square(value) if squared else value


def _root_in_range(square: jax.Array, arrays: list[jax.Array]) -> jax.Array:
    """The root of a sum of squares, also where they over- or underflowed."""
    if not arrays:
        return root(square)

    def again(unit: jax.Array) -> jax.Array:
        return _total([jnp.sum(abs2(x * unit.astype(x.dtype))) for x in arrays])

    square, unit = in_range(square, again, square.dtype)
    return root(square) / unit


def max(tree: Any) -> jax.Array:  # noqa: A001 (named as in jax.numpy)
    """The largest element.

    Args:
        tree: Tree of real arrays; None and arrays of size 0 count as nothing.

    Returns:
        Scalar, floating-point leaves in float32 or wider. nan if one element is; -inf for an empty
        tree.

    Raises:
        TypeError: If a leaf is complex.
    """
    return _extreme("max", jnp.max, jnp.maximum, -math.inf, tree)


def min(tree: Any) -> jax.Array:  # noqa: A001 (named as in jax.numpy)
    """The smallest element.

    Args:
        tree: Tree of real arrays; None and arrays of size 0 count as nothing.

    Returns:
        Scalar, floating-point leaves in float32 or wider. nan if one element is; inf for an empty
        tree.

    Raises:
        TypeError: If a leaf is complex.
    """
    return _extreme("min", jnp.min, jnp.minimum, math.inf, tree)


def size(tree: Any) -> int:
    """The number of elements.

    Args:
        tree: Tree of arrays, also of abstract ones; None counts as nothing.

    Returns:
        The number, as a Python integer.
    """
    sizes = [math.prod(jnp.shape(leaf)) for leaf in jax.tree.leaves(tree)]
    return functools.reduce(operator.add, sizes, 0)


def allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> jax.Array:
    """Whether |a - b| <= atol + rtol |b| everywhere.

    Args:
        a: Tree of arrays.
        b: Tree of the same structure; None is close to None alone.
        rtol: Relative tolerance, 0 or more.
        atol: Absolute tolerance, 0 or more.
        equal_nan: Whether nan is close to nan.

    Returns:
        Boolean scalar; true for empty trees.

    Raises:
        ValueError: If the structures differ.
    """

    def leaf(x, y):
        return jnp.allclose(*common((x, y)), rtol=rtol, atol=atol, equal_nan=equal_nan)

    close = jax.tree.leaves(map_leaves("tree.allclose", leaf, a, b))
    alone = len(close) != len(jax.tree.leaves(a)) or len(close) != len(jax.tree.leaves(b))
    return functools.reduce(jnp.logical_and, close, jnp.asarray(not alone))


def _inner_product(x: Any, y: Any) -> jax.Array:
    x, y = common((x, y))
    return jnp.sum(jnp.conj(x) * y)


def _total(values: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, values) if values else jnp.zeros([], _EMPTY)


def _inexact(x: jax.Array) -> jax.Array:
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(_EMPTY)


def _extreme(name: str, over, of_two, nothing: float, tree: Any) -> jax.Array:
    arrays = [x for x in common(tree) if x.size]
    if any(jnp.iscomplexobj(x) for x in arrays):
        raise TypeError(f"tree.{name}: complex numbers have no order; take tree.norm(ord=inf).")
    if not arrays:
        return jnp.asarray(nothing, _EMPTY)
    return functools.reduce(of_two, [_or_nan(over(x), x) for x in arrays])


def _or_nan(extreme: jax.Array, x: jax.Array) -> jax.Array:
    """The maximum or minimum of x, and nan if x has one: XLA on CPU may drop it in long arrays."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return extreme
    return jnp.where(jnp.any(jnp.isnan(x)), jnp.full_like(extreme, jnp.nan), extreme)
