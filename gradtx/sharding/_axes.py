"""Named axes: whether they are bound, and what differs along them.

An axis name is bound inside `jax.shard_map` over a mesh that has it and inside
`jax.vmap(..., axis_name=...)`. Only `shard_map` tells by an array's type along which axes it
varies; the helpers here leave everything as it is where nothing is told.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, PartitionSpec

Axis = str | tuple[str, ...]


def axis_names(owner: str, axis: Any) -> tuple[str, ...]:
    """An axis argument as a tuple of names."""
    names = (axis,) if isinstance(axis, str) else axis
    if isinstance(names, (tuple, list)) and names and all(isinstance(n, str) for n in names):
        return tuple(names)
    raise TypeError(f"{owner}: `axis` must be an axis name or a tuple of names, but is {axis!r}.")


def axis_size(owner: str, names: tuple[str, ...], alone: str = "") -> int:
    """How many replicas there are along the axes, or an error that says how to bind them."""
    try:
        return math.prod(lax.axis_size(name) for name in names)
    except NameError as error:
        axis = names[0] if len(names) == 1 else names
        raise ValueError(
            f"{owner}: the axis {axis!r} must be bound where update or step is called: call it "
            f"inside jax.shard_map over a mesh that has it, or inside "
            f"jax.vmap(..., axis_name={axis!r}).{alone}"
        ) from error


def varies_over(x: jax.Array) -> frozenset[str]:
    """The axes of a `shard_map` along which x is known to vary."""
    aval = jax.typeof(x)
    kind = getattr(aval, "mat", None)  # JAX has moved the set before: `vma` was its name
    return getattr(aval, "vma", None) or getattr(kind, "varying", None) or frozenset()


def vary_like(x: jax.Array, other: jax.Array) -> jax.Array:
    """x, declared to vary along the axes along which `other` does."""
    missing = varies_over(other) - varies_over(x)
    return lax.pcast(x, tuple(missing), to="varying") if missing else x


def mean_of(x: jax.Array, names: tuple[str, ...]) -> jax.Array:
    """The mean of x over the axes, in one exchange."""
    manual, mapped = _sorted(names)
    for name in mapped:
        x = jnp.mean(lax.all_gather(x, name), axis=0)
    return lax.pmean(x, manual) if manual else x


def agreed(x: jax.Array, names: tuple[str, ...]) -> jax.Array:
    """An integer that is the same on all replicas, as one that JAX knows to be the same.

    It costs nothing where JAX knows already: under `vmap` if x is not mapped over, and in a
    `shard_map` if x does not vary (or nobody checks).
    """
    manual, mapped = _sorted(names)
    for name in mapped:
        x = jnp.max(lax.all_gather(x, name), axis=0)
    varying = tuple(name for name in manual if name in varies_over(x))
    return lax.pmax(x, varying) if varying else x


def _sorted(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that `shard_map` has bound, and those that `vmap` has.

    Under `vmap` sums are taken of the gathered array, which is the array itself there: a psum
    over a mapped axis with an explicit sharding raises in JAX 0.10 and 0.12.
    """
    bound = jax.sharding.get_abstract_mesh().manual_axes
    manual = tuple(name for name in names if name in bound)
    return manual, tuple(name for name in names if name not in bound)


def explicit_axes(x: jax.Array) -> tuple[tuple[str, ...], ...]:
    """For each axis of an array the explicit mesh axes that its type says it is split over."""
    sharding = jax.typeof(x).sharding
    kinds = dict(zip(sharding.mesh.axis_names, sharding.mesh.axis_types, strict=True))
    entries = [*sharding.spec, *[None] * (x.ndim - len(sharding.spec))]
    return tuple(
        tuple(name for name in names if kinds[name] is AxisType.Explicit)
        for names in ((e,) if isinstance(e, str) else tuple(e or ()) for e in entries)
    )


def on_shards(
    function: Callable, split: tuple[tuple[str, ...], ...], arguments: Any, specs: Any, out: Any
) -> Any:
    """The function called on shards, in a `shard_map` over the mesh axes in the split.

    Args:
        function: arrays -> arrays. It is called as it is where nothing is split.
        split: Which explicit mesh axes are bound.
        arguments: Tuple of what the function is called with.
        specs: Where the arguments lie, a tuple; what lies elsewhere is moved.
        out: Where the results lie.
    """
    names = {name for entry in split for name in entry}
    if not names:
        return function(*arguments)
    placed = jax.tree.map(jax.sharding.reshard, arguments, specs)
    # Under `vmap` a mesh axis may stand for the mapped one: JAX cannot check what varies then.
    check = bool(jax.sharding.get_abstract_mesh().manual_axes)
    run = jax.shard_map(function, in_specs=specs, out_specs=out, axis_names=names, check_vma=check)
    return run(*placed)


def spec_of(split: tuple[tuple[str, ...], ...]) -> PartitionSpec:
    """The PartitionSpec of an array whose axes are split so."""
    return PartitionSpec(*[names or None for names in split])


def gathered(x: jax.Array, name: str) -> jax.Array:
    """The x of all replicas behind a new leading axis, the same on all of them."""
    if name in varies_over(x):
        return lax.all_gather(x, name, to="invarying")
    return lax.all_gather(x, name)


def one_axis(owner: str, axis: Any) -> str:
    """An axis argument that must be a single name."""
    if isinstance(axis, str):
        return axis
    raise TypeError(f"{owner}: `axis` must be the name of one axis, but is {axis!r}.")
