"""Hold a transformation's state at given places, in every mode of JAX on many devices."""

import dataclasses
import functools
from types import NoneType
from typing import Any

import numpy as np
from jax.sharding import PartitionSpec

from .._core import body as bodies
from .._core import leaves
from .._core.arguments import is_function
from .._core.flow import Flow
from .._core.foreign import Foreign
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import SameState, innermost
from ._layout import abstract_state
from ._places import Places


@transformation
def sharded(
    inner: Any, specs: Any = None, spread: str | tuple[str, ...] | None = None
) -> GradientTransformation:
    """Hold the state of a transformation where its parameters lie, or spread further.

    The numbers are those of `inner` on one device. How the mesh axes named in `specs` are meant
    is read off the mesh of the context (`jax.set_mesh`, `jax.shard_map`):

    - automatic axes: state and updates are constrained to their specs, so that
      `jax.jit(tx.init)` places the state and no step moves it;
    - explicit axes: the same with `jax.sharding.reshard`; `specs` can be left out, since arrays
      carry theirs;
    - inside `jax.shard_map`: norms, means and measures go over all shards of an array, and every
      shard draws noise of its own. That holds for what stands inside, in rules that sum by
      `gradtx.numerics.array_sum` and its kin, as all of gradtx do.

    With `spread` (ZeRO-1) the state is spread further, over mesh axes along which the parameters
    are copies, as `gradtx.sharding.spread` does. Each device then updates its part of a parameter
    and gathers the others'.

    Shapes: any.

    Args:
        inner: A transformation, however nested.
        specs: PartitionSpecs of the parameters, a tree like them or a prefix of it. Needed with
            automatic axes and inside `jax.shard_map`.
        spread: Mesh axis, or several, over which the state is spread; None for the places of the
            parameters.

    Returns:
        The transformation; its state is that of `inner`.

    Raises:
        ValueError: When used without a mesh, with specs that do not fit mesh or parameters,
            without specs where they are needed, or inside `jax.shard_map` around a pair of
            functions from elsewhere.
        TypeError: If `spread` is no name.

    Source: Rajbhandari, Rasley, Ruwase, He 2019, https://arxiv.org/abs/1910.02054, section 5.1,
        for `spread`.
    """
    if not isinstance(spread, (str, tuple, list, NoneType)) or spread == "":
        raise TypeError(f"sharded: `spread` must name mesh axes, but is {spread!r}.")
    names = (spread,) if isinstance(spread, str) else tuple(spread or ())
    child = as_transformation(inner, "sharded")
    return from_body(Sharded("sharded", child, specs, names))


@dataclasses.dataclass(eq=False)
class Sharded(SameState):
    """A transformation whose state is held at given places."""

    name: str
    inner: Any
    specs: Any
    spread: tuple[str, ...]

    @functools.cached_property
    def state_specs(self) -> dict[Any, list[PartitionSpec]]:
        """The specs of the state's leaves, by the parameters that were seen."""
        return {}

    def init(self, flow: Flow) -> Any:
        if flow.is_abstract:
            return abstract_state(from_body(self), flow.tree, self.specs)
        places = self._places(flow, flow.leaves)
        local = flow.branch(splits=places.splits, whole=places.whole)
        local.leaves = places.hold(flow.leaves)
        local.tree = flow.treedef.unflatten(local.leaves)
        state = bodies.start_whole(self.inner.update.body, local)
        return places.hold_state(self.inner, state, self.state_specs)

    def update(self, flow: Flow, state: Any) -> Any:
        places = self._places(flow, flow.param_arrays if flow.params else flow.leaves)
        local, state = self._run(flow, state, places)
        flow.leaves = places.release(local.leaves)
        return state

    def step(self, flow: Flow, state: Any) -> tuple[Any, Any]:
        places = self._places(flow, flow.param_arrays if flow.params else flow.leaves)
        local, state = self._run(flow, state, places)
        # What is gathered are parts of the parameters, in their own dtype.
        held, treedef = leaves.flatten(local.applied())
        return treedef.unflatten(places.release(held)), state

    def resting(self, flow: Flow) -> list[bool]:
        return self.inner.update.body.resting(flow)

    def point(self, purpose: bodies.Purpose, state: Any, params: Any) -> Any:
        point = functools.partial(self.inner.update.body.point, purpose, state)
        if not self.spread:
            return point(params)
        flow = Flow(self.name, params, params, {})
        places = self._places(flow, flow.param_arrays)
        held = flow.treedef.unflatten(places.hold(flow.param_arrays))
        made, treedef = leaves.flatten(point(held))
        return treedef.unflatten(places.release(made))

    def _run(self, flow: Flow, state: Any, places: Places) -> tuple[Flow, Any]:
        self._check_shards(flow, places)
        changed = {} if flow.params is None else {"params": places.hold(flow.param_arrays)}
        extra = {name: self._held_extra(value, flow, places) for name, value in flow.extra.items()}
        local = flow.branch(splits=places.splits, whole=places.whole, extra=extra, **changed)
        local.leaves = places.hold(flow.leaves)
        state = bodies.run_whole(self.inner.update.body, local, state, flow.casting)
        flow.taken, flow.noise_by = local.taken, local.noise_by
        return local, places.hold_state(self.inner, state, self.state_specs)

    def _places(self, flow: Flow, arrays: list) -> Places:
        return Places(flow, arrays, self.specs, self.spread)

    def _check_shards(self, flow: Flow, places: Places) -> None:
        """Raise where code that is not the library's would take shards for whole arrays."""
        strangers = [b for b in innermost(self.inner.update.body) if isinstance(b, Foreign)]
        if places.split and strangers:
            raise ValueError(
                f"sharded: inside `jax.shard_map` {strangers[0].name} would see one shard of each "
                "array: a norm or mean in it would be wrong. If it works entry by entry, chain it "
                "with `sharded(...)` instead of putting it inside."
            )
        functions = [name for name, value in flow.extra.items() if is_function(value)]
        if places.parted and functions:
            raise ValueError(
                f"sharded: inside `jax.shard_map` with `spread`, `{functions[0]}` would be given "
                "parts of the parameters. Leave `spread` out there, or use automatic or explicit "
                "mesh axes."
            )

    @staticmethod
    def _held_extra(value: Any, flow: Flow, places: Places) -> Any:
        """An extra argument, at the places of the state if it is a tree like the params."""
        try:
            column = flow.treedef.flatten_up_to(value)
        except (ValueError, TypeError, KeyError):
            return value
        if [np.shape(x) for x in column] != [np.shape(x) for x in flow.leaves]:
            return value
        return flow.treedef.unflatten(places.hold(column))
