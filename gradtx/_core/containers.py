"""What the containers of a tree may be: anything; leaves are told by their paths."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.tree_util import FlattenedIndexKey, GetAttrKey

KeyPath = tuple[Any, ...]

_VALUE = GetAttrKey("value")


def _is_none(x: Any) -> bool:
    return x is None


def key_paths(tree: Any) -> list[KeyPath]:
    """The keys that lead to every leaf, of which None is one.

    A box, which is a container with its only leaf at the attribute `value`, has the path of that
    leaf: frameworks hand parameters over in boxes in one call and without them in the next.
    """
    with_paths, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_none)
    paths = [path for path, _ in with_paths]
    if not any(len(path) > 1 and path[-1] == _VALUE for path in paths):
        return paths
    several = _with_several(paths)
    return [
        path[:-1] if len(path) > 1 and path[-1] == _VALUE and path[:-1] not in several else path
        for path in paths
    ]


def _with_several(paths: list[KeyPath]) -> set[KeyPath]:
    """The paths of the containers that have more than one leaf."""
    seen, several = set(), set()
    for path in paths:
        for end in range(1, len(path)):
            (several if path[:end] in seen else seen).add(path[:end])
    return several


def opened(tree: Any) -> Any:
    """A tree with what is in it in the place of each box, see `key_paths`."""
    return jax.tree.map(
        lambda x: next(iter(jax.tree.leaves(x)), None) if _is_box(x) else x,
        tree,
        is_leaf=lambda x: x is None or _is_box(x),
    )


def boxed_as(tree: Any, changed: Any) -> Any:
    """What was made of `opened(tree)` by changing leaves, with the boxes of the tree."""
    return jax.tree.structure(tree).unflatten(jax.tree.leaves(changed))


def _is_box(x: Any) -> bool:
    if isinstance(x, (tuple, list, dict)):  # a NamedTuple is a state
        return False
    return _one_level(x) == [(_VALUE,)] and jax.tree.structure(x).num_leaves <= 1


def _one_level(x: Any) -> list[KeyPath]:
    """The keys that lead to what a container holds."""
    return [path for path, _ in _inside(x)]


def _inside(x: Any) -> list[tuple[KeyPath, Any]]:
    """What a container holds, with the keys that lead there; itself if it is a leaf."""
    return jax.tree_util.tree_flatten_with_path(x, is_leaf=lambda y: y is not x)[0]


def by_path(tree: Any, given: Any) -> list | None:
    """What another tree, or the top of one, has at the path of each leaf of a tree.

    Args:
        tree: The tree.
        given: The other one, in containers of any kind.

    Returns:
        One entry for each leaf, None among them; or None if a leaf of either has no counterpart.
    """
    given = plain(given)
    entries = jax.tree.leaves(given, is_leaf=_is_none)
    there = dict(zip(_texts(given), entries, strict=True))
    used, column = set(), []
    for path in _texts(plain(tree)):
        tops = (path[:end] for end in range(len(path), -1, -1))
        top = next((top for top in tops if top in there), None)
        if top is None:
            return None
        used.add(top)
        column.append(there[top])
    return in_order_of(tree, column) if len(used) == len(entries) else None


def in_order_of(tree: Any, column: list) -> list:
    """Entries for the leaves of `plain(tree)` in the order of the leaves of the tree."""
    treedef = _structure(tree)
    if not hides_keys(treedef):
        return column
    places = jax.tree.leaves(plain(_numbered(treedef)))
    return [x for _, x in sorted(zip(places, column, strict=True), key=lambda pair: pair[0])]


def _structure(tree: Any) -> Any:
    """The structure of a tree in which None counts as a leaf."""
    return jax.tree.structure(tree, is_leaf=_is_none)


def _texts(tree: Any) -> list[tuple[str, ...]]:
    return [
        tuple(jax.tree_util.keystr((key,), simple=True) for key in path) for path in key_paths(tree)
    ]


def plain(tree: Any) -> Any:
    """A tree with a dict in the place of each mapping whose keys JAX does not know.

    The leaves of such a mapping have no paths, and it may have no place for more or less than one
    array each.
    """
    if not hides_keys(jax.tree.structure(tree)):
        return tree
    return jax.tree.map(
        lambda x: {key: plain(value) for key, value in x.items()} if _is_hiding(x) else x,
        tree,
        is_leaf=lambda x: x is None or _is_hiding(x),
    )


def in_containers_of(made: Any, *trees: Any) -> Any:
    """A tree in the containers of the first of others that has its paths, or of a part of it."""
    for tree in trees:
        for part in (tree, *(x for _, x in _inside(tree))):
            moved = _moved(made, part)
            if moved is not None:
                return moved
    return made


def _moved(made: Any, tree: Any) -> Any:
    """A tree in the containers of another with the same paths, or None if it has others."""
    old, new = _structure(made), _structure(tree)
    if old == new:
        return made
    column = by_path(tree, made) if _same_paths(old, new) else None
    return None if column is None else new.unflatten(column)


@functools.lru_cache(maxsize=256)
def _same_paths(treedef: Any, other: Any) -> bool:
    """Whether two trees have the same leaves, none of them further inside than in the other."""
    if treedef.num_leaves != other.num_leaves:
        return False
    ours, theirs = (sorted(_texts(plain(_numbered(x)))) for x in (treedef, other))
    return ours == theirs


def in_containers_of_state(updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
    """Updates and parameters in the containers that a state has for them, or in the updates' own.

    Frameworks hand over a FrozenDict in one call and a dict in the next. Boxes stay.

    Args:
        updates: The updates.
        state: The state.
        params: The parameters or None: what holds several arrays for each is told by them.
    """
    held, ours = jax.tree.structure(state), jax.tree.structure(updates)
    if held.num_leaves and not _holds(held, ours):
        trees = (state, plain(updates), plain(params))
        other = _held_instead(*map(_structure, trees))
        updates = updates if other is None else _moved(updates, _numbered(other))
    if params is None or jax.tree.structure(params) == jax.tree.structure(updates):
        return updates, params
    has_boxes = jax.tree.structure(opened(params)) != jax.tree.structure(params)
    moved = None if has_boxes else _moved(params, updates)
    return updates, params if moved is None else moved


@functools.lru_cache(maxsize=256)
def _held_instead(state: Any, updates: Any, params: Any) -> Any:
    """The structure with the paths of the updates that is in a state, if theirs is not."""
    if _holds(state, updates):
        return None
    mappings = [node for node in _trees_in(state) if issubclass(_kind(node), Mapping)]
    for node in ([params] if _holds(state, params) else []) + mappings:
        if _same_paths(node, updates):
            return node
    return None


def _numbered(treedef: Any) -> Any:
    return treedef.unflatten(range(treedef.num_leaves))


@functools.lru_cache(maxsize=256)
def _holds(state: Any, top: Any) -> bool:
    """Whether a tree in a state has the containers of another."""
    return any(_is_top_of(top, node) for node in _trees_in(state))


def _trees_in(state: Any) -> list[Any]:
    """The structures in that of a state that are no dict or tuple of states.

    The keys of such a dict are names of groups or links, which may be those of parameters.
    """
    found: list[Any] = []

    def look(node: Any) -> bool:
        at = len(found)
        found.append(node)
        has_states = max(map(look, node.children()), default=False)
        if has_states and _kind(node) in (dict, tuple):
            del found[at]
        return has_states or _is_state(_kind(node))

    look(state)
    return found


@functools.lru_cache(maxsize=512)
def _is_state(kind: type) -> bool:
    """Whether a type is that of a state, by its annotations or, as those of Optax, by its name."""
    from .state import fields_of  # which needs this module

    if not (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return False
    try:
        return kind.__name__.endswith("State") or bool(fields_of(kind))
    except (TypeError, NameError):
        return False


def _kind(treedef: Any) -> type:
    data = treedef.node_data()
    return object if data is None else data[0]


def _nodes(treedef: Any) -> Iterator[Any]:
    """The structure of a tree, and of all that is in it."""
    yield treedef
    for child in treedef.children():
        yield from _nodes(child)


def _is_top_of(top: Any, treedef: Any) -> bool:
    if jax.tree_util.treedef_is_leaf(top):
        return True
    here, there = top.children(), treedef.children()
    same = top.node_data() == treedef.node_data() and len(here) == len(there)
    return same and all(map(_is_top_of, here, there))


def first_kinds_apart(tree: Any, other: Any) -> tuple[KeyPath, type, type] | None:
    """Where two trees with the same paths have containers of different types, and which."""
    if type(tree) is not type(other):
        return (), type(tree), type(other)
    for (key, ours), (_, theirs) in zip(_inside(tree), _inside(other), strict=True):
        found = None if ours is tree else first_kinds_apart(ours, theirs)
        if found is not None:
            return (*key, *found[0]), *found[1:]
    return None


@functools.lru_cache(maxsize=256)
def hides_keys(treedef: Any) -> bool:
    """Whether there is such a mapping in a tree."""
    kinds = map(_kind, _nodes(treedef))
    if not any(issubclass(kind, Mapping) and kind is not dict for kind in kinds):
        return False
    found = []

    def look(x: Any) -> bool:
        found.append(_is_hiding(x))
        return False

    jax.tree.leaves(treedef.unflatten([0] * treedef.num_leaves), is_leaf=look)
    return any(found)


def _is_hiding(x: Any) -> bool:
    if not isinstance(x, Mapping) or isinstance(x, dict):
        return False
    return any(path and isinstance(path[0], FlattenedIndexKey) for path in _one_level(x))
