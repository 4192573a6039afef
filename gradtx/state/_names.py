"""Names for the arrays of a state: what made them, the field, the path of the parameter.

Names do not depend on where in a chain or inside how many wrappers a rule stands.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import DictKey, GetAttrKey, SequenceKey

from .._core.body import Body
from .._core.composite import Sequence
from .._core.containers import key_paths, plain
from .._core.foreign import Foreign
from .._core.leaves import flatten
from .._core.lifted import Lifted
from .._core.paths import path_of
from .._core.state import EmptyState, Field, typed_fields
from .._core.wrap import Around
from ._kinds import check_kind

Keys = tuple[Any, ...]
Scope = tuple[tuple[int, str], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """One array of a state. It is a leaf of the tree that `named` returns.

    Attributes:
        labels: Labels of the groups and side parts that it stands in, outermost first.
        node: Name of what made it; several of a name in one place are numbered.
        path: Field and path of the parameter as text.
        field: What the field holds, or None if nobody says.
        keys: Where it stands inside the field; inside the node where nobody says what a field is.
        value: The array, or its description.
        scope: The wrappers and groups that it stands in, outermost first, each with its number and
            the label of the group; what a wrapper keeps for itself is inside it.
        of_wrapper: Whether a wrapper keeps it for itself.
        clock: Whether it is a count that schedules go by, and that corrects nothing beside it.
    """

    labels: tuple[str, ...]
    node: str
    path: str
    field: Field | None
    keys: Keys
    value: Any
    scope: Scope = ()
    of_wrapper: bool = False
    clock: bool = False

    @property
    def node_key(self) -> tuple[str, ...]:
        """What made it, and where: the same for all arrays of one state."""
        return (*self.labels, self.node)

    @property
    def name(self) -> str:
        """The name in an export."""
        return "/".join([*self.labels, self.tail])

    @property
    def tail(self) -> str:
        """The name without the labels."""
        kind = f"@{key_kind(self.value)}" if is_key(self.value) else ""
        return "/".join([self.node, *filter(None, [self.path])]) + kind

    @property
    def counts_steps(self) -> bool:
        """Whether it is a count of the steps of an optimizer."""
        if self.field is not None:
            return self.field.kind == "count" and self.field.steps
        whole = jnp.issubdtype(self.value.dtype, jnp.integer)
        return whole and self.path.split("/")[-1] == "count"


def is_key(x: Any) -> bool:
    """Whether this is an array of keys of the new kind, perhaps a described one."""
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def key_kind(x: Any) -> str:
    """How its generator is called, as `jax.random.wrap_key_data` wants it."""
    return str(jax.random.key_impl(jnp.zeros((), x.dtype)))  # abstract keys do not say it


def is_array(x: Any) -> bool:
    """Whether a leaf of a state is an array: also a described one, or a number of Python's."""
    return (hasattr(x, "shape") and hasattr(x, "dtype")) or isinstance(
        x, (bool, int, float, complex)
    )


def named(owner: str, body: Body, state: Any) -> Any:
    """The state with an `Entry` in the place of every array.

    Args:
        owner: Who asks, for messages.
        body: What it is a state of.
        state: The state, also an abstract one.

    Raises:
        ValueError: If two arrays have one name, or the state is not of this body.
    """
    found = _Walk(owner, body, state).named(body, state, (), ())
    names = collections.Counter(entry.name for entry in entries_of(found))
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise ValueError(
            f"{owner}: two arrays of the state have the name {twice[0]!r}. Do two paths of the "
            'parameters read alike because a key has a "/" in it? Rename one of them.'
        )
    return found


def entries_of(tree: Any) -> list[Entry]:
    """The entries in a tree that `named` returned."""
    return [x for x in jax.tree.leaves(tree) if isinstance(x, Entry)]


