"""The state before any array exists: what each leaf holds, its shape, dtype and place."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from .._core import leaves
from .._core.first import transformation_first
from .._core.state import typed_fields
from .._core.transformation import as_transformation
from ._specs import axes_by_dimension, checked_specs, explicit, mesh_of, spec_from


@dataclasses.dataclass(frozen=True)
class StateLeaf:
    """What is known of one array of a state before it exists.

    Attributes:
        kind: "param" (shaped like its parameter), "stack" (the same behind a leading axis),
            "reduced" (other axes, each one of the parameter's or of length 1), "count",
            "scalar", "key", or "other" in a state that gradtx did not make.
        param: Path of the parameter it belongs to, or None.
        shape: Its shape.
        dtype: Its dtype.
        sharding: Where it will lie.
    """

    kind: str
    param: str | None
    shape: tuple[int, ...]
    dtype: Any
    sharding: NamedSharding

    @property
    def bytes_per_device(self) -> int:
        """The bytes that each device holds of it."""
        size = math.prod(self.sharding.shard_shape(self.shape))
        return size * _itemsize(self.dtype)


def _itemsize(dtype: Any) -> int:
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return 8  # the data of a key: two uint32
    return np.dtype(dtype).itemsize


@transformation_first
def state_layout(
    tx: Any, params: Any, specs: Any = None, mesh: Mesh | AbstractMesh | None = None
) -> Any:
    """What a transformation's state will be, leaf by leaf, before any array exists.

    The state of gradtx's transformations says by its types what each field holds. That of others
    (Optax's, your own pairs) is read by its structure: a subtree like the params belongs to them.

    Args:
        tx: A transformation, however nested, or a pair (init, update).
        params: Tree of arrays or ShapeDtypeStructs.
        specs: PartitionSpecs of the parameters, a tree like them or a prefix of it; None to read
            them off the parameters' shardings.
        mesh: The mesh; None for that of `jax.set_mesh`.

    Returns:
        Tree like `tx.init(params)` with a `StateLeaf` for each array.

    Raises:
        ValueError: If there is no mesh, or a spec does not fit its parameter.

    Example:
        >>> import jax, gradtx as gx
        >>> from jax.sharding import AbstractMesh, PartitionSpec as P
        >>> mesh = AbstractMesh((2, 4), ("data", "model"))
        >>> w = jax.ShapeDtypeStruct((8, 16), "float32")
        >>> leaf = gx.sharding.state_layout(gx.trace(0.9), {"w": w}, P(None, "model"), mesh)
        >>> leaf.trace["w"].kind, leaf.trace["w"].param, leaf.trace["w"].bytes_per_device
        ('param', "['w']", 128)
    """
    mesh = mesh_of("state_layout", mesh)
    tx = as_transformation(tx, "state_layout")
    found = checked_specs("state_layout", specs, params, mesh)
    state = abstract_init(tx, params, found, mesh)
    return _Reader(params, found, mesh).read(state)


@transformation_first
def abstract_state(
    tx: Any, params: Any, specs: Any = None, mesh: Mesh | AbstractMesh | None = None
) -> Any:
    """The state's shapes, dtypes and shardings, before any array exists.

    What it returns can be given to Orbax to restore into, and its shardings
    (`gradtx.sharding.shardings_of`) to `jax.jit(tx.init, out_shardings=...)`.

    Args:
        tx: A transformation, however nested, or a pair (init, update).
        params: Tree of arrays or ShapeDtypeStructs.
        specs: PartitionSpecs of the parameters, a tree like them or a prefix of it; None to read
            them off the parameters' shardings.
        mesh: The mesh; None for that of `jax.set_mesh`.

    Returns:
        Tree like `tx.init(params)` of ShapeDtypeStructs with NamedShardings.

    Raises:
        ValueError: If there is no mesh, or a spec does not fit its parameter.
    """
    layout = state_layout(tx, params, specs, mesh)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), layout
    )


def shardings_of(tree: Any) -> Any:
    """The shardings of the arrays of a tree, abstract ones too.

    Args:
        tree: Tree of arrays or ShapeDtypeStructs.

    Returns:
        Tree like it with the sharding of each.
    """
    return jax.tree.map(lambda x: x.sharding, tree)


def abstract_init(
    tx: Any, params: Any, specs: list[PartitionSpec], mesh: Mesh | AbstractMesh
) -> Any:
    """`tx.init` on shapes, with mesh axes that are part of every array's type.

    JAX then works out itself how each array of the state is split.
    """
    axes = explicit(mesh)
    given, treedef = leaves.flatten(params)
    places = [i for i, p in enumerate(given) if hasattr(p, "shape") and hasattr(p, "dtype")]
    abstract = [
        jax.ShapeDtypeStruct(given[i].shape, given[i].dtype, sharding=NamedSharding(axes, specs[i]))
        for i in places
    ]

    def init(arrays: list) -> Any:
        full = list(given)
        for i, array in zip(places, arrays, strict=True):
            full[i] = array
        return tx.init(treedef.unflatten(full))

    with jax.sharding.use_abstract_mesh(axes):
        return jax.eval_shape(init, abstract)


class _Reader:
    """Reads a state: what each leaf is, and where it lies."""

    def __init__(self, params: Any, specs: list[PartitionSpec], mesh: Mesh | AbstractMesh):
        self.given, self.treedef = leaves.flatten(params)
        self.paths = leaves.path_names(params)
        self.specs, self.mesh = specs, mesh

    def read(self, node: Any) -> Any:
        """The state, or a part of it, with a `StateLeaf` for each array."""
        fields = typed_fields(node)
        if fields is not None:
            values = {
                name: self._field(field, getattr(node, name)) for name, field in fields.items()
            }
            return type(node)(**values)
        if self._is_like_params(node):
            return self._column(node, None)
        if not hasattr(node, "shape"):
            return _map_children(self.read, node)
        if node.shape == () and jnp.issubdtype(node.dtype, jnp.integer):
            return self._leaf("count", None, node)
        return self._leaf("scalar" if node.shape == () else "other", None, node)

    def _field(self, field: Any, value: Any) -> Any:
        if value is None:  # a field that some transformations of the kind go without
            return None
        if field.kind == "inner":
            return self.read(value)
        if field.per_param:
            return self._column(value, field.kind)
        return jax.tree.map(lambda x: self._leaf(field.kind, None, x), value)

    def _is_like_params(self, node: Any) -> bool:
        if not self.given:
            return False
        if jax.tree_util.treedef_is_leaf(self.treedef):
            return getattr(node, "shape", ()) == getattr(self.given[0], "shape", None) != ()
        try:
            column = self.treedef.flatten_up_to(node)
        except (ValueError, TypeError, KeyError):
            return False
        return any(
            getattr(x, "shape", None) == getattr(p, "shape", ())
            for x, p in zip(column, self.given, strict=True)
        )

    def _column(self, tree: Any, kind: str | None) -> Any:
        try:
            column = self.treedef.flatten_up_to(tree)
        except (ValueError, TypeError, KeyError):  # like another tree, as inside `flatten`
            return jax.tree.map(
                lambda x: self._leaf("other" if x.shape else "scalar", None, x), tree
            )
        entries = [
            jax.tree.map(lambda x, i=i: self._leaf(kind, i, x), entry)
            for i, entry in enumerate(column)
        ]
        return self.treedef.unflatten(entries)

    def _leaf(self, kind: str | None, index: int | None, x: Any) -> StateLeaf:
        spec = x.sharding.spec if isinstance(x.sharding, NamedSharding) else PartitionSpec()
        path = None
        if index is not None:
            path, p = self.paths[index], self.given[index]
            if kind is None:  # made by others: it may not say where it lies, but has its shape
                kind = "param" if x.shape == np.shape(p) else "reduced"
                spec = self.specs[index] if kind == "param" and not any(spec) else spec
        spec = spec_from(axes_by_dimension(spec, len(x.shape)))
        return StateLeaf(kind or "other", path, x.shape, x.dtype, NamedSharding(self.mesh, spec))


def _map_children(read: Callable[[Any], Any], node: Any) -> Any:
    """A container with `read` applied to what stands directly in it."""
    children, treedef = jax.tree.flatten(node, is_leaf=lambda x: x is not node)
    return treedef.unflatten([read(child) for child in children])
