"""Moving the leaves of a tree to where the state is held, and back, in each mode of JAX."""

import math
from typing import Any

import jax
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from .._core import leaves
from .._core.flow import Flow
from ._layout import state_layout
from ._specs import axes_by_dimension, check_spec, mesh_axes, spec_from, specs_over, spread_spec


class Places:
    """Where the leaves of one call lie, and how they get to where the state is held.

    Attributes:
        splits: For each leaf the mesh axes of a `shard_map` that its axes are split over.
    """

    def __init__(self, flow: Flow, arrays: list, specs: Any, spread: tuple[str, ...]):
        self.mesh = jax.sharding.get_abstract_mesh()
        if self.mesh.empty:
            raise ValueError(
                "sharded needs a mesh: call inside `with jax.set_mesh(mesh):` or `jax.shard_map`."
            )
        mesh_axes("sharded", spread, self.mesh)
        self.flow, self.arrays = flow, arrays
        kinds = dict(zip(self.mesh.axis_names, self.mesh.axis_types, strict=True))
        self.manual = {name for name, kind in kinds.items() if kind is AxisType.Manual}
        self.automatic = {name for name, kind in kinds.items() if kind is AxisType.Auto}
        self.specs = self._param_specs(specs)
        self.shapes = [self._whole_shape(i) for i in range(len(arrays))]
        self._check_types()
        self.held = [
            spread_spec(spec, shape, spread, self.mesh)
            for spec, shape in zip(self.specs, self.shapes, strict=True)
        ]
        self._check_kinds()
        self.splits = [
            self._split(spec, len(shape)) if self.manual else None
            for spec, shape in zip(self.held, self.shapes, strict=True)
        ]

    @property
    def whole(self) -> Any:
        """The parameters' whole shapes, where the code sees but shards of them; else None."""
        return self._params_of_whole_shapes() if self.manual else None

    @property
    def split(self) -> bool:
        """Whether the code sees shards of some array."""
        return any(any(split or ()) for split in self.splits)

    @property
    def parted(self) -> bool:
        """Whether the code sees parts of what lies whole outside."""
        return any(
            split is not None and split != self._split(spec, len(split))
            for split, spec in zip(self.splits, self.specs, strict=True)
        )

    def hold(self, arrays: list) -> list:
        """Arrays that lie where the parameters do, where the state is held."""
        with jax.named_scope("spread"):
            return self._each(arrays, self.specs, self.held)

    def release(self, arrays: list) -> list:
        """Arrays that lie where the state is held, where the parameters are."""
        with jax.named_scope("gather"):
            return self._each(arrays, self.held, self.specs)

    def hold_state(self, inner: Any, state: Any, known: dict[Any, list[PartitionSpec]]) -> Any:
        """The state with each array where it is meant to be held.

        Args:
            inner: The transformation whose state it is.
            state: The state.
            known: The specs of its leaves, by the parameters seen so far; grows by these.
        """
        if self.manual and not self.automatic:
            return state  # made of shards
        arrays, treedef = jax.tree.flatten(state)
        return treedef.unflatten(
            [
                self._constrained(x, spec)
                for x, spec in zip(arrays, self._state(inner, known), strict=True)
            ]
        )

    def _state(self, inner: Any, known: dict[Any, list[PartitionSpec]]) -> list[PartitionSpec]:
        dtypes = [x.dtype if on else None for x, on in self._leaves()]
        key = (self.flow.treedef, *self.shapes, *dtypes, *self.held, self.mesh)
        if key not in known:
            specs = self.flow.treedef.unflatten(self.held)
            layout = state_layout(inner, self._params_of_whole_shapes(), specs, self.mesh)
            known[key] = [leaf.sharding.spec for leaf in jax.tree.leaves(layout)]
        return known[key]

    def _params_of_whole_shapes(self) -> Any:
        return self.flow.treedef.unflatten(
            [
                jax.ShapeDtypeStruct(shape, x.dtype) if on else x
                for shape, (x, on) in zip(self.shapes, self._leaves(), strict=True)
            ]
        )

    def _leaves(self) -> list[tuple[Any, bool]]:
        return list(zip(self.arrays, self.flow.trainable, strict=True))

    def _param_specs(self, given: Any) -> list[PartitionSpec]:
        if given is not None:
            return specs_over("sharded", given, self.flow.treedef.unflatten(self.arrays))
        if silent := sorted(self.manual | self.automatic):
            raise ValueError(
                f"sharded: along the mesh axes {silent}, which are not explicit, arrays do not "
                "say where they lie: give `specs`, the PartitionSpecs of the parameters."
            )
        return [_spec_in_type(x) if on else PartitionSpec() for x, on in self._leaves()]

    def _check_kinds(self) -> None:
        """Raise if arrays lie along automatic and along explicit axes: JAX keeps no such place."""
        used = {
            n for spec in self.held for names in axes_by_dimension(spec, len(spec)) for n in names
        }
        automatic, explicit = used & self.automatic, used - self.automatic - self.manual
        if automatic and explicit:
            raise ValueError(
                f"sharded: the mesh axes that arrays are split over must be of one type, but "
                f"{sorted(automatic)} are automatic and {sorted(explicit)} explicit."
            )

    def _check_types(self) -> None:
        """Raise if an array's type says that it lies elsewhere than its spec."""
        for index, (x, on) in enumerate(self._leaves()):
            spec = self.specs[index]
            if on and self._without(spec, self.manual | self.automatic) != _spec_in_type(x):
                raise ValueError(
                    f"sharded: `specs` says {spec} of {leaves.path_names(self.flow.tree)[index]}, "
                    f"but it lies at {_spec_in_type(x)}."
                )

    def _whole_shape(self, index: int) -> tuple[int, ...]:
        """The shape of a leaf, also where the code sees but a shard of it."""
        if not self.flow.trainable[index]:
            return ()
        local, spec = self.arrays[index].shape, self.specs[index]
        split = self._split(spec, len(local))
        shape = tuple(n * self.mesh_size(names) for n, names in zip(local, split, strict=True))
        check_spec("sharded", leaves.path_names(self.flow.tree)[index], spec, shape, self.mesh)
        return shape

    def mesh_size(self, names: tuple[str, ...]) -> int:
        """How many devices there are along these axes of the mesh."""
        return math.prod(self.mesh.shape[name] for name in names)

    def _split(self, spec: PartitionSpec, ndim: int) -> tuple[tuple[str, ...], ...]:
        return tuple(
            tuple(name for name in names if name in self.manual)
            for names in axes_by_dimension(spec, ndim)
        )

    @staticmethod
    def _without(spec: PartitionSpec, names: set[str]) -> PartitionSpec:
        return spec_from(
            tuple(
                tuple(name for name in entry if name not in names)
                for entry in axes_by_dimension(spec, len(spec))
            )
        )

    def _each(self, arrays: list, source: list, target: list) -> list:
        return [
            self._moved(x, source[i], target[i]) if on and x is not None else x
            for i, (x, on) in enumerate(zip(arrays, self.flow.trainable, strict=True))
        ]

    def _moved(self, x: Any, source: PartitionSpec, target: PartitionSpec) -> jax.Array:
        before, after = self._split(source, x.ndim), self._split(target, x.ndim)
        for axis, (old, new) in enumerate(zip(before, after, strict=True)):
            # The axes of a spread come last: its parts lie next to each other.
            if len(new) > len(old):
                names = new[len(old) :]
                length = x.shape[axis] // self.mesh_size(names)
                start = lax.axis_index(names) * length
                x = lax.dynamic_slice_in_dim(x, start, length, axis)
            elif len(new) < len(old):
                x = lax.all_gather(x, old[len(new) :], axis=axis, tiled=True, to="invarying")
        return self._constrained(x, target)

    def _constrained(self, x: jax.Array, spec: PartitionSpec) -> jax.Array:
        """x where it is to lie along the axes that are not those of a `shard_map`."""
        if not leaves.is_traced(x):
            mesh, spec = jax.sharding.get_mesh(), self._without(spec, self.manual)
            if not self.automatic:  # there compiled steps name every axis, and would differ
                spec = PartitionSpec(*spec, *[None] * (x.ndim - len(spec)))
            return jax.device_put(x, NamedSharding(mesh, spec))
        elsewhere = self.manual | (set(self.mesh.axis_names) - self.automatic)
        along_automatic = self._without(spec, elsewhere)
        if self.automatic and (len(along_automatic) or not len(self._without(spec, self.manual))):
            return lax.with_sharding_constraint(x, along_automatic)
        if len(self.manual) < len(self.mesh.axis_names):
            return jax.sharding.reshard(x, self._without(spec, self.manual | self.automatic))
        return x


def _spec_in_type(x: Any) -> PartitionSpec:
    """The explicit part of where an array lies."""
    spec = jax.typeof(x).sharding.spec
    return spec_from(axes_by_dimension(spec, len(spec)))
