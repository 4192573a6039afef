"""Where arrays lie: trees of PartitionSpecs, meshes, and specs split further over an axis."""

import math
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from .._core import leaves


def mesh_of(owner: str, mesh: Mesh | AbstractMesh | None) -> Mesh | AbstractMesh:
    """The mesh given, or that of the context (`jax.set_mesh`), or an error."""
    if mesh is not None:
        if not isinstance(mesh, (Mesh, AbstractMesh)):
            raise TypeError(f"{owner}: `mesh` must be a mesh of JAX, but is {mesh!r}.")
        return mesh
    abstract = jax.sharding.get_abstract_mesh()
    if abstract.empty:
        raise ValueError(
            f"{owner} needs a mesh: give it, or call inside `with jax.set_mesh(mesh):`."
        )
    try:
        return jax.sharding.get_mesh()
    except ValueError:  # inside jit only its shape is known
        return abstract


def explicit(mesh: Mesh | AbstractMesh) -> AbstractMesh:
    """The shape of a mesh with axes that are part of every array's type."""
    return AbstractMesh(
        tuple(mesh.shape.values()), mesh.axis_names, (AxisType.Explicit,) * len(mesh.axis_names)
    )


def is_spec(x: Any) -> bool:
    """Whether x is a PartitionSpec, or None for "on all devices alike"."""
    return x is None or isinstance(x, PartitionSpec)


def axes_by_dimension(spec: PartitionSpec | None, ndim: int) -> tuple[tuple[str, ...], ...]:
    """For each axis of an array the names of the mesh axes it is split over."""
    given = tuple(spec or ()) + (None,) * ndim
    return tuple((e,) if isinstance(e, str) else tuple(e or ()) for e in given[:ndim])


def spec_from(axes: tuple[tuple[str, ...], ...]) -> PartitionSpec:
    """The PartitionSpec that `axes_by_dimension` came from, without trailing Nones."""
    entries = [a[0] if len(a) == 1 else a or None for a in axes]
    while entries and entries[-1] is None:
        entries.pop()
    return PartitionSpec(*entries)


def specs_over(owner: str, specs: Any, params: Any) -> list[PartitionSpec]:
    """One PartitionSpec for each leaf of the params.

    Args:
        owner: Who asks, for messages.
        specs: Tree of PartitionSpecs, or a prefix of one; None to read each off its parameter.
        params: Arrays, also abstract ones.
    """
    given, treedef = leaves.flatten(params)
    if specs is None:
        found = [_own_spec(p) for p in given]
    else:
        try:
            spread_out = jax.tree_util.tree_broadcast(
                specs, params, is_leaf=lambda x: x is None or is_spec(x)
            )
            found = treedef.flatten_up_to(spread_out)
        except ValueError as error:
            theirs, ours = _spec_paths(specs), leaves.path_names(params)
            found_in = (
                f"its leaves are {theirs}, those of the parameters {ours}."
                if theirs != ours
                else f"it is {jax.tree.structure(specs, is_leaf=is_spec)}, they are {treedef}."
            )
            raise ValueError(
                f"{owner}: `specs` must be a tree of PartitionSpecs with the structure of the "
                f"parameters or of the top of it; {found_in}"
            ) from error
    checked = []
    for index, (p, spec) in enumerate(zip(given, found, strict=True)):
        if not is_spec(spec):
            path = leaves.path_names(params)[index]
            hint = " Give its `spec`." if isinstance(spec, NamedSharding) else ""
            raise TypeError(
                f"{owner}: `specs` at {path} must be a PartitionSpec, not {spec!r}.{hint}"
            )
        if spec is not None and PartitionSpec.UNCONSTRAINED in tuple(spec):
            raise ValueError(
                f"{owner}: the spec {spec} of {leaves.path_names(params)[index]} leaves an axis "
                "unconstrained, but must say where all of the array lies."
            )
        known = spec is not None and hasattr(p, "shape")
        checked.append(spec_from(axes_by_dimension(spec, len(spec))) if known else PartitionSpec())
    return checked


def checked_specs(
    owner: str, specs: Any, params: Any, mesh: Mesh | AbstractMesh
) -> list[PartitionSpec]:
    """`specs_over`, or an error where a spec does not fit mesh or shape."""
    found, (given, _) = specs_over(owner, specs, params), leaves.flatten(params)
    for path, p, spec in zip(leaves.path_names(params), given, found, strict=True):
        if hasattr(p, "shape"):
            check_spec(owner, path, spec, p.shape, mesh)
    return found


def _own_spec(p: Any) -> PartitionSpec:
    sharding = getattr(p, "sharding", None)
    if leaves.is_traced(p):
        sharding = jax.typeof(p).sharding
    return sharding.spec if isinstance(sharding, NamedSharding) else PartitionSpec()


def _spec_paths(specs: Any) -> list[str]:
    found, _ = jax.tree_util.tree_flatten_with_path(specs, is_leaf=is_spec)
    return [jax.tree_util.keystr(path) or "(the whole tree)" for path, _ in found]


