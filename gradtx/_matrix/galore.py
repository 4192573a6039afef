"""GaLore: a transformation that sees its gradients in a subspace of low rank."""

import contextlib
import dataclasses
import functools
from collections.abc import Generator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._core import leaves, masks
from .._core.body import Purpose, run, start
from .._core.flow import Flow
from .._core.fuse import cleared_with_caches
from .._core.lifted import Lifted
from .._core.numerics import accumulator_dtype, safe_increment, widened, with_precision_of
from .._core.reduce import Split, split_over
from .._core.transformation import (
    GradientTransformation,
    as_transformation,
    from_body,
    transformation,
)
from .._core.wrap import Wrapper, check_state, first_count, innermost
from .._moments.adam import scale_by_adam
from ..typing import Count, InnerState, PerParamReduced, PositiveInt, Real
from .axes import Axes, AxesOf, Matrices, has_matrices, is_matrix


class GaLoreState(NamedTuple):
    """Step count, state of the base optimizer, orthonormal bases of the subspaces.

    An array that is not projected has None for a basis.
    """

    count: Count
    base_optimizer_state: InnerState
    projector: PerParamReduced


class _Projection(NamedTuple):
    """How an array is projected: its axes, the most columns of a basis, and which side."""

    axes: Axes
    rank: int
    larger: bool

    def of(self, matrices: Matrices) -> tuple[int, bool]:
        """The rank of the subspace, and whether it is one of columns (the basis is on the left)."""
        rows, columns = matrices.sides
        left = rows >= columns if self.larger else rows <= columns
        return min(self.rank, rows, columns), left


@dataclasses.dataclass(eq=False)
class _GaLore(Wrapper):
    """A transformation in subspaces.

    Attributes:
        name: The constructor's name.
        inner: The transformation.
        axes: Which axes of each leaf make its matrices.
        rank: Most columns of a basis.
        gap: Number of steps from one choice of the bases to the next.
        scale: Factor of what is projected back.
        larger: Whether the larger side is projected.
    """

    inner: Any
    axes: AxesOf
    rank: int
    gap: Any
    scale: Any
    larger: bool

    def init(self, flow: Flow) -> Any:
        small: list = list(flow.leaves)
        bases: list = [None] * len(small)
        for index, how in enumerate(self._projections(flow)):
            if how:
                p = flow.leaves[index]
                make = functools.partial(_zeros, how, flow.splits[index])
                with self._explained(flow, index):
                    made = jax.eval_shape(make, p) if leaves.is_abstract(p) else make(p)
                small[index], bases[index] = made
        inner_state = start(self.inner.update.body, self._inside(flow, small))
        return GaLoreState(first_count(flow), inner_state, flow.treedef.unflatten(bases))

    def update(self, flow: Flow, state: Any) -> Any:
        count, inner_state, projector = check_state(self.name, GaLoreState, state)
        bases, projections = flow.column(projector, self.name, "projector"), self._projections(flow)
        fresh = count % self.gap == 0
        scale = jnp.asarray(self.scale)
        small = list(flow.leaves)
        for index, how in enumerate(projections):
            if how:
                given = how, flow.splits[index], fresh, flow.leaves[index], bases[index]
                with self._explained(flow, index):
                    small[index], bases[index] = _projected(*given)
        inner = self._inside(flow, small)
        inner_state = run(self.inner.update.body, inner, inner_state)
        flow.leaves = [
            _back(how, split, scale, g, basis, u) if how else u
            for how, split, g, basis, u in zip(
                projections, flow.splits, flow.leaves, bases, inner.leaves, strict=True
            )
        ]
        new = flow.treedef.unflatten(bases)
        return GaLoreState(safe_increment(count), inner_state, new)

    def point(self, purpose: Purpose, state: Any, params: Any) -> Any:
        return params  # what is inside has arrays of other shapes

    def _projections(self, flow: Flow) -> list[_Projection | None]:
        """How each leaf is projected; None for one that is not."""
        axes = masks.spread(flow, self.name, "the dimension numbers", "such numbers", self.axes)
        return [
            _Projection(a, self.rank, self.larger) if a and on and np.size(x) else None
            for a, on, x in zip(axes, flow.trainable, flow.leaves, strict=True)
        ]

    @contextlib.contextmanager
    def _explained(self, flow: Flow, index: int) -> Generator[None]:
        try:
            yield
        except Exception as error:
            error.add_note(f"gradtx: in {self.name} at {leaves.path_names(flow.tree)[index]}.")
            raise

    @staticmethod
    def _inside(flow: Flow, small: list) -> Flow:
        """The flow that the base optimizer sees: without parameters, which have other shapes."""
        inner = flow.branch(
            tree=flow.treedef.unflatten(small),
            dtypes=[x.dtype if on else None for x, on in zip(small, flow.trainable, strict=True)],
            splits=[
                split if x is leaf else None
                for x, leaf, split in zip(small, flow.leaves, flow.splits, strict=True)
            ],
            whole=None,
        )
        inner.leaves = list(small)
        inner.__dict__.pop("param_arrays", None)
        inner.params = inner.params_tree = None
        return inner


