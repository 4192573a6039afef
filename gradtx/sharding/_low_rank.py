"""PowerSGD: a mean over replicas through factors of low rank, with error feedback."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import PerParam, PerParamReduced, PositiveInt
from ._axes import axis_size, mean_of, one_axis
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
        kept as `rank` columns, with the axes of g, the rows' of length 1.
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
    rows = _rows(p.shape, h.rank, p.dtype)
    if rows is None:
        return {"columns": ()}
    shape = (1,) * rows + p.shape[rows:]
    keys = jax.random.split(jax.random.key(0), h.rank)
    return {"columns": tuple(jax.random.normal(key, shape, p.dtype) for key in keys)}


def _low_rank_mean(g, state, p, h):
    replicas = axis_size("low_rank_mean_over", (h.axis,))
    if replicas == 1 or not state.columns:
        return mean_of(g, (h.axis,)), state
    old = jnp.stack([column.reshape(-1) for column in state.columns], axis=-1)
    x = g + state.residual
    matrix = x.reshape(-1, len(old))
    left, _ = jnp.linalg.qr(mean_of(_product(matrix, old), (h.axis,)))
    own = _product(matrix.T, left)
    right = mean_of(own, (h.axis,))
    rest = x - _product(left, own.T).reshape(x.shape)
    new = jnp.where(_usable(right), right, old)
    columns = [new[:, i].reshape(column.shape) for i, column in enumerate(state.columns)]
    new_state = LowRankState(kept_back(rest, state.residual), tuple(columns))
    return _product(left, right.T).reshape(x.shape), new_state


# What the residual misses is lost: a GPU would round the factors of a product to 10 bits.
_product = functools.partial(jnp.matmul, precision="highest")


def _usable(right: jax.Array) -> jax.Array:
    """Which columns can start the next power iteration."""
    size = jnp.max(jnp.abs(right), axis=0)
    return jnp.isfinite(size) & (size > 0)


_LOW_RANK = Rule(_low_rank_mean, state=LowRankState, init=_first_columns)