def check_spec(
    owner: str, path: str, spec: PartitionSpec, shape: tuple[int, ...], mesh: Mesh | AbstractMesh
) -> None:
    """Raise if a spec does not fit the mesh, or an array of this shape."""
    problem = _problem(spec, shape, mesh)
    if problem:
        raise ValueError(f"{owner}: the spec {spec} of {path}, whose shape is {shape}, {problem}.")


def _problem(spec: PartitionSpec | None, shape: tuple, mesh: Mesh | AbstractMesh) -> str:
    """What is wrong with a spec for an array of this shape, or nothing."""
    if len(spec or ()) > len(shape):
        return f"has {len(spec or ())} entries for {len(shape)} axes"
    axes = axes_by_dimension(spec, len(shape))
    names = [name for entry in axes for name in entry]
    for name in names:
        if name not in mesh.shape:
            return f"names the mesh axis {name!r}, but the mesh has {list(mesh.axis_names)}"
        if names.count(name) > 1:
            return f"names the mesh axis {name!r} twice"
    for n, entry in zip(shape, axes, strict=True):
        parts = math.prod(mesh.shape[name] for name in entry)
        if n % parts:
            return f"splits an axis of length {n} in {parts} parts, which does not come out even"
    return ""


def spread(
    params: Any,
    over: str | tuple[str, ...],
    specs: Any = None,
    mesh: Mesh | AbstractMesh | None = None,
    min_size: int = 0,
) -> Any:
    """Split every parameter further, over one more mesh axis.

    Each array is split along the axis whose parts are longest among those that come out even,
    one that is not split yet before one that is. An array that has no such axis, or is split
    over `over` already, keeps its spec. These are the specs of parameters in FSDP, and those of
    the state in ZeRO-1.

    Shapes: any; only shapes are read.

    Args:
        params: Tree of arrays or ShapeDtypeStructs.
        over: Name of the mesh axis, or several.
        specs: PartitionSpecs of the parameters as they are, a tree like the params or a prefix of
            it; None to read them off the parameters' shardings.
        mesh: The mesh; None for that of `jax.set_mesh`.
        min_size: Arrays with fewer entries keep their spec.

    Returns:
        Tree of PartitionSpecs like the params.

    Raises:
        ValueError: If `over` is no axis of the mesh, or a spec does not fit its parameter.

    Source: Rajbhandari, Rasley, Ruwase, He 2019, https://arxiv.org/abs/1910.02054, section 5.

    Example:
        >>> import jax, gradtx as gx
        >>> from jax.sharding import AbstractMesh, PartitionSpec as P
        >>> mesh = AbstractMesh((2, 4), ("data", "model"))
        >>> w = jax.ShapeDtypeStruct((8, 16), "float32")
        >>> print(gx.sharding.spread({"w": w}, "data", {"w": P(None, "model")}, mesh)["w"])
        P('data', 'model')
    """
    mesh = mesh_of("spread", mesh)
    names = mesh_axes("spread", over, mesh)
    given, treedef = leaves.flatten(params)
    found = checked_specs("spread", specs, params, mesh)
    return treedef.unflatten(
        [
            spread_spec(spec, p.shape, names, mesh)
            if leaves.is_inexact(p) and hasattr(p, "shape") and p.size >= min_size
            else spec
            for p, spec in zip(given, found, strict=True)
        ]
    )


def mesh_axes(
    owner: str, over: str | tuple[str, ...], mesh: Mesh | AbstractMesh
) -> tuple[str, ...]:
    """Names of mesh axes as a tuple, or an error if the mesh does not have them."""
    names = (over,) if isinstance(over, str) else tuple(over) if isinstance(over, tuple) else None
    if names is None or len(set(names)) < len(names):
        raise TypeError(
            f"{owner}: the name of a mesh axis, or a tuple of different ones, is needed, but given "
            f"is {over!r}."
        )
    for name in names:
        if name not in mesh.shape:
            raise ValueError(
                f"{owner}: {name!r} must be an axis of the mesh, which has {list(mesh.axis_names)}."
            )
    return names


def spread_spec(
    spec: PartitionSpec, shape: tuple[int, ...], names: tuple[str, ...], mesh: Mesh | AbstractMesh
) -> PartitionSpec:
    """One spec split further over the mesh axes `names`, if some axis of the array allows it."""
    axes = axes_by_dimension(spec, len(shape))
    used = {name for entry in axes for name in entry}
    names = tuple(name for name in names if name not in used)
    parts = math.prod(mesh.shape[name] for name in names)
    lengths = [
        n // math.prod(mesh.shape[name] for name in entry)
        for n, entry in zip(shape, axes, strict=True)
    ]
    even = [i for i, n in enumerate(lengths) if n and n % parts == 0]
    if parts == 1 or not even:
        return spec
    best = max(even, key=lambda i: (not axes[i], lengths[i], -i))
    return spec_from(tuple((*e, *names) if i == best else e for i, e in enumerate(axes)))