class _Walk:
    """Names for one state; made of two passes, since numbers need to know how many there are."""

    def __init__(self, owner: str, body: Body, state: Any):
        self.owner = owner
        self.there: collections.Counter = collections.Counter()
        self.used: collections.Counter = collections.Counter()
        self.places = itertools.count()
        self._count(body, state, ())

    def _count(self, body: Body, state: Any, labels: tuple[str, ...]) -> None:
        check_kind(self.owner, body, state)
        inside, own = _parted(body, state)
        if _remembers(body, own):
            self.there[labels, _name(body)] += 1
        for part in inside:
            self._count(part.body, part.state, _with(labels, part.label))

    def named(self, body: Body, state: Any, labels: tuple[str, ...], scope: Scope) -> Any:
        """A state with its arrays named."""
        inside, own = _parted(body, state)
        wraps = bool(inside) and not isinstance(body, (Sequence, Around))
        scope = self._within(scope, "") if wraps else scope
        if _remembers(body, own):
            node = self._numbered(labels, _name(body))
            own = self._own(Entry(labels, node, "", None, (), None, scope, wraps), body, own)
        states = [
            self.named(
                part.body,
                part.state,
                _with(labels, part.label),
                self._within(scope, part.label) if wraps and part.label else scope,
            )
            for part in inside
        ]
        return body.with_inner_states(own, states) if inside else own

    def _within(self, scope: Scope, label: str) -> Scope:
        return (*scope, (next(self.places), label))

    def _numbered(self, labels: tuple[str, ...], name: str) -> str:
        of = self.there[labels, name]
        self.used[labels, name] += 1
        return name if of == 1 else f"{name}#{self.used[labels, name]}of{of}"

    @staticmethod
    def _own(blank: Entry, body: Body, own: Any) -> Any:
        def entry(keys: Keys, value: Any) -> Any:
            if not is_array(value):
                return value
            value = value if hasattr(value, "dtype") else np.asarray(value)
            field, rest = (None, keys) if isinstance(body, Foreign) else _field(own, keys)
            clock = _is_clock(body, field)
            new = {"path": path_of(keys), "field": field, "keys": rest, "value": value}
            return dataclasses.replace(blank, clock=clock, **new)

        given, treedef = flatten(own)
        return treedef.unflatten(map(entry, key_paths(own), given))


def _is_clock(body: Body, field: Field | None) -> bool:
    if field is None or field.kind != "count" or not field.steps:
        return False
    return field.alone or (isinstance(body, Lifted) and body.rule.counts_for_schedules)


def _parted(body: Body, state: Any) -> tuple[list, Any]:
    """The states inside a state, and what is its own."""
    inside = body.inner_states(state)
    return inside, body.with_inner_states(state, [None] * len(inside)) if inside else state


def _remembers(body: Body, own: Any) -> bool:
    """Whether a body has a state of its own. It does not depend on the parameters if possible."""
    if isinstance(body, Lifted):
        return body.rule.state is not EmptyState
    return any(map(is_array, jax.tree.leaves(own)))


def _with(labels: tuple[str, ...], label: str) -> tuple[str, ...]:
    return (*labels, label) if label else labels


def _name(body: Body) -> str:
    if not isinstance(body, Foreign):
        return body.name
    init = body.pair[0]
    if getattr(init, "description", None) is not None:
        return init.description.name
    # Optax's functions are closures of what they are known by: scale_by_adam.<locals>.init_fn.
    parts = getattr(init, "__qualname__", "pair").replace(".<locals>", "").split(".")
    return parts[-2 if len(parts) > 1 else 0].strip("<>")


def _field(node: Any, keys: Keys) -> tuple[Field | None, Keys]:
    """What the field holds that the keys lead into, and the keys inside it."""
    field, rest = None, keys
    for place, key in enumerate(keys):
        fields = typed_fields(node)
        if fields is not None and isinstance(key, GetAttrKey) and key.name in fields:
            field, rest = fields[key.name], keys[place + 1 :]
            if field.per_param:
                break  # what follows are the containers of the parameters
        node = _child(node, key)
    return field, rest


def _child(node: Any, key: Any) -> Any:
    if isinstance(key, GetAttrKey):
        return getattr(node, key.name, None)
    if isinstance(key, (DictKey, SequenceKey)):
        return node[key.key if isinstance(key, DictKey) else key.idx]
    return None


class Parameters:
    """The parameters by where they stand, to tell which one an entry belongs to."""

    def __init__(self, params: Any):
        params = plain(params)
        # Of a pair, as LookaheadParams, the state is that of the first.
        first = int(hasattr(type(params), "fit_updates"))
        self.by_keys: dict[tuple[str, ...], tuple[str, Any]] = {}
        for keys, leaf in zip(key_paths(params), flatten(params)[0], strict=True):
            if leaf is None:
                continue
            self.by_keys.setdefault(_text(keys[first:]), (path_of(keys), leaf))

    def of(self, entry: Entry) -> tuple[str, Any] | None:
        """Path and leaf of the parameter that an entry belongs to, or None."""
        keys = _text(entry.keys)
        if entry.field is not None:
            if not entry.field.per_param:
                return None
            found = (self.by_keys.get(keys[:end]) for end in range(len(keys), -1, -1))
            return next(filter(None, found), None)
        for first, last in _runs(len(keys)):
            found = self.by_keys.get(keys[first:last])
            if found is not None and np.shape(found[1]) == np.shape(entry.value):
                return found
        return None

    @property
    def shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Path and shape of each, in order."""
        return [(path, np.shape(leaf)) for path, leaf in self.by_keys.values()]


def _text(keys: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(key) for key in keys)


def _runs(length: int) -> Iterable[tuple[int, int]]:
    """(first, last) of the runs in a sequence, long ones first, never empty."""
    for size in range(length, 0, -1):
        yield from ((first, first + size) for first in range(length - size + 1))
