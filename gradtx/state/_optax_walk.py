"""A state of gradtx and one of Optax, walked side by side."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._core.paths import path_of
from .._core.state import typed_fields
from ._names import Entry, is_key
from ._optax_nodes import Labels, Place, by_class, inside_of, kind_of, nodes_of


class Match(NamedTuple):
    """Two arrays that mean the same, and how one is made of the other."""

    entry: Entry
    place: Place
    there: Callable[[Any], Any]
    back: Callable[[Any], Any]


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
        self._lists(nodes_of(ours), nodes_of(theirs))

    def _lists(self, ours: list, theirs: list) -> None:
        ours = self._opened(ours, theirs, self._lack)
        theirs = self._opened(theirs, ours, self._drop)
        ours = self._opened(ours, theirs, self._lack)
        here, there = by_class(ours), by_class(theirs)
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
        known, found = by_class(others), []
        for node in nodes:
            inside = inside_of(node)
            if kind_of(node) in known or inside is None:
                found.append(node)
                continue
            own, states = inside
            leave(own)
            found += self._opened([x for s in states for x in nodes_of(s)], others, leave)
        return found

    def _pair(self, kind: str, ours: Any, theirs: Any) -> None:
        if isinstance(ours, Entry):
            self._arrays(ours, theirs)
        elif isinstance(ours, Labels):
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
                self._lists(nodes_of(x), nodes_of(y))
            elif kind == "ScaleByOptimisticGradientState" and name == "count":
                self.flags.append((ours.count, theirs.is_initial_step))
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
        if is_key(entry.value):
            there = _key_data
            back = _same if is_key(place.value) else _key_data
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
        rules = [x for x in nodes_of(ours.inner_state) if kind_of(x) == "ScaleBySophiaState"]
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
        self._lists(nodes_of(ours.estimator_state), nodes_of(theirs.hessian_fn_state))

    def _param(self, path: str, what: str) -> Any:
        if path not in self.params:
            raise ValueError(f"{self.owner}: {what} needs the parameters: give `params`.")
        return self.params[path]

    def _lack(self, tree: Any) -> None:
        self.lacking += [x for x in jax.tree.leaves(tree) if isinstance(x, Entry)]

    def _drop(self, tree: Any) -> None:
        places = [x for x in jax.tree.leaves(tree) if isinstance(x, Place)]
        self.dropped |= {place.path: place for place in places}


# Fields of Optax's that another one here is computed from.
_COMPUTED = {
    ("ScaleByOptimisticGradientState", "is_initial_step"),
    ("MechanicState", "x0"),
}


def _key_data(x: Any) -> Any:
    return jax.random.key_data(x) if is_key(x) else x


def _same(x: Any) -> Any:
    return x


def _nothing(x: Any) -> None:
    del x


def _by_path(tree: Any) -> dict[str, Any]:
    return {path_of(keys): x for keys, x in jax.tree_util.tree_flatten_with_path(tree)[0]}


def _is_placeholder(kind: str, place: Place) -> bool:
    """Whether an array stands where there is nothing to keep."""
    shape = np.shape(place.value)
    return np.size(place.value) == 0 or (kind == "FactoredState" and shape == (1,))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)