def _zeros(how: _Projection, split: Split | None, p: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What the base optimizer sees for a parameter before the first step, and no basis yet."""
    with split_over(split):
        matrices = Matrices(p, how.axes)
    (rank, left), (rows, columns) = how.of(matrices), matrices.sides
    dtype = with_precision_of(p.dtype, accumulator_dtype(p.dtype))
    small = matrices.zeros(*((rank, columns) if left else (rows, rank)), dtype)
    return small, matrices.zeros(rows if left else columns, rank, dtype)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _projected(
    how: _Projection, split: Split | None, fresh: jax.Array, g: jax.Array, basis: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The gradient in the subspace, and its basis, chosen anew if it is time."""
    with split_over(split):
        matrices = Matrices(g, how.axes)
        x = matrices.of(widened(g, accumulator_dtype(g.dtype, basis.dtype)))
    rank, left = how.of(matrices)

    def chosen(x: jax.Array, old: jax.Array) -> jax.Array:
        columns, _, rows = jnp.linalg.svd(x, full_matrices=False)
        new = columns[..., :rank] if left else _adjoint(rows[..., :rank, :])
        return new.astype(old.dtype)

    # The subspace is a choice, not a function to differentiate: it has no slope where values meet.
    basis = lax.cond(fresh, chosen, lambda x, old: old, lax.stop_gradient(x), basis)
    wide = basis.astype(x.dtype)
    return (_adjoint(wide) @ x if left else x @ wide), basis


@functools.partial(jax.jit, static_argnums=(0, 1))
def _back(
    how: _Projection,
    split: Split | None,
    scale: jax.Array,
    g: jax.Array,
    basis: jax.Array,
    u: jax.Array,
) -> jax.Array:
    """An update of the subspace as one of the whole array."""
    real = accumulator_dtype(basis.dtype, u.dtype)
    basis, u = widened(basis, real), widened(u, real)
    with split_over(split):
        matrices = Matrices(g, how.axes)
        whole = basis @ u if how.of(matrices)[1] else u @ _adjoint(basis)
        return matrices.back(scale.astype(real).astype(whole.dtype) * whole)


for _function in (_projected, _back):
    cleared_with_caches(_function.clear_cache)  # pyright: ignore[reportAttributeAccessIssue]


def _adjoint(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, -1, -2).conj()


@transformation
def scale_by_galore(
    rank: PositiveInt = 128,
    update_proj_gap: PositiveInt = 200,
    scale: Real = 1.0,
    base_optimizer: Any = None,
    weight_dimension_numbers: Any = None,
    *,
    project: str = "smaller",
) -> GradientTransformation:
    """Run a transformation in the subspace where the gradients of a matrix mostly lie.

    For each matrix g with m <= n rows and columns, at the steps t = 1, 1 + update_proj_gap, ...:

        U S V' = g
        P = the first rank columns of U

    and at every step, with the base optimizer's rule for matrices of rank x n:

        u = scale P base_optimizer(P' g)

    A matrix with more rows than columns is projected from the right, on the first columns of V.
    Arrays that are no matrices are handed to the base optimizer as they are. The base optimizer
    keeps its state when the subspace changes. Under `jax.vmap` the decomposition is computed at
    every step, since both cases are there.

    Shapes: P is m x rank, the state of the base optimizer is that of an array of rank x n; behind
        the other axes if the array has such. On many devices they lie whole on each.
    Units: those of the base optimizer; with Adam u has none.

    Args:
        rank: Dimension of the subspaces, at least 1; no more than the smaller side is used.
        update_proj_gap: Number of steps from one choice of them to the next, at least 1.
        scale: Factor of the updates of the matrices, a number; the paper has 0.25.
        base_optimizer: The transformation, also one of Optax. It gets no parameters, since there
            are none in the subspace: weight decay belongs behind it. None for `scale_by_adam()`.
        weight_dimension_numbers: `GaLoreDimensionNumbers` for all arrays with two axes or more; or
            a tree of such like the parameters or the top of them, with None for what is not to be
            projected; or a function of the parameters that returns one. None for every array with
            two axes.
        project: Which side is projected: "smaller" as above, as in the paper, or "larger", which
            has P of n x rank and the base optimizer's state of m x rank.

    Returns:
        The transformation, with a `GaLoreState`.

    Raises:
        ValueError: If an argument is outside its range, or the base optimizer reads the
            parameters; on init and update, if the dimension numbers do not fit an array.
        TypeError: If `base_optimizer` is no transformation.

    Source: Zhao et al. 2024, https://arxiv.org/abs/2403.03507, Algorithm 2.
    Differs: from Optax, which projects the larger side, decomposes in float32 also what is wider,
        and does not conjugate for complex arrays.
    """
    if project not in ("smaller", "larger"):
        raise ValueError(
            f"scale_by_galore: `project` must be 'smaller' or 'larger', but is {project!r}."
        )
    name = "scale_by_galore"
    inner = as_transformation(scale_by_adam() if base_optimizer is None else base_optimizer, name)
    for part in innermost(inner.update.body):
        if isinstance(part, Lifted) and part.rule.params:
            raise ValueError(
                f"{name}: the base optimizer must not read the parameters, of which there are none "
                f"in the subspace, but {part.name} does. Chain it behind {name}; `galore` has an "
                "argument `weight_decay`."
            )
    axes = AxesOf(name, weight_dimension_numbers, default=is_matrix, everywhere=has_matrices)
    larger = project == "larger"
    return from_body(_GaLore(name, inner, axes, int(rank), update_proj_gap, scale, larger))
