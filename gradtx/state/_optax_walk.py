"""A state of gradtx and one of Optax, walked side by side."""

import collections
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._core.paths import path_of
from .._core.state import typed_fields
from ._names import Entry, is_key, key_kind

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


class Place:
    """An array in a state of Optax.

    Attributes:
        index: Which of its leaves.
        path: Where it stands, as text.
        value: The array.
    """

    def __init__(self, index: int, path: str, value: Any):
        self.index, self.path, self.value = index, path, value


class Match(NamedTuple):
    """Two arrays that mean the same, and how one is made of the other."""

    entry: Entry
    place: Place
    there: Callable[[Any], Any]
    back: Callable[[Any], Any]


class _Labels(dict):
    """Lists of nodes by label."""


def placed(state: Any) -> tuple[Any, Any]:
    """A state with a `Place` for every array, and its structure."""
    found, treedef = jax.tree_util.tree_flatten_with_path(state)
    places = [Place(i, path_of(keys), x) for i, (keys, x) in enumerate(found)]
    return treedef.unflatten(places), treedef


class Walk:
    """What of two states belongs together.

    Attributes:
        matches: Pairs of arrays.
        flags: (count, flag that says whether it is 0).
        lacking: Arrays of gradtx that Optax has not.
        dropped: Arrays of Optax that gradtx has not, by what they are called.
    """

    def __init__(self, owner: str, params: Any):
        self.owner = owner
        found = jax.tree_util.tree_flatten_with_path(params)[0]
        self.params = {path_of(keys): p for keys, p in found}
        self.matches: list[Match] = []
        self.flags: list[tuple[Entry, Place]] = []
        self.lacking: list[Entry] = []
        self.dropped: dict[str, Place] = {}

    def start(self, ours: Any, theirs: Any) -> None:
        """Walk two states."""
        self._lists(_nodes(ours), _nodes(theirs))

    def _lists(self, ours: list, theirs: list) -> None:
        ours = self._opened(ours, theirs, self._lack)
        theirs = self._opened(theirs, ours, self._drop)
        ours = self._opened(ours, theirs, self._lack)
        here, there = _by_class(ours), _by_class(theirs)
        for kind in dict.fromkeys([*here, *there]):
            a, b = here.get(kind, []), there.get(kind, [])
            if a and b and len(a) != len(b):
                raise ValueError(
                    f"{self.owner}: there are {len(a)} {kind} here and {len(b)} in Optax's state, "
                    "so it is not known which is which. Give both the same parts."
                )
            for x, y in zip(a, b, strict=False):
                self._pair(kind, x, y)
            for x in a[len(b) :]:
                self._lack(x)
            for y in b[len(a) :]:
                self._drop(y)

    def _opened(self, nodes: list, others: list, leave: Callable[[Any], None]) -> list:
        """The nodes with those around others taken away whose class is not on the other side."""
        known, found = _by_class(others), []
        for node in nodes:
            inside = _inside(node)
            if _kind(node) in known or inside is None:
                found.append(node)
                continue
            own, states = inside
            leave(own)
            found += self._opened([x for s in states for x in _nodes(s)], others, leave)
        return found

    def _pair(self, kind: str, ours: Any, theirs: Any) -> None:
        if isinstance(ours, Entry):
            self._arrays(ours, theirs)
        elif isinstance(ours, _Labels):
            if set(ours) != set(theirs):
                raise ValueError(
                    f"{self.owner}: the labels are {sorted(map(str, ours))} here and "
                    f"{sorted(map(str, theirs))} in Optax's state."
                )
            for label in ours:
                self._lists(ours[label], theirs[label])
        elif type(theirs).__name__ == "SophiaState":
            self._sophia(ours, theirs)
        else:
            self._fields(kind, ours, theirs)

    def _fields(self, kind: str, ours: Any, theirs: Any) -> None:
        typed = typed_fields(ours) or {}
        for name in dict.fromkeys([*ours._fields, *theirs._fields]):
            x, y = getattr(ours, name, None), getattr(theirs, name, None)
            if name in typed and typed[name].kind == "inner":
                self._lists(_nodes(x), _nodes(y))
            elif kind == "ScaleByOptimisticGradientState" and name == "count":
                self.flags.append((x, theirs.is_initial_step))
            elif kind == "MechanicState" and name == "delta":
                self._sums(ours, theirs)
            elif kind == "ScheduleFreeState" and name == "x" and not hasattr(theirs, "x"):
                self._averages(x, theirs)
            elif (kind, name) not in _COMPUTED:
                self._trees(kind, x, y)

    def _trees(self, kind: str, ours: Any, theirs: Any) -> None:
        here, there = _by_path(ours), _by_path(theirs)
        for path, entry in here.items():
            if path in there:
                self._arrays(entry, there[path])
            else:
                self.lacking.append(entry)
        rest = {path: place for path, place in there.items() if path not in here}
        self._drop([p for p in rest.values() if not _is_placeholder(kind, p)])

    def _arrays(self, entry: Entry, place: Place) -> None:
        there, back = _same, _same
        if is_key(entry.value) and not is_key(place.value):
            kind = key_kind(entry.value)
            there, back = (lambda x: jax.random.wrap_key_data(x, impl=kind)), jax.random.key_data
        elif entry.field is not None and entry.field.kind == "reduced":
            here, other = tuple(entry.value.shape), tuple(np.shape(place.value))
            if here != other and _without_ones(here) == _without_ones(other):
                there, back = (lambda x: jnp.reshape(x, here)), (lambda x: jnp.reshape(x, other))
        self.matches.append(Match(entry, place, there, back))

    def _sums(self, ours: Any, theirs: Any) -> None:
        """Mechanic: the sum of updates, of which Optax keeps what can be computed from x0."""
        there = _by_path(theirs.x0)
        s, count = theirs.s.value, theirs.count.value
        for path, entry in _by_path(ours.delta).items():
            p = self._param(path, "Mechanic's sum of updates")
            total = jnp.sum(jnp.asarray(s).astype(entry.value.dtype))
            own = ours.s.value

            def computed(x0: Any, p: Any = p, total: Any = total, dtype: Any = entry.value.dtype):
                moved = jnp.asarray(p).astype(dtype) - jnp.asarray(x0).astype(dtype)
                known = (total != 0) & (jnp.asarray(count) != 0)
                return jnp.where(known, moved / jnp.where(known, total, 1), 0)

            def start(delta: Any, p: Any = p, own: Any = own) -> Any:
                return jnp.asarray(p).astype(delta.dtype) - jnp.sum(own).astype(delta.dtype) * delta

            self.matches.append(Match(entry, there[path], computed, start))

    def _averages(self, ours: Any, theirs: Any) -> None:
        """Schedule-free: the average, kept where the parameters are too narrow to give it."""
        there, b1 = _by_path(theirs.z), theirs.b1.value
        for path, entry in _by_path(ours).items():
            p = self._param(path, "the average x")

            def average(z: Any, p: Any = p, dtype: Any = entry.value.dtype) -> Any:
                z, b = jnp.asarray(z).astype(dtype), jnp.asarray(b1).astype(dtype)
                return (jnp.asarray(p).astype(dtype) - (1 - b) * z) / b

            self.matches.append(Match(entry, there[path], average, _nothing))

    def _sophia(self, ours: Any, theirs: Any) -> None:
        rules = [x for x in _nodes(ours.inner_state) if _kind(x) == "ScaleBySophiaState"]
        if len(rules) != 1:
            raise ValueError(
                f"{self.owner}: Optax's SophiaState is that of scale_by_sophia inside of "
                f"with_hessian_diagonal, but there are {len(rules)} of it inside."
            )
        (rule,) = rules
        for entry, place in ((ours.count, theirs.count), (rule.count, theirs.count)):
            self._arrays(entry, place)
        self._trees("", rule.mu, theirs.mu)
        self._trees("", rule.nu, theirs.nu)
        self._lists(_nodes(ours.estimator_state), _nodes(theirs.hessian_fn_state))

    def _param(self, path: str, what: str) -> Any:
        if path not in self.params:
            raise ValueError(f"{self.owner}: {what} needs the parameters: give `params`.")
        return self.params[path]

    def _lack(self, tree: Any) -> None:
        self.lacking += [x for x in jax.tree.leaves(tree) if isinstance(x, Entry)]

    def _drop(self, tree: Any) -> None:
        places = [x for x in jax.tree.leaves(tree) if isinstance(x, Place)]
        self.dropped |= {place.path: place for place in places}


