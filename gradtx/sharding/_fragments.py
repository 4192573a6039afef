"""Fragments of a tree of parameters: which leaf belongs to which."""

import math
import numbers
import operator
from typing import Any

import jax
import numpy as np
from jax import lax

from .._core import leaves
from .._core.arguments import is_function
from .._core.flow import Flow


def count_or_tree(owner: str, given: Any, every: int) -> Any:
    """The argument `fragments`: an int in [1, every] if it is a number, or as it is.

    Args:
        owner: Whose argument it is, for messages.
        given: The argument.
        every: The largest number of fragments.
    """
    if not (isinstance(given, numbers.Number) or getattr(given, "shape", None) == ()):
        return given
    count = _integer(given)
    if count is None or not 1 <= count <= every:
        raise ValueError(
            f"{owner}: `fragments` must be an integer in [1, every] = [1, {every}], a tree of "
            f"integers or a function, but is {given!r}."
        )
    return count


def fragments_of(owner: str, given: Any, flow: Flow) -> tuple[list, int]:
    """The number of each leaf's fragment, in the order of the flow, and how many there are.

    Args:
        owner: Whose argument it is, for messages.
        given: How many, or a tree or function that gives the numbers.
        flow: The updates with their parameters (at init the parameters).
    """
    tree = flow.tree if flow.params_tree is None else flow.params_tree
    params, treedef = leaves.flatten(tree)
    trained = [leaves.is_inexact(p) for p in params]
    if isinstance(given, int):
        sizes = [_size(p, s) for p, s in zip(params, _splits(flow, tree), strict=True)]
        found, count = _packed(sizes, trained, given), given
    else:
        found = _spread(owner, given, tree, treedef)
        for index, number in enumerate(found):
            if trained[index]:
                found[index] = _checked(owner, number, leaves.path_names(tree)[index])
        used = {n for n, on in zip(found, trained, strict=True) if on}
        count = 1 + max(used, default=0)
        if used and len(used) < count:
            raise ValueError(
                f"{owner}: `fragments` must number the fragments 0, 1, 2, ... without gaps, but "
                f"the numbers of the parameters are {sorted(used)}."
            )
    # Where the updates have None for a whole subtree, so many numbers come as one leaf.
    return flow.treedef.flatten_up_to(treedef.unflatten(found)), count


def _packed(sizes: list[int], trained: list[bool], count: int) -> list[int]:
    """Leaves by falling size, each to the fragment that has least so far."""
    chosen, held = [0] * len(sizes), [0] * count
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if trained[index]:
            chosen[index] = held.index(min(held))
            held[chosen[index]] += sizes[index]
    return chosen


def _size(p: Any, split: Any) -> int:
    """Entries of the whole array, also where p is one shard of it."""
    names = [name for axis in split or () for name in axis]
    return math.prod(np.shape(p)) * math.prod(lax.axis_size(name) for name in names)


def _splits(flow: Flow, tree: Any) -> list:
    """How each leaf of the parameters is split, also below a leaf of the updates."""
    places = flow.treedef.unflatten(range(len(flow.leaves)))
    spread = jax.tree_util.tree_broadcast(places, tree, is_leaf=lambda x: x is None)
    return [None if at is None else flow.splits[at] for at in leaves.flatten(spread)[0]]


def _spread(owner: str, given: Any, tree: Any, treedef: Any) -> list:
    if is_function(given):
        given = given(tree)
    try:
        spread = jax.tree_util.tree_broadcast(given, tree, is_leaf=lambda x: x is None)
        return treedef.flatten_up_to(spread)
    except ValueError as error:
        raise ValueError(
            f"{owner}: `fragments` must be a number, or a tree of numbers with the structure of "
            f"the parameters or of the top of it; its leaves are {leaves.path_names(given)}, "
            f"those of the parameters {leaves.path_names(tree)}."
        ) from error


def _checked(owner: str, number: Any, path: str) -> int:
    whole = _integer(number)
    if whole is None or whole < 0:
        raise TypeError(
            f"{owner}: the fragment of {path} must be an integer of at least 0, but is "
            f"{leaves.describe_leaf(number)}."
        )
    return whole


def _integer(x: Any) -> int | None:
    """x as an integer, None for what is none; numpy's and JAX's are some, True is not."""
    try:
        return None if isinstance(x, bool) else operator.index(x)
    except TypeError:
        return None
