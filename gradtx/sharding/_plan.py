"""The plan of a training step on paper: bytes on each device, and bytes between devices."""

import collections
import dataclasses
import math
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from .._core import leaves
from .._core.first import transformation_first
from .._core.transformation import as_transformation
from ._collectives import Collective, sent_bytes
from ._layout import StateLeaf, abstract_init, state_layout
from ._specs import axes_by_dimension, checked_specs, explicit, mesh_axes, mesh_of
from ._trace import traced_collectives


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a step needs. It prints as a table.

    Attributes:
        mesh: Size of each mesh axis by its name.
        params: Number of parameters.
        params_bytes: Bytes of parameters on each device; gradients of their dtype need as many.
        state_bytes: Bytes of state on each device.
        state_kinds: The same by kind of field (see `StateLeaf`).
        exchange: What the gradients, and parameters that are spread over the batch's axes, need
            to get to where the update is computed. One entry for each kind and group of devices.
        update: What the update itself needs.
    """

    mesh: dict[str, int]
    params: int
    params_bytes: int
    state_bytes: int
    state_kinds: dict[str, int]
    exchange: tuple[Collective, ...]
    update: tuple[Collective, ...]

    @property
    def sent(self) -> float:
        """Bytes that each device sends in every step, in rings."""
        return sent_bytes(c for c in (*self.exchange, *self.update) if c.where != "branch")

    @property
    def sent_at_times(self) -> float:
        """Bytes that it sends besides in the steps that take all branches, such as a meeting."""
        return sent_bytes(c for c in (*self.exchange, *self.update) if c.where == "branch")

    def __str__(self) -> str:
        shape = " x ".join(f"{name} {size}" for name, size in self.mesh.items())
        kinds = ", ".join(f"{_bytes(n)} {kind}" for kind, n in self.state_kinds.items() if n)
        devices = math.prod(self.mesh.values())
        rows = [
            f"{_number(self.params)} parameters on {devices} devices: {shape}",
            f"  on each device    parameters {_bytes(self.params_bytes)}",
            f"                    gradients  {_bytes(self.params_bytes)}",
            f"                    state      {_bytes(self.state_bytes)}"
            + f" ({kinds})" * bool(kinds),
            f"  sent by each      {_bytes(self.sent)} per step",
        ]
        if self.sent_at_times:
            rows.append(
                f"                    {_bytes(self.sent_at_times)} more where a branch is taken"
            )
        for group in (self.exchange, self.update):
            for c in group:
                when = "" if c.where == "always" else f", in a {c.where}"
                times = f"{c.count} x " if c.count > 1 else ""
                rows.append(
                    f"    {c.what:<28} {times}{c.kind} of {_bytes(c.bytes)} over {c.devices}{when}"
                )
        return "\n".join(rows)


@transformation_first
def plan(
    tx: Any,
    params: Any,
    specs: Any = None,
    mesh: Mesh | AbstractMesh | None = None,
    batch: str | tuple[str, ...] = (),
    replicas: str | tuple[str, ...] = (),
    **extra: Any,
) -> Plan:
    """What a training step holds on each device and sends between them, before any array exists.

    The update is traced on shapes whose types say how they are split, and every sum along a split
    axis and every gather is counted. It needs no devices: with an `AbstractMesh` of thousands of
    them and ShapeDtypeStructs the plan of 10^12 parameters takes seconds.

    Gradients are means over the batch, which is split over the axes `batch`: along those that a
    parameter is copied over its gradient is all-reduced; along those that it is split over
    itself (FSDP) it is gathered for the step, too. Where each device keeps but a part of an
    all-reduced gradient, compilers for GPU and TPU make it a reduce-scatter, which sends half.
    What the model's own activations need (tensor parallelism) is not in the plan.

    Args:
        tx: A transformation, however nested; `sharded(tx, spread=...)` for ZeRO-1.
        params: Tree of arrays or ShapeDtypeStructs.
        specs: PartitionSpecs of the parameters, a tree like them or a prefix of it; None to read
            them off the parameters' shardings.
        mesh: The mesh; None for that of `jax.set_mesh`.
        batch: Mesh axis, or several, over which the batch is split; () leaves out the exchange.
        replicas: Mesh axis, or several, along which replicas have parameters and state of their
            own, for `diloco` and the exchanges: what they send is part of the update.
        **extra: Extra arguments of `update`, arrays or ShapeDtypeStructs.

    Returns:
        The plan. `gradtx.sharding.collectives` reads the same off a compiled program.

    Raises:
        ValueError: If there is no mesh, a spec does not fit its parameter, `batch` is no axis, or
            is one of `replicas`, too.

    Example:
        >>> import jax, gradtx as gx
        >>> from jax.sharding import AbstractMesh, PartitionSpec as P
        >>> mesh = AbstractMesh((64, 8), ("data", "model"))
        >>> w = jax.ShapeDtypeStruct((120, 16384, 65536), "bfloat16")
        >>> tx = gx.sharding.sharded(gx.lion(1e-4), spread="data")
        >>> print(gx.sharding.plan(tx, {"w": w}, P(None, None, "model"), mesh, batch="data"))
        129B parameters on 512 devices: data 64 x model 8
          on each device    parameters 32.2 GB
                            gradients  32.2 GB
                            state      1.01 GB (4 B count, 1.01 GB param)
          sent by each      95.1 GB per step
            gradients                    all-reduce of 32.2 GB over 64
            gather                       all-gather of 32.2 GB over 64
    """
    mesh = mesh_of("plan", mesh)
    tx = as_transformation(tx, "plan")
    found = checked_specs("plan", specs, params, mesh)
    layout = state_layout(tx, params, specs, mesh)
    held: list[StateLeaf] = jax.tree.leaves(layout)
    kinds: collections.Counter[str] = collections.Counter()
    for leaf in held:
        kinds[leaf.kind] += leaf.bytes_per_device
    names, along = mesh_axes("plan", replicas, mesh), mesh_axes("plan", batch, mesh)
    if shared := set(names) & set(along):
        raise ValueError(
            f"plan: {sorted(shared)} cannot be axes of both `batch` and `replicas`: what replicas "
            "exchange is part of the update."
        )
    given, _ = leaves.flatten(params)
    trained = [
        (leaves.as_array(p), s) for p, s in zip(given, found, strict=True) if leaves.is_inexact(p)
    ]
    return Plan(
        mesh=dict(mesh.shape),
        params=sum(p.size for p, _ in trained),
        params_bytes=sum(_held_bytes(p, spec, mesh) for p, spec in trained),
        state_bytes=sum(leaf.bytes_per_device for leaf in held),
        state_kinds=dict(sorted(kinds.items())),
        exchange=_exchange(trained, along, mesh),
        update=_merged(_traced(tx, params, found, mesh, names, extra)),
    )


def _exchange(
    trained: list[tuple[Any, PartitionSpec]], batch: tuple[str, ...], mesh: Mesh | AbstractMesh
) -> tuple[Collective, ...]:
    found = []
    for p, spec in trained:
        own = {name for names in axes_by_dimension(spec, len(p.shape)) for name in names}
        split, copied = ([n for n in batch if (n in own) == inside] for inside in (True, False))
        across = math.prod(mesh.shape[n] for n in split)
        whole = _held_bytes(p, spec, mesh) * across
        if across > 1:
            found.append(Collective("all-gather", whole, across, what="parameters"))
        devices = across * math.prod(mesh.shape[n] for n in copied)
        if devices > 1:
            found.append(Collective("all-reduce", whole, devices, what="gradients"))
    return _merged(found)


def _traced(
    tx: Any,
    params: Any,
    specs: list[PartitionSpec],
    mesh: Mesh | AbstractMesh,
    replicas: tuple[str, ...],
    extra: dict,
) -> list[Collective]:
    """The collectives of `tx.step` on shapes, with explicit mesh axes or bound ones."""
    axes = explicit(mesh)
    given, treedef = leaves.flatten(params)
    places = [i for i, p in enumerate(given) if leaves.is_inexact(p) and hasattr(p, "shape")]
    arrays = [
        jax.ShapeDtypeStruct(given[i].shape, given[i].dtype, sharding=NamedSharding(axes, specs[i]))
        for i in places
    ]

    def tree(values: list, others: list) -> Any:
        full = list(others)
        for i, value in zip(places, values, strict=True):
            full[i] = value
        return treedef.unflatten(full)

    def step(grads: list, state: Any, values: list, extra: dict) -> Any:
        others = [None] * len(given)
        return tx.step(tree(grads, others), state, tree(values, given), **extra)

    state, whole = abstract_init(tx, params, specs, mesh), PartitionSpec()
    run = step
    if replicas:
        run = jax.shard_map(
            step, in_specs=whole, out_specs=whole, axis_names=set(replicas), check_vma=False
        )
    with jax.sharding.use_abstract_mesh(axes):
        jaxpr = jax.make_jaxpr(run)(arrays, state, arrays, extra)
    return list(traced_collectives(jaxpr, mesh.shape))


def _merged(found: list[Collective]) -> tuple[Collective, ...]:
    """Those alike in kind, devices, place and purpose as one, with the sum of their bytes."""
    sums: collections.Counter[Any] = collections.Counter()
    for c in found:
        sums[c.kind, c.devices, c.where, c.what.split("/")[-1]] += c.bytes * c.count
    return tuple(
        Collective(kind, size, devices, where, 1, what)
        for (kind, devices, where, what), size in sums.items()
    )


def _held_bytes(p: Any, spec: PartitionSpec, mesh: Mesh | AbstractMesh) -> int:
    return math.prod(NamedSharding(mesh, spec).shard_shape(p.shape)) * p.dtype.itemsize


def _bytes(n: float) -> str:
    return _number(n, ("", "k", "M", "G", "T", "P"), " ") + "B"


def _number(n: float, units: tuple[str, ...] = ("", "k", "M", "B", "T"), space: str = "") -> str:
    power = 0
    while n >= 999.5 and power < len(units) - 1:
        n, power = n / 1000, power + 1
    return f"{n:.3g}{space}{units[power]}"
