"""The arrays that `init` makes: described, or a few of them made."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from .._core.foreign import Foreign
from .._core.leaves import as_array, is_abstract, is_inexact, is_traced
from .._core.state import what_holds_it
from .._core.wrap import innermost
from ..sharding import state_layout
from ._names import Entry, Parameters, entries_of, is_key, named


class Fresh:
    """The state of a transformation for parameters, of which no array exists yet.

    Attributes:
        owner: Who asks, for messages.
        tx: The transformation.
        params: The parameters.
        like: A state that says what this one is like, or None for that of `tx.init(params)`.
        tree: The state with an `Entry` in the place of each array.
        entries: These by name.
        parameters: The parameters by where they stand.
    """

    def __init__(self, owner: str, tx: Any, params: Any, like: Any = None):
        self.owner, self.tx, self.params, self.like = owner, tx, params, like
        if holder := what_holds_it(like):
            raise TypeError(f"{owner}: `like` must be a state. {holder}")
        self.parameters = Parameters(params)
        state = tx.init(jax.tree.map(described, params)) if like is None else like
        self.tree = named(owner, tx.update.body, state)
        self.entries: dict[str, Entry] = {e.name: e for e in entries_of(self.tree)}

    def with_values(self, values: dict[str, Any]) -> Any:
        """The state with these arrays, and those made by `init` that are not among them."""
        rest = [name for name in self.entries if name not in values]
        values = self._placed(values | self.made(rest))
        return jax.tree.map(lambda x: values[x.name] if isinstance(x, Entry) else x, self.tree)

    def made(self, names: Iterable[str]) -> dict[str, Any]:
        """Some of the arrays that `init` makes, or that `like` has; the others are not copied."""
        wanted = set(names)
        if self.like is not None:
            return self._copied(wanted)
        chosen = [i for i, x in enumerate(jax.tree.leaves(self.tree)) if _is_one_of(x, wanted)]
        if not chosen:
            return {}
        given, treedef = jax.tree.flatten(self.params)
        places = [i for i, p in enumerate(given) if is_inexact(p)]
        if any(is_abstract(given[i]) for i in places):
            raise ValueError(
                f"{self.owner}: to make {min(wanted)!r}, which is not there, the parameters "
                "must be arrays, but are only described."
            )

        def start(arrays: list) -> list:
            column = list(given)
            for i, array in zip(places, arrays, strict=True):
                column[i] = array
            made = jax.tree.leaves(self.tx.init(treedef.unflatten(column)))
            return [_own(made[i]) for i in chosen]

        opaque = any(isinstance(body, Foreign) for body in innermost(self.tx.update.body))
        # Compiled, what nobody asks for is never computed.
        arrays = (start if opaque else jax.jit(start))([as_array(given[i]) for i in places])
        order = [x.name for x in jax.tree.leaves(self.tree) if _is_one_of(x, wanted)]
        return dict(zip(order, arrays, strict=True))

    def _copied(self, wanted: set[str]) -> dict[str, Any]:
        found = {name: entry.value for name, entry in self.entries.items() if name in wanted}
        for name, x in found.items():
            if is_abstract(x):
                raise ValueError(
                    f"{self.owner}: {name!r} is not there, so `like` must have it as an array, but "
                    "only describes it."
                )
        return {name: _own(x) for name, x in found.items()}

    def _placed(self, values: dict[str, Any]) -> dict[str, Any]:
        """The arrays where the parameters are, unless they are spread over devices already."""
        if self.like is not None:
            return {name: _as_placed(self.entries[name].value, x) for name, x in values.items()}
        mesh = _mesh_of(self.params)
        if mesh is None:
            return {name: self._beside(self.entries[name], x) for name, x in values.items()}
        layout = jax.tree.leaves(state_layout(self.tx, self.params, mesh=mesh))
        order = [x.name for x in jax.tree.leaves(self.tree) if isinstance(x, Entry)]
        shardings = {n: leaf.sharding for n, leaf in zip(order, layout, strict=True)}

        def at(name: str, x: Any) -> Any:
            there = isinstance(x, jax.Array) and set(x.devices()) == set(mesh.devices.flat)
            return x if is_abstract(x) or there else jax.device_put(x, shardings[name])

        return {name: at(name, x) for name, x in values.items()}

    def _beside(self, entry: Entry, x: Any) -> Any:
        found = self.parameters.of(entry)
        p = None if found is None else found[1]
        if is_abstract(x) or isinstance(x, jax.Array) or is_traced(p):
            return x
        if isinstance(p, jax.Array) and p.committed:
            return jax.device_put(x, p.sharding)
        return jnp.array(x)


def described(p: Any) -> Any:
    """A parameter as shape and dtype alone, if it is an array that is trained."""
    if not is_inexact(p) or is_abstract(p):
        return p
    p = as_array(p)
    return jax.ShapeDtypeStruct(p.shape, p.dtype)


def _is_one_of(x: Any, names: set[str]) -> bool:
    return isinstance(x, Entry) and x.name in names


def _as_placed(there: Any, x: Any) -> Any:
    """An array where another one is, or shall be."""
    if is_abstract(x) or is_traced(x) or is_traced(there):
        return x
    sharding = getattr(there, "sharding", None)
    if sharding is not None and (is_abstract(there) or there.committed):
        return jax.device_put(x, sharding)
    return x if isinstance(x, jax.Array) else jnp.array(x)


def _own(x: Any) -> Any:
    """An array in a buffer of its own: what jit returns of its arguments it does not copy."""
    return x if is_key(x) else jnp.copy(x)


def _mesh_of(params: Any) -> Any:
    """The mesh that parameters are spread over, or None."""
    for p in jax.tree.leaves(params):
        sharding = None if is_traced(p) else getattr(p, "sharding", None)
        if isinstance(sharding, jax.sharding.NamedSharding) and sharding.mesh.size > 1:
            return None if sharding.mesh.empty else sharding.mesh
    return None