# Fields of Optax's classes that hold the state of a transformation.
_INNER = {"base_optimizer_state", "fast_state", "inner_opt_state", "inner_state", "opt_state"}
# Fields of Optax's that another one here is computed from.
_COMPUTED = {
    ("ScaleByOptimisticGradientState", "is_initial_step"),
    ("MechanicState", "x0"),
}


def _same(x: Any) -> Any:
    return x


def _nothing(x: Any) -> None:
    del x


def _kind(node: Any) -> str:
    if isinstance(node, (Entry, Place)):
        return "arrays"
    name = "groups" if isinstance(node, _Labels) else type(node).__name__
    return _ALIASES.get(name, name)


def _by_class(nodes: list) -> dict[str, list]:
    found: dict[str, list] = collections.defaultdict(list)
    for node in nodes:
        found[_kind(node)].append(node)
    return found


def _nodes(state: Any) -> list:
    """What has arrays in a state, outermost first: chains and masks leave no trace."""
    if isinstance(state, (Entry, Place)):
        return [state]
    if not jax.tree.leaves(state):
        return []
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        inner = _TRANSPARENT.get(type(state).__name__)
        return [state] if inner is None else _nodes(getattr(state, inner))
    if isinstance(state, dict):
        labels = {key: _nodes(x) for key, x in state.items()}
        return [_Labels({key: nodes for key, nodes in labels.items() if nodes})]
    if isinstance(state, (tuple, list)):
        return [node for part in state for node in _nodes(part)]
    return [state]


def _inside(node: Any) -> tuple[Any, list] | None:
    """What of a node is its own, and the states inside it; None if there are none."""
    if isinstance(node, _Labels):
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


def _by_path(tree: Any) -> dict[str, Any]:
    return {path_of(keys): x for keys, x in jax.tree_util.tree_flatten_with_path(tree)[0]}


def _is_placeholder(kind: str, place: Place) -> bool:
    """Whether an array stands where there is nothing to keep."""
    shape = np.shape(place.value)
    return np.size(place.value) == 0 or (kind == "FactoredState" and shape == (1,))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)
