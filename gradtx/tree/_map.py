"""Mapping over trees in which `None` stands for a leaf that is not there."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core import leaves
from .._core.numerics import accumulator_dtype, with_precision_of


def map_leaves(owner: str, function: Callable, tree: Any, *others: Any) -> Any:
    """function(leaf, ...) over trees of one structure; None where one of them has None.

    Raises:
        ValueError: If the structures differ, naming the first path that does.
    """
    first, treedef = leaves.flatten(tree)
    columns = [first] + [
        leaves.align(
            treedef,
            other,
            owner=owner,
            what=f"those of tree {number}",
            reference=tree,
            reference_name="the leaves of tree 1",
        )
        for number, other in enumerate(others, 2)
    ]
    return treedef.unflatten(
        [
            None if any(x is None for x in row) else function(*row)
            for row in zip(*columns, strict=True)
        ]
    )


def dtype_of(leaf: Any) -> np.dtype:
    """The dtype of an array, also of an abstract one, or of a Python number."""
    return np.dtype(leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf))


def wide(leaf: Any) -> jax.Array:
    """A floating-point leaf in float32 or wider; integers as they are."""
    leaf = jnp.asarray(leaf)
    return leaf.astype(with_precision_of(leaf.dtype, accumulator_dtype(leaf.dtype)))


def common(tree: Any) -> list[jax.Array]:
    """The leaves in one dtype, wide enough to accumulate in; an empty tree has none."""
    arrays = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    dtype = _common_dtype([x.dtype for x in arrays])
    return [x.astype(dtype) for x in arrays]


def _common_dtype(dtypes: list) -> np.dtype:
    if any(jnp.issubdtype(d, jnp.complexfloating) for d in dtypes):
        return with_precision_of(np.complex64, accumulator_dtype(*dtypes))
    if any(jnp.issubdtype(d, jnp.inexact) for d in dtypes):
        return accumulator_dtype(*dtypes)
    return np.dtype(jax.dtypes.canonicalize_dtype(np.result_type(np.int32, *dtypes)))
