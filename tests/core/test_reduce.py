"""Sums over one array: those of jax.numpy, and over all shards inside `shard_map`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx._core.reduce import split_over
from gradtx.numerics import array_max, array_mean, array_shape, array_sum

AXES = [None, 0, -1, (0, 1), ()]


def results(x):
    """Return the sum, mean and maximum over all choices of axes, and the shape."""
    return [
        [f(x, axis, keepdims=True) for axis in AXES] for f in (array_sum, array_mean, array_max)
    ], jnp.array(array_shape(x))


def test_without_shards_they_are_those_of_numpy(rng):
    x = rng.normal(size=(8, 4)).astype(np.float32)
    (sums, means, maxima), shape = results(jnp.asarray(x))
    for axis, total, mean, largest in zip(AXES, sums, means, maxima, strict=True):
        np.testing.assert_allclose(total, x.sum(axis, keepdims=True), rtol=1e-5)
        np.testing.assert_allclose(mean, x.mean(axis, keepdims=True), rtol=1e-5)
        np.testing.assert_allclose(largest, x.max(axis, keepdims=True))
    assert tuple(shape) == (8, 4)


@pytest.mark.parametrize("spec", [P("data", "model"), P(("model", "data")), P(None, "model"), P()])
def test_shards_give_the_sums_of_the_whole(spec, rng):
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    x = jnp.asarray(rng.normal(size=(8, 4)), jnp.float32)
    split = tuple(e if isinstance(e, tuple) else (e,) if e else () for e in (*spec, None, None)[:2])

    def inside(shard):
        with split_over(split):
            return results(shard)

    # Axes that are kept stay split: gather them to compare with the whole.
    specs = [[kept(spec, axis) for axis in AXES] for _ in range(3)], P()
    found = jax.jit(jax.shard_map(inside, mesh=mesh, in_specs=spec, out_specs=specs))(x)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(results(x)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def kept(spec, axis):
    """Return where an array lies once it was summed over some axes."""
    entries = (*spec, None, None)[:2]
    gone = range(2) if axis is None else (axis,) if isinstance(axis, int) else axis
    gone = [a % 2 for a in gone]
    return P(*(None if i in gone else e for i, e in enumerate(entries)))


def test_reduced_axes_must_be_kept():
    def inside(x):
        with split_over((("data",), ())):
            return array_sum(jnp.sum(x, axis=1))

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    with pytest.raises(ValueError, match="needs all 2 axes of its parameter, but the array has 1"):
        jax.shard_map(inside, mesh=mesh, in_specs=P("data"), out_specs=P())(jnp.ones((8, 2)))


def test_the_mean_of_nothing_is_zero():
    assert array_mean(jnp.zeros((0, 3))) == 0


def _pull(g, state, p, h):
    return g + h.rate * h.target, state


@gx.transformation
def pull_to_target(rate: float):
    """Add a tree that comes as an extra argument, times a number."""
    return gx.lift(gx.Rule(_pull, trees=("target",)), rate=rate)


def test_extra_arguments_that_are_trees_reach_their_leaf():
    tx = gx.chain(pull_to_target(2.0), gx.scale(10.0))
    g = {"a": jnp.ones(2), "b": jnp.ones((), jnp.bfloat16), "n": None}
    target = {"a": jnp.arange(2.0), "b": jnp.array(3.0), "n": None}
    updates, _ = jax.jit(tx.update)(g, tx.init(g), target=target)
    np.testing.assert_array_equal(updates["a"], [10, 30])
    assert updates["b"] == 70 and updates["b"].dtype == jnp.bfloat16 and updates["n"] is None


def test_messages_of_extra_trees():
    tx, g = pull_to_target(2.0), {"a": jnp.ones(2)}
    with pytest.raises(TypeError, match=r"needs the extra argument `target`.*`targets` was given"):
        tx.update(g, tx.init(g), targets=g)
    with pytest.raises(ValueError, match=r"`target` at \['a'\] must have the shape.*float32\[3\]"):
        tx.update(g, tx.init(g), target={"a": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"the extra argument `target` must have the same tree"):
        tx.update(g, tx.init(g), target={"b": jnp.ones(2)})
