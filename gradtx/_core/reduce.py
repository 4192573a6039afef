"""Sums, means and maxima over one array, also when it is split over the devices of a `shard_map`.

Under `jit` an array is whole, wherever its shards lie, and a sum over it is the sum. Inside
`jax.shard_map` the code sees one shard: a sum over the array then has to go over the mesh axes
that it is split over, too. The functions here do so when a leaf function is traced for a split
array (see `gradtx.sharding.sharded`); otherwise they are those of `jax.numpy`.
"""

import contextlib
import contextvars
import math
from collections.abc import Generator

import jax
import jax.numpy as jnp
from jax import lax

# For each axis of an array the names of the mesh axes it is split over.
Split = tuple[tuple[str, ...], ...]

_SPLIT: contextvars.ContextVar[Split | None] = contextvars.ContextVar("split", default=None)


@contextlib.contextmanager
def split_over(split: Split | None) -> Generator[None]:
    """Inside, arrays of a rule are shards that are split so."""
    token = _SPLIT.set(split)
    try:
        yield
    finally:
        _SPLIT.reset(token)


def axes_of(split: Split | None, axes: tuple[int, ...] | None = None) -> tuple[str, ...]:
    """The mesh axes that some axes of an array (None for all) are split over."""
    if split is None:
        return ()
    return tuple(name for i in range(len(split)) if axes is None or i in axes for name in split[i])


def over_shards(x: jax.Array, names: tuple[str, ...], maximum: bool = False) -> jax.Array:
    """The sum (or maximum) of x over the devices along mesh axes."""
    if not names:
        return x
    return lax.pmax(x, names) if maximum else lax.psum(x, names)


def fold_in_shard(key: jax.Array, split: Split | None) -> jax.Array:
    """A key of its own for each shard of an array; copies of one shard share it."""
    for name in axes_of(split):
        key = jax.random.fold_in(key, lax.axis_index(name))
    return key


def axes_along(x: jax.Array, axis: int | tuple[int, ...] | None) -> tuple[str, ...]:
    """The mesh axes that axes of an array are split over while a leaf function is traced.

    Args:
        x: Array with the axes of the parameter, those reduced before kept at length 1.
        axis: Axis or axes; None for all.
    """
    split = _SPLIT.get()
    if split is None:
        return ()
    if x.ndim != len(split):
        raise ValueError(
            f"a sum over an array that is split over devices needs all {len(split)} axes of its "
            f"parameter, but the array has {x.ndim}: keep reduced axes with keepdims=True."
        )
    if axis is None:
        return axes_of(split)
    axes = (axis,) if isinstance(axis, int) else axis
    return axes_of(split, tuple(a % x.ndim for a in axes))


def array_sum(
    x: jax.Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> jax.Array:
    """The sum of x over axes of the whole array, on whatever devices its shards lie.

    Args:
        x: Array with the axes of the parameter, those reduced before kept at length 1.
        axis: Axis or axes to sum over; None for all.
        keepdims: Whether these axes stay, with length 1.

    Returns:
        The sum, the same on all devices that share it.
    """
    return over_shards(jnp.sum(x, axis=axis, keepdims=keepdims), axes_along(x, axis))


def array_max(
    x: jax.Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> jax.Array:
    """The maximum of x over axes of the whole array, on whatever devices its shards lie.

    Args:
        x: Array with the axes of the parameter, those reduced before kept at length 1.
        axis: Axis or axes to take the maximum over; None for all.
        keepdims: Whether these axes stay, with length 1.

    Returns:
        The maximum, the same on all devices that share it.
    """
    return over_shards(jnp.max(x, axis=axis, keepdims=keepdims), axes_along(x, axis), maximum=True)


def array_mean(
    x: jax.Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> jax.Array:
    """The mean of x over axes of the whole array, on whatever devices its shards lie.

    Args:
        x: Array with the axes of the parameter, those reduced before kept at length 1.
        axis: Axis or axes to take the mean over; None for all.
        keepdims: Whether these axes stay, with length 1.

    Returns:
        The mean, 0 where there are no entries; the same on all devices that share it.
    """
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    shape = array_shape(x)
    count = math.prod(shape[a] for a in axes)
    return array_sum(x, axis, keepdims) / float(max(count, 1))  # an int may be too large for int32


def array_shape(x: jax.Array) -> tuple[int, ...]:
    """The shape of the whole array, on whatever devices its shards lie.

    Args:
        x: Array with the axes of the parameter.

    Returns:
        Its shape; in a `shard_map` that of the array which x is a shard of.
    """
    parts = [math.prod(lax.axis_size(name) for name in axes_along(x, i)) for i in range(x.ndim)]
    return tuple(n * k for n, k in zip(x.shape, parts, strict=True))
