"""Masks: which leaves something applies to, as users say it, told leaf by leaf."""

import dataclasses
import re
from typing import Any

import jax

from . import leaves
from .arguments import as_flag, is_function
from .containers import by_path
from .flow import Flow


@dataclasses.dataclass(frozen=True, eq=False)
class _AllOf:
    """Several masks, of which all must be True."""

    masks: tuple[Any, ...]


def all_of(*masks: Any) -> Any:
    """The mask that is True where all of these are; None, which stands for all leaves, is no limit.

    They may be of different kinds: what each stands for is known only where there are leaves.
    """
    given = tuple(mask for mask in masks if mask is not None)
    return _AllOf(given) if len(given) > 1 else given[0] if given else None


def over_leaves(flow: Flow, owner: str, mask: Any, among: list[bool] | None = None) -> list[bool]:
    """What a mask says of each leaf of a flow; False for those that cannot be trained.

    Args:
        flow: The flow.
        owner: Who was given the mask, for messages.
        mask: A tree of booleans, a prefix of it, a function of the parameters to one, or what
            `all_of` returned.
        among: The leaves that are asked for; None for those that are trained.
    """
    among = flow.trainable if among is None else among
    if isinstance(mask, _AllOf):
        columns = [over_leaves(flow, owner, m, among) for m in mask.masks]
        return [all(flags) for flags in zip(*columns, strict=True)]
    if isinstance(mask, (str, re.Pattern)):
        text = repr(mask if isinstance(mask, str) else mask.pattern)
        raise TypeError(
            f"{owner}: the mask must be a tree of booleans or a function of the parameters, "
            f"but is {text}. A pattern of paths? Give gradtx.matching({text})."
        )
    given = spread(flow, owner, "the mask", "booleans", mask)
    flags = [as_flag(x) if on else False for x, on in zip(given, among, strict=True)]
    for index, flag in enumerate(flags):
        if flag is None:
            traced = leaves.is_traced(given[index])
            raise TypeError(
                f"{owner}: the mask at {leaves.path_names(flow.tree)[index]} must be True or "
                f"False, but is {leaves.describe_leaf(given[index])}."
                + " Its values must be known while tracing."
                * traced
            )
    return [bool(flag) for flag in flags]


def spread(flow: Flow, owner: str, what: str, of_what: str, given: Any) -> list:
    """A tree like the parameters, a prefix of it or a function to one, over the leaves of a flow.

    Args:
        flow: The flow.
        owner: Who was given the tree, for messages.
        what: What it is, such as "the mask".
        of_what: What its leaves are, such as "booleans".
        given: The tree, or the function of the parameters.
    """
    if not flow.leaves:
        return []  # the stand-in for the parameters that tree.map_params gives to init
    tree = flow.tree if flow.params_tree is None else flow.params_tree
    tree = tree if flow.whole is None else flow.whole
    if is_function(given):
        given = given(tree)
    try:
        full = jax.tree_util.tree_broadcast(given, tree, is_leaf=lambda x: x is None)
        return flow.treedef.flatten_up_to(full)
    except ValueError as error:
        column = by_path(tree, given)
        if column is not None:
            return column
        raise ValueError(
            f"{owner}: {what} must be a tree of {of_what} with the structure of the "
            f"parameters or of the top of it; its leaves are {leaves.path_names(given)}, "
            f"those of the parameters {leaves.path_names(tree)}."
        ) from error
