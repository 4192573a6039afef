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
    inside, _ = jax.tree_util.tree_flatten_with_path(x, is_leaf=lambda y: y is not x)
    return [path for path, _ in inside]


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
    for path in _texts(tree):
        tops = (path[:end] for end in range(len(path), -1, -1))
        top = next((top for top in tops if top in there), None)
        if top is None:
            return None
        used.add(top)
        column.append(there[top])
    return column if len(used) == len(entries) else None


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


def in_containers_of(tree: Any, made: Any) -> Any:
    """What was made for `plain(tree)`, in the containers of the tree."""
    treedef = jax.tree.structure(tree)
    if not hides_keys(treedef):
        return made
    numbered = plain(treedef.unflatten(range(treedef.num_leaves)))
    places, plain_treedef = jax.tree.flatten(numbered)
    order = dict(zip(places, plain_treedef.flatten_up_to(made), strict=True))
    return treedef.unflatten([order[place] for place in range(treedef.num_leaves)])


@functools.lru_cache(maxsize=256)
def hides_keys(treedef: Any) -> bool:
    """Whether there is such a mapping in a tree."""
    if not any(issubclass(kind, Mapping) and kind is not dict for kind in _kinds(treedef)):
        return False
    found = []

    def look(x: Any) -> bool:
        found.append(_is_hiding(x))
        return False

    jax.tree.leaves(treedef.unflatten([0] * treedef.num_leaves), is_leaf=look)
    return any(found)


def _kinds(treedef: Any) -> Iterator[type]:
    """The types of the containers in a tree."""
    if (data := treedef.node_data()) is not None:
        yield data[0]
    for child in treedef.children():
        yield from _kinds(child)


def _is_hiding(x: Any) -> bool:
    if not isinstance(x, Mapping) or isinstance(x, dict):
        return False
    return any(path and isinstance(path[0], FlattenedIndexKey) for path in _one_level(x))
