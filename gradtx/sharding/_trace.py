"""The collectives that a traced program needs, by the places that are part of its types.

With explicit mesh axes the type of every array says how it is split. A sum along a split axis then
needs an all-reduce, a reshard to fewer splits an all-gather, and nothing else moves.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from jax.sharding import NamedSharding

from ._collectives import Collective
from ._specs import axes_by_dimension

_REDUCTIONS = {
    "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or",
    "argmax", "argmin",
}  # fmt: skip
_MANUAL = {
    "psum": "all-reduce", "psum2": "all-reduce", "psum_invariant": "all-reduce",
    "pmax": "all-reduce", "pmin": "all-reduce", "all_gather": "all-gather",
    "all_gather_invariant": "all-gather", "reduce_scatter": "reduce-scatter",
    "all_to_all": "all-to-all", "ppermute": "collective-permute",
}  # fmt: skip


def traced_collectives(
    jaxpr: Any, sizes: Mapping[str, int], where: str = "always", times: int = 1
) -> Iterator[Collective]:
    """The collectives of a jaxpr that was traced with explicit mesh axes, or in a `shard_map`.

    Args:
        jaxpr: What `jax.make_jaxpr` returns, or an inner jaxpr.
        sizes: Size of each mesh axis by its name.
        where: Where it stands: see `Collective`.
        times: How often it runs.
    """
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name = equation.primitive.name
        what = _scope(equation)
        for kind, size, devices in _of(name, equation, sizes):
            if devices > 1 and size:
                yield Collective(kind, size, devices, where, times, what)
        inside, rounds = where, times
        if name == "cond":
            inside = "branch"
        elif name == "while" and where == "always":
            inside = "loop"
        elif name == "scan":
            rounds = times * equation.params["length"]
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from traced_collectives(inner, sizes, inside, rounds)


def _of(name: str, equation: Any, sizes: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    """(kind, bytes on a device, devices) of what one equation exchanges."""
    avals = [v.aval for v in equation.invars]
    out = equation.outvars[0].aval if equation.outvars else None
    if name in _REDUCTIONS:
        axes = _split_axes(avals[0])
        for i in equation.params["axes"]:  # XLA reduces along one axis of the array after the other
            yield "all-reduce", _local_bytes(out), _devices(avals[0], list(axes[i]))
    elif name == "dot_general":
        (left, _), _ = equation.params["dimension_numbers"]
        axes = _split_axes(avals[0])
        for i in left:
            yield "all-reduce", _local_bytes(out), _devices(avals[0], list(axes[i]))
    elif name == "reshard":
        yield from _resharded(avals[0], out)
    elif name in _MANUAL:
        names = equation.params.get("axes", equation.params.get("axis_name", ()))
        names = [n for n in (names if isinstance(names, tuple) else (names,)) if isinstance(n, str)]
        given = out if name.startswith("all_gather") else avals[0]
        yield _MANUAL[name], _local_bytes(given), math.prod(sizes.get(n, 1) for n in names)


def _resharded(before: Any, after: Any) -> Iterator[tuple[str, int, int]]:
    old, new = _place_by_name(before), _place_by_name(after)
    gathered = [name for name in old if name not in new]
    moved = [name for name in old if name in new and old[name] != new[name]]
    if gathered:
        yield (
            "all-gather",
            _local_bytes(before) * _devices(before, gathered),
            _devices(before, gathered),
        )
    if moved:
        yield "all-to-all", _local_bytes(before), _devices(before, moved)


def _place_by_name(aval: Any) -> dict[str, int]:
    """For each mesh axis that splits an array which of its axes it splits."""
    return {name: i for i, names in enumerate(_split_axes(aval)) for name in names}


def _split_axes(aval: Any) -> tuple[tuple[str, ...], ...]:
    sharding = getattr(aval, "sharding", None)
    spec = sharding.spec if isinstance(sharding, NamedSharding) else None
    return axes_by_dimension(spec, len(getattr(aval, "shape", ())))


def _devices(aval: Any, names: list[str]) -> int:
    return math.prod(aval.sharding.mesh.shape[n] for n in names)


def _local_bytes(aval: Any) -> int:
    parts = [_devices(aval, list(entry)) for entry in _split_axes(aval)]
    return math.prod(aval.shape) // math.prod(parts) * aval.dtype.itemsize


def _scope(equation: Any) -> str:
    return str(equation.source_info.name_stack) or equation.primitive.name
