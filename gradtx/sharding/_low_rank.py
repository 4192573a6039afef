"""PowerSGD: a mean over replicas through factors of low rank, with error feedback."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding

from .._core.reduce import array_shape, axes_along, over_shards
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import PerParam, PerParamReduced, PositiveInt
from ._axes import axis_size, explicit_axes, mean_of, on_shards, one_axis, spec_of
from ._feedback import kept_back


class LowRankState(NamedTuple):
    """What was not sent yet, each replica's own, and the columns of the right factor.

    The columns are the same on all replicas. An array that is sent as it is has none.
    """

    residual: PerParam
    columns: PerParamReduced


@transformation
def low_rank_mean_over(axis: str, rank: PositiveInt = 4) -> GradientTransformation:
    """Replace each gradient by its mean over the replicas, sent as two thin factors.

    Each array is taken as a matrix with a rows and b columns, its leading axes against the
    others, cut where a + b is least. For the matrix g_r of replica r = 1, ..., n, with the
    residual e_r = 0 before and the factor Q (b x rank) of the step before, random at first:

        x_r = g_r + e_r
        P = orthonormal columns that span the mean over r of x_r Q
        Q_r = x_r' P,    Q = mean over r of Q_r
        u = P Q'
        e_r = x_r - P Q_r'

    Each replica sends rank (a + b) numbers instead of a b. Where that is no less, and for complex
    arrays, the mean itself is taken.

    Shapes: the residual is shaped like g, in float32 or wider, different on each replica. Q is
        kept as `rank` columns, with the axes of g, the rows' of length 1. Arrays may be split
        over other mesh axes: products and factors go over all shards.
    Units: those of g.

    Args:
        axis: Name of the axis that the replicas are along. It must be bound by `jax.shard_map`
            or `jax.vmap(..., axis_name=axis)` where update is called.
        rank: Number of columns of the factors, at least 1.

    Returns:
        The transformation, with a `LowRankState`. The update is the same on all replicas. A
        matrix with a nan or inf on one of them comes out as no finite number.

    Raises:
        TypeError: If `axis` is no name.
        ValueError: If `rank` is outside its range; by update, if the axis is not bound.

    Source: Vogels, Karimireddy, Jaggi 2019, https://arxiv.org/abs/1905.13727, Algorithms 1 and 2.
    Differs: an array with several axes is cut where it gives least to send, not behind the first;
        the columns are made orthonormal by a QR decomposition; a column of Q that would vanish
        stays as it was; the momentum of Algorithm 2 is another transformation.
    """
    name = one_axis("low_rank_mean_over", axis)
    return lift(_LOW_RANK, static={"axis": name, "rank": rank})


def _rows(shape: tuple[int, ...], rank: int, dtype) -> int | None:
    """How many leading axes make the rows; None for an array that is sent as it is."""
    if jnp.issubdtype(dtype, jnp.complexfloating) or len(shape) < 2:
        return None
    sizes = [(math.prod(shape[:i]), math.prod(shape[i:])) for i in range(1, len(shape))]
    a, b = min(sizes, key=sum)
    return 1 + sizes.index((a, b)) if rank * (a + b) < a * b else None


def _first_columns(p, h):
    whole = array_shape(p)
    rows = _rows(whole, h.rank, p.dtype)
    if rows is None:
        return {"columns": ()}
    shape = (1,) * rows + whole[rows:]
    keys = jax.random.split(jax.random.key(0), h.rank)
    drawn = [jax.random.normal(key, shape, p.dtype) for key in keys]
    return {"columns": tuple(_part_for(p, rows, column) for column in drawn)}


def _part_for(p, rows, column):
    """What p's shard needs of a column that was drawn whole."""
    for axis in range(rows, p.ndim):
        if names := axes_along(p, axis):
            start = lax.axis_index(names) * p.shape[axis]
            column = lax.dynamic_slice_in_dim(column, start, p.shape[axis], axis)
    explicit = ((),) * rows + explicit_axes(p)[rows:]
    if any(explicit):
        mesh = jax.typeof(p).sharding.mesh
        column = jax.sharding.reshard(column, NamedSharding(mesh, spec_of(explicit)))
    return column


def _low_rank_mean(g, state, p, h):
    replicas = axis_size("low_rank_mean_over", (h.axis,))
    if replicas == 1 or not state.columns:
        return mean_of(g, (h.axis,)), state
    rows = _rows(array_shape(g), h.rank, g.dtype) or 0
    explicit = explicit_axes(g)
    spec, thin = spec_of(explicit), spec_of(((),) * rows + explicit[rows:])
    manual = [axes_along(g, axis) for axis in range(g.ndim)]
    split = [(*a, *b) for a, b in zip(manual, explicit, strict=True)]
    names = tuple(sum(split[:rows], ())), tuple(sum(split[rows:], ()))
    u, rest, columns = on_shards(
        functools.partial(_power_step, h.axis, *names),
        explicit,
        (g + state.residual, state.columns),
        (spec, (thin,) * h.rank),
        (spec, spec, (thin,) * h.rank),
    )
    return u, LowRankState(kept_back(rest, state.residual), columns)


def _power_step(replica, across, along, x, columns):
    """One step for a shard of x.

    Args:
        replica: The axis of the replicas.
        across: The mesh axes that the rows of the matrix are split over.
        along: Those that its columns are split over.
        x: The shard of gradient and residual.
        columns: Its part of the columns of Q.

    Returns:
        The shard of the update, what the codes lack of x, and its part of the new columns.
    """
    old = jnp.stack([column.reshape(-1) for column in columns], axis=-1)
    matrix = x.reshape(-1, len(old))
    left = _orthonormal(mean_of(over_shards(_product(matrix, old), along), (replica,)), across)
    own = over_shards(_product(matrix.T, left), across)
    right = mean_of(own, (replica,))
    rest = x - _product(left, own.T).reshape(x.shape)
    # A column that is zero or not finite cannot start the next step.
    size = over_shards(jnp.sum(jnp.abs(right), axis=0), along)
    new = jnp.where(jnp.isfinite(size) & (size > 0), right, old)
    parts = tuple(new[:, i].reshape(column.shape) for i, column in enumerate(columns))
    return _product(left, right.T).reshape(x.shape), rest, parts


def _orthonormal(matrix: jax.Array, names: tuple[str, ...]) -> jax.Array:
    """Orthonormal columns that span those of a matrix whose rows are split over mesh axes.

    Each shard factors its own rows, and all of them the triangles of all.
    """
    left, triangle = jnp.linalg.qr(matrix)
    if not names:
        return left
    triangles = lax.all_gather(triangle, names)
    mixed, _ = jnp.linalg.qr(triangles.reshape(-1, matrix.shape[1]))
    own = lax.axis_index(names) * len(triangle)
    return _product(left, lax.dynamic_slice_in_dim(mixed, own, len(triangle)))


# What the residual misses is lost: a GPU would round the factors of a product to 10 bits.
_product = functools.partial(jnp.matmul, precision="highest")

_LOW_RANK = Rule(_low_rank_mean, state=LowRankState, init=_first_columns)
