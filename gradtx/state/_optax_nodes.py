"""The parts of a state of gradtx or of Optax that have arrays."""

import collections
from typing import Any

import jax

from .._core.paths import path_of
from .._core.state import typed_fields
from ._names import Entry

# Optax's names for classes that have another here.
_ALIASES = {
    "SophiaState": "WithHessianDiagonalState",
    "WeightDecaySchedule": "AddDecayedWeightsState",
    "InjectHyperparamsState": "InjectStatefulHyperparamsState",
}
_TRANSPARENT = {
    "MaskedState": "inner_state",
    "PartitionState": "inner_states",
    "MultiTransformState": "inner_states",
}
# Fields of Optax's classes that hold the state of a transformation.
_INNER = {"base_optimizer_state", "fast_state", "inner_opt_state", "inner_state", "opt_state"}


class Place:
    """An array in a state of Optax.

    Attributes:
        index: Which of its leaves.
        path: Where it stands, as text.
        value: The array.
    """

    def __init__(self, index: int, path: str, value: Any):
        self.index, self.path, self.value = index, path, value


class Labels(dict):
    """Lists of nodes by label."""


def placed(state: Any) -> tuple[Any, Any]:
    """A state with a `Place` for every array, and its structure."""
    found, treedef = jax.tree_util.tree_flatten_with_path(state)
    places = [Place(i, path_of(keys), x) for i, (keys, x) in enumerate(found)]
    return treedef.unflatten(places), treedef


def kind_of(node: Any) -> str:
    """Name of the class of a part, as gradtx has it."""
    if isinstance(node, (Entry, Place)):
        return "arrays"
    name = "groups" if isinstance(node, Labels) else type(node).__name__
    return _ALIASES.get(name, name)


def by_class(nodes: list) -> dict[str, list]:
    """The parts by their class, in order."""
    found: dict[str, list] = collections.defaultdict(list)
    for node in nodes:
        found[kind_of(node)].append(node)
    return found


def nodes_of(state: Any) -> list:
    """What has arrays in a state, outermost first: chains and masks leave no trace."""
    if isinstance(state, (Entry, Place)):
        return [state]
    if not jax.tree.leaves(state):
        return []
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        inner = _TRANSPARENT.get(type(state).__name__)
        return [state] if inner is None else nodes_of(getattr(state, inner))
    if isinstance(state, dict):
        labels = {key: nodes_of(x) for key, x in state.items()}
        return [Labels({key: nodes for key, nodes in labels.items() if nodes})]
    if isinstance(state, (tuple, list)):
        return [node for part in state for node in nodes_of(part)]
    return [state]


def inside_of(node: Any) -> tuple[Any, list] | None:
    """What of a node is its own, and the states inside it; None if there are none."""
    if isinstance(node, Labels):
        return None, list(node.values())
    fields = typed_fields(node)
    if fields is not None:
        inner = [name for name, field in fields.items() if field.kind == "inner"]
    else:
        inner = [name for name in getattr(node, "_fields", ()) if name in _INNER]
    if not inner:
        return None
    own = [getattr(node, name) for name in node._fields if name not in inner]
    return own, [getattr(node, name) for name in inner]
