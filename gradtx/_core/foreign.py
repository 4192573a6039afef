"""Pairs of functions from elsewhere, for example from Optax, inside a gradtx transformation."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from . import leaves
from .arguments import is_function
from .body import Body
from .flow import Flow
from .leaves import as_array


@dataclasses.dataclass(eq=False)
class Foreign(Body):
    """A pair of functions that gradtx knows nothing of."""

    pair: Any
    name: str = "a pair of functions"
    any_shape = True

    @functools.cached_property
    def call(self) -> Callable[..., Any]:
        """(updates, state, params, extra) -> what the pair's update returns."""
        return _caller(self.pair[1])

    @functools.cached_property
    def takes_any(self) -> bool:
        return _takes(self.pair[1])[1]

    @functools.cached_property
    def needs(self) -> tuple[str, ...]:
        return _takes(self.pair[1])[0]

    def init(self, flow: Flow) -> Any:
        given = flow.treedef.flatten_up_to(flow.tree)
        places = [i for i, p in enumerate(given) if leaves.is_abstract(p)]
        if not places:
            return self.pair[0](flow.tree)

        def start(arrays: list) -> Any:
            column = list(given)
            for i, array in zip(places, arrays, strict=True):
                column[i] = array
            return self.pair[0](flow.treedef.unflatten(column))

        return jax.eval_shape(start, [given[i] for i in places])

    def update(self, flow: Flow, state: Any) -> Any:
        updates, state = self.call(flow.as_given(), state, flow.params_tree, _extra_of(flow))
        returned = leaves.align(
            flow.treedef,
            updates,
            owner=self.name,
            what="the updates that it returned",
            reference=flow.tree,
            reference_name="the updates given to it",
        )
        flow.leaves = [
            self._checked(flow, index, given, new) if flow.trainable[index] else new
            for index, (given, new) in enumerate(zip(flow.leaves, returned, strict=True))
        ]
        return state

    def _checked(self, flow: Flow, index: int, given: Any, new: Any) -> Any:
        p = None if flow.params is None else flow.params[index]
        shapes = (given.shape, given.shape if p is None else np.shape(p))
        if leaves.is_inexact(new) and np.shape(new) in shapes:
            return as_array(new)
        raise ValueError(
            f"{self.name}: the update that it returned at {leaves.path_names(flow.tree)[index]} "
            f"must be an array like the one given to it, {leaves.describe_leaf(given)}, but is "
            f"{leaves.describe_leaf(new)}."
        )


def masked_like(flow: Flow, kept: list[bool], x: Any) -> Any:
    """An extra argument like the updates with None for the leaves not kept; others as they are."""
    column, treedef = leaves.flatten(x)
    if treedef != flow.treedef:
        return x
    return treedef.unflatten([v if keep else None for v, keep in zip(column, kept, strict=True)])


def _lacking(flow: Flow, kept: list[bool], x: Any) -> Any:
    """The same, but a tree of other shapes, such as one of tags, stays as it is, too."""
    column, treedef = leaves.flatten(x)
    if treedef != flow.treedef:
        return x
    like = flow.leaves if flow.params is None else flow.all_params
    pairs = zip(column, like, strict=True)
    if all(v is None or p is None or np.shape(v) == np.shape(p) for v, p in pairs):
        return masked_like(flow, kept, x)
    return x


def _extra_of(flow: Flow) -> dict[str, Any]:
    """The extra arguments for a flow that may lack some of the leaves.

    Trees of the shapes of the parameters lack them, too. Functions of the parameters get all of
    them, and the extra arguments that are passed on to them as they were.
    """
    kept = [leaf is not None for leaf in flow.treedef.flatten_up_to(flow.tree)]
    if all(kept):
        return flow.extra
    extra = {}
    for key, x in flow.extra.items():
        of_params = is_function(x) or isinstance(x, jax.tree_util.Partial)
        extra[key] = _of_all(flow, kept, x, extra) if of_params else _lacking(flow, kept, x)
    return extra


def _of_all(flow: Flow, kept: list[bool], function: Callable, extra: dict) -> Callable[..., Any]:
    """A function of all parameters as one of those that the flow has."""

    @functools.wraps(function, updated=())  # whoever looks sees its signature
    def of_some(*args: Any, **kwargs: Any) -> Any:
        if args:
            column, treedef = leaves.flatten(args[0])
            same = treedef == flow.treedef
            args = (flow.all_params_at(column) if same else args[0], *args[1:])
        passed_on = {
            key: flow.extra[key] if key in extra and x is extra[key] else x
            for key, x in kwargs.items()
        }
        return _lacking(flow, kept, function(*args, **passed_on))

    return of_some


def _takes(update: Callable) -> tuple[tuple[str, ...], bool]:
    """The names of the extra arguments that an update takes, and whether it takes any."""
    try:
        parameters = list(inspect.signature(update).parameters.values())
    except ValueError:
        return (), False
    names = tuple(p.name for k, p in enumerate(parameters) if k > 2 or p.kind is p.KEYWORD_ONLY)
    return names, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _caller(update: Callable) -> Callable[..., Any]:
    """Call an update with what its signature takes of the parameters and the extra arguments."""
    try:
        parameters = list(inspect.signature(update).parameters.values())
    except ValueError:  # some builtins have no signature
        return lambda updates, state, params, extra: update(updates, state, params)
    kinds = [p.kind for p in parameters]
    takes_any = inspect.Parameter.VAR_KEYWORD in kinds
    named = {p.name for p in parameters[3:]}
    named |= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    positional = sum(k in (k.POSITIONAL_ONLY, k.POSITIONAL_OR_KEYWORD) for k in kinds)
    takes_params = positional >= 3 or inspect.Parameter.VAR_POSITIONAL in kinds

    def call(updates: Any, state: Any, params: Any, extra: dict) -> Any:
        taken = extra if takes_any else {k: v for k, v in extra.items() if k in named}
        if takes_params:
            return update(updates, state, params, **taken)
        if "params" in named or takes_any:
            return update(updates, state, params=params, **taken)
        return update(updates, state, **taken)

    return call
