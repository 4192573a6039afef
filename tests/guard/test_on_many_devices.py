"""Guards see a nan wherever its shard lies, and all devices judge alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx

PARAMS = {"w": jnp.arange(16.0).reshape(8, 2) + 1, "b": jnp.ones(3)}
SPECS = {"w": P("data"), "b": P()}
ONES = jax.tree.map(jnp.ones_like, PARAMS)
BAD = ONES | {"w": ONES["w"].at[5, 1].set(jnp.inf)}
LARGE = jax.tree.map(lambda g: 50 * g, ONES)
GUARDS = {
    "skip": gx.guard(gx.adam(0.1), give_up_after=9, callback=False),
    "zero_leaf": gx.guard(gx.adam(0.1), "zero_leaf"),
    "spikes": gx.guard(gx.adam(0.1), "zero_leaf", spikes=gx.spikes(4), give_up_after=9),
    "loss_scaling": gx.loss_scaling(gx.chain(gx.clip_by_global_norm(1.0), gx.adam(0.1)), 4.0),
}


def three_steps(tx, place):
    """Return (params, the guard's state) after a good step, a bad one and a large one."""
    step = jax.jit(tx.step)
    params = place(PARAMS)
    state = jax.jit(tx.init)(params)
    for g in (ONES, ONES, BAD, LARGE, ONES):
        params, state = step(place(g), state, params, value=1.0)
    return params, state


def compare(ours, theirs):
    """Assert that two trees are alike."""
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            np.asarray(a), np.asarray(b), rtol=2e-6, atol=1e-7, strict=False
        ),
        ours,
        theirs,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
@pytest.mark.parametrize("name", GUARDS)
def test_sharded_arrays(name, kind):
    tx = GUARDS[name]
    alone = three_steps(tx, lambda tree: tree)
    assert alone[1].nonfinite == 1
    mesh = jax.make_mesh((4,), ("data",), axis_types=(kind,))

    def place(tree):
        return {k: jax.device_put(x, NamedSharding(mesh, SPECS[k])) for k, x in tree.items()}

    with jax.set_mesh(mesh):
        compare(three_steps(tx, place), alone)
        compare(three_steps(gx.sharding.sharded(tx, SPECS), place), alone)


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARDS)
def test_inside_shard_map(name):
    """One shard has the inf: the others must not take the step, nor keep their part of the leaf."""
    tx = gx.sharding.sharded(GUARDS[name], SPECS)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))

    def run(params, gradients):
        state = tx.init(params)
        for g in gradients:
            params, state = tx.step(g, state, params, value=1.0)
        return params, state.nonfinite

    gradients = (ONES, ONES, BAD, LARGE, ONES)
    specs = (SPECS, (SPECS,) * len(gradients))
    mapped = jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=(SPECS, P()))
    params, count = jax.jit(mapped)(PARAMS, gradients)
    expected, state = three_steps(GUARDS[name], lambda tree: tree)
    compare(params, expected)
    assert count == state.nonfinite == 1
