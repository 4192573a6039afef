"""Sharded runs at the edges: other libraries inside, mixed axes, masks, eager steps, odd trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.sharding import abstract_state, plan, sharded, shardings_of

SPECS = {"w": P(None, "model"), "b": P("model")}


def tree(seed):
    """Return a tree of normal numbers."""
    rng = np.random.default_rng(seed)
    shapes = {"w": (4, 8), "b": (8,)}
    return {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in shapes.items()}


def mesh_of(first, second):
    """Return a 2 x 4 mesh with axes of these kinds."""
    return jax.make_mesh((2, 4), ("data", "model"), axis_types=(first, second))


def expected(tx, steps=2):
    """Return what happens on one device."""
    params = tree(0)
    state = tx.init(params)
    for t in range(steps):
        params, state = tx.step(tree(t + 1), state, params)
    return params


def close(found, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, want)


def plain_momentum():
    """Return a pair of functions as another library would write it, entry by entry."""

    def init(params):
        return {"m": jax.tree.map(jnp.zeros_like, params)}

    def update(g, state, params=None):
        m = jax.tree.map(lambda m, g: 0.9 * m + g, state["m"], g)
        return jax.tree.map(lambda m: -0.1 * m, m), {"m": m}

    return init, update


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("foreign", [False, True])
def test_state_is_spread_whoever_made_it(kind, foreign):
    mesh = mesh_of(kind, kind)
    inner = gx.chain(plain_momentum()) if foreign else gx.adam(0.1)
    tx = sharded(inner, SPECS, spread="data")
    with jax.set_mesh(mesh):
        places = jax.tree.map(lambda s: NamedSharding(mesh, s), SPECS)
        params = jax.device_put(tree(0), places)
        promised = abstract_state(tx, params, SPECS)
        state, step = jax.jit(tx.init)(params), jax.jit(tx.step)
        assert P("data", "model") in [x.sharding.spec for x in jax.tree.leaves(promised)]
        for t in range(2):
            params, state = step(jax.device_put(tree(t + 1), places), state, params)
            for x, a in zip(jax.tree.leaves(state), jax.tree.leaves(promised), strict=True):
                assert x.sharding.is_equivalent_to(a.sharding, x.ndim), (x.sharding, a.sharding)
        held = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state))
        assert plan(tx, params, SPECS).state_bytes == held
    close(params, expected(inner))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_eager_steps(kind):
    mesh = mesh_of(kind, kind)
    tx, places = sharded(gx.adam(0.1), SPECS, spread="data"), shardings_on(mesh)
    with jax.set_mesh(mesh):
        params = jax.device_put(tree(0), places)
        state = tx.init(params)
        for t in range(2):
            params, state = tx.step(jax.device_put(tree(t + 1), places), state, params)
    close(params, expected(gx.adam(0.1)))


def shardings_on(mesh):
    return jax.tree.map(lambda s: NamedSharding(mesh, s), SPECS)


def test_eager_arrays_that_are_on_one_device_are_placed():
    with jax.set_mesh(mesh_of(AxisType.Auto, AxisType.Auto)):
        state = sharded(gx.trace(0.9), SPECS).init(tree(0))
        assert state.trace["w"].sharding.spec == P(None, "model")
        with pytest.raises(ValueError, match="must be a TraceState"):
            sharded(gx.trace(0.9), SPECS).update(tree(1), gx.EmptyState(), tree(0))


def inside_shard_map(tx, mesh):
    """Return two steps inside `shard_map`."""
    promised = abstract_state(tx, tree(0), SPECS, mesh)
    places = jax.tree.map(lambda s: s.spec, shardings_of(promised))
    step = jax.shard_map(
        tx.step, mesh=mesh, in_specs=(SPECS, places, SPECS), out_specs=(SPECS, places)
    )
    init = jax.shard_map(tx.init, mesh=mesh, in_specs=(SPECS,), out_specs=places)
    params, step = tree(0), jax.jit(step)
    state = jax.jit(init)(params)
    for t in range(2):
        params, state = step(tree(t + 1), state, params)
    return params


def large(params):
    """Return a mask by the number of entries, which a shard has fewer of."""
    return jax.tree.map(lambda p: p.size > 4, params)


def test_norms_and_masks_by_size_inside_shard_map():
    # Without moments, so that a wrong factor would show.
    inner = gx.chain(gx.clip_by_global_norm(0.5), gx.add_decayed_weights(0.5, large), gx.sgd(0.1))
    found = inside_shard_map(sharded(inner, SPECS), mesh_of(AxisType.Auto, AxisType.Auto))
    close(found, expected(inner))


def test_what_cannot_be_right_inside_shard_map_is_refused():
    mesh = mesh_of(AxisType.Auto, AxisType.Auto)
    with pytest.raises(ValueError, match="a pair of functions would see one shard"):
        inside_shard_map(sharded(gx.chain(plain_momentum()), SPECS), mesh)
    whole = {"w": P(), "b": P()}
    sam = sharded(gx.penalize_gradient_norm(gx.sgd(0.1)), whole, spread="data")
    with jax.set_mesh(mesh):
        state = sam.init(tree(0))
    places = jax.tree.map(lambda x: x.sharding.spec, state)
    step = jax.shard_map(
        lambda g, s, p: sam.step(g, s, p, grad_fn=lambda p: p),
        mesh=mesh, in_specs=(whole, places, whole), out_specs=(whole, places),
    )  # fmt: skip
    with pytest.raises(ValueError, match="`grad_fn` would be given parts of the parameters"):
        step(tree(1), state, tree(0))


def test_python_numbers_and_empty_trees():
    mesh = AbstractMesh((2, 4), ("data", "model"))
    assert plan(gx.adam(0.1), {}, None, mesh).params == 0
    assert plan(gx.adam(0.1), {"a": 1.0}, None, mesh).params == 1
    with jax.set_mesh(mesh_of(AxisType.Auto, AxisType.Auto)):
        tx = sharded(gx.sgd(0.5), P())
        params, _ = tx.step({"a": 1.0}, tx.init({"a": 2.0}), {"a": 2.0})
    assert params["a"] == 1.5


def test_axes_of_two_types():
    mesh = mesh_of(AxisType.Explicit, AxisType.Auto)
    with jax.set_mesh(mesh):
        state = jax.jit(sharded(gx.trace(0.9), SPECS).init)(tree(0))  # the explicit one is not used
        assert state.trace["w"].sharding.spec == P(None, "model")
        with pytest.raises(ValueError, match=r"\['model'\] are automatic and \['data'\] explicit"):
            sharded(gx.trace(0.9), SPECS, spread="data").init(tree(0))


def test_messages():
    mesh = AbstractMesh((2, 4), ("data", "model"))
    with pytest.raises(ValueError, match="cannot be axes of both `batch` and `replicas`"):
        plan(gx.adam(0.1), {}, None, mesh, batch="data", replicas="data")
    with pytest.raises(TypeError, match="`spread` must name mesh axes, but is 3"):
        sharded(gx.adam(0.1), P(), 3)
    with pytest.raises(TypeError, match=r"a tuple of different ones.*\('data', 'data'\)"):
        gx.sharding.spread(tree(0), ("data", "data"), P(), mesh)
    with pytest.raises(ValueError, match=r"it is PyTreeDef.*they are PyTreeDef"):
        gx.sharding.spread((jnp.ones(8), jnp.ones(8)), "data", [P(), P()], mesh)
    with pytest.raises(TypeError, match="Give its `spec`"):
        gx.sharding.spread(tree(0), "data", NamedSharding(mesh, P()), mesh)
    with pytest.raises(ValueError, match="leaves an axis unconstrained"):
        gx.sharding.spread(jnp.ones(8), "data", P(P.UNCONSTRAINED), mesh)
