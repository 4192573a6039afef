"""Sharded runs: the numbers of one device, the places of the specs, the plan's collectives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.sharding import abstract_state, collectives, plan, sharded, shardings_of

from .runs import COPIED, MODEL, MODES, OPTIMIZERS, arrays, farthest, on_one_device, placed, tally

STEPS = 20
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}


def run_like_one_device(name, mode, axis_type, dtype, steps):
    """Check a sharded run: its numbers, where its state lies, what it exchanges."""
    mesh = jax.make_mesh(mode.mesh, ("data", "model"), axis_types=(axis_type,) * 2)
    specs = mode.param_specs(mesh)
    tx = sharded(OPTIMIZERS[name](), specs, mode.spread)
    with jax.set_mesh(mesh):
        params = placed(arrays(0, dtype), specs, mesh)
        promised = abstract_state(tx, params, specs)
        state = jax.jit(tx.init)(params)
        step = jax.jit(tx.step).lower(placed(arrays(1, dtype), specs, mesh), state, params)
        compiled = step.compile()
        for t in range(steps):
            # A compiled step takes arrays at its places only: that state stays is checked here.
            grads = placed(arrays(t + 1, dtype), specs, mesh)
            params, state = compiled(grads, state, params)
            same = jax.tree.map(lambda x, a: x.sharding.is_equivalent_to(a.sharding, x.ndim),
                                state, promised)  # fmt: skip
            assert all(jax.tree.leaves(same)), same
        predicted = plan(tx, params, specs).update
    assert farthest(params, on_one_device(name, dtype, steps)) < TOLERANCE[dtype]
    assert tally(collectives(compiled)) == tally(predicted)


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize(
    ("name", "mode"),
    [("adam, clipped", "tensor and zero 2 x 4"), ("adafactor", "tensor and fsdp 2 x 4")],
)
def test_equals_one_device(name, mode, axis_type):
    run_like_one_device(name, MODES[mode], axis_type, "float32", 3)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_optimizers_equal_one_device(name, mode):
    for axis_type in (AxisType.Auto, AxisType.Explicit):
        run_like_one_device(name, MODES[mode], axis_type, "float32", STEPS)
        with jax.enable_x64(True):
            run_like_one_device(name, MODES[mode], axis_type, "float64", STEPS)


def shard_map_like_one_device(name, mode, dtype, steps):
    """Check a run inside `shard_map`, where the code sees one shard of each array."""
    mesh = jax.make_mesh(mode.mesh, ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    specs = mode.param_specs(mesh)
    tx = sharded(OPTIMIZERS[name](), specs, mode.spread)
    params = jax.tree.map(jnp.asarray, arrays(0, dtype))
    with jax.set_mesh(mesh):
        state_specs = jax.tree.map(
            lambda s: s.spec, shardings_of(abstract_state(tx, params, specs))
        )
    init = jax.shard_map(tx.init, mesh=mesh, in_specs=(specs,), out_specs=state_specs)
    step = jax.shard_map(
        tx.step, mesh=mesh, in_specs=(specs, state_specs, specs), out_specs=(specs, state_specs)
    )
    state, step = jax.jit(init)(params), jax.jit(step)
    for t in range(steps):
        params, state = step(arrays(t + 1, dtype), state, params)
    assert farthest(params, on_one_device(name, dtype, steps)) < TOLERANCE[dtype]


def test_equals_one_device_inside_shard_map():
    shard_map_like_one_device("lamb", MODES["tensor and zero 2 x 4"], "float32", 3)


NOISELESS = [name for name in OPTIMIZERS if "noisy" not in name]  # there a shard has its own


@pytest.mark.slow
@pytest.mark.parametrize("name", NOISELESS)
def test_twenty_optimizers_equal_one_device_inside_shard_map(name, x64):
    for mode in MODES.values():
        shard_map_like_one_device(name, mode, "float64", STEPS)


def test_noise_inside_shard_map_differs_between_shards_and_not_between_copies():
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    specs = {"w": P("model")}
    tx = sharded(gx.add_noise(1.0, 0.0, key=1), specs)
    zeros = {"w": jnp.zeros((8, 3))}
    state = jax.tree.map(lambda _: P(), jax.eval_shape(gx.add_noise(1.0, 0.0).init, zeros))
    update = jax.shard_map(
        lambda g, s: tx.update(g, s)[0], mesh=mesh, in_specs=(specs, state), out_specs=specs
    )  # check_vma holds: copies along `data` are known to be equal
    noise = np.asarray(update(zeros, gx.add_noise(1.0, 0.0, key=1).init(zeros))["w"])
    shards = noise.reshape(4, 2, 3)
    assert all(not np.array_equal(shards[0], shards[i]) for i in range(1, 4))


def test_spread_state_takes_an_eighth_of_each_device():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    params = {"w": jnp.zeros((64, 32)), "b": jnp.zeros(40), "odd": jnp.zeros(3)}
    tx = sharded(gx.adam(0.1), P(), spread="data")
    with jax.set_mesh(mesh):
        state = jax.jit(tx.init)(params)
        held = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state))
        assert plan(tx, params, P()).state_bytes == held
        compiled = jax.jit(tx.init).lower(params).compile()
    assert held == 2 * 4 * ((64 * 32 + 40) // 8 + 3) + 4  # the odd one and the count are copied
    assert compiled.memory_analysis().output_size_in_bytes >= held


def test_specs_are_read_off_explicit_arrays():
    mesh = jax.make_mesh((2, 4), ("data", "model"))
    tx = sharded(gx.adam(0.1), spread="data")
    with jax.set_mesh(mesh):
        params = {"w": jax.device_put(jnp.ones((8, 16)), jax.NamedSharding(mesh, P(None, "model")))}
        state = tx.init(params)
        updates, state = tx.update(params, state, params)
    assert state[0].mu["w"].sharding.spec == P("data", "model")
    assert tuple(updates["w"].sharding.spec) == (None, "model")


def test_a_first_state_lies_where_compiled_steps_leave_it():
    """Explicit places name every axis: P("data") is another trace than P("data", None)."""
    mesh = jax.make_mesh((2, 4), ("data", "model"))
    tx = sharded(gx.adamw(0.1))
    with jax.set_mesh(mesh):
        place = jax.NamedSharding(mesh, P("data", None))
        params = {"w": jax.device_put(jnp.ones((8, 16)), place)}
        step, state = jax.jit(tx.step), tx.init(params)
        for _ in range(3):
            params, state = step(params, state, params)
    assert step._cache_size() <= 1


def test_init_on_shapes_gives_shapes_with_places():
    mesh = jax.make_mesh((2, 4), ("data", "model"))
    shapes = {k: jax.ShapeDtypeStruct((8, 16), jnp.float32) for k in ("a", "b")}
    with jax.set_mesh(mesh):
        state = sharded(gx.trace(0.9), {"a": P("model"), "b": P()}, "data").init(shapes)
    assert state.trace["a"].sharding.spec == P("model", "data")
    assert state.trace["b"].sharding.spec == P(None, "data")


def test_it_is_a_value():
    tx = sharded(gx.adam(0.1), MODEL, spread="data")
    assert gx.from_config(tx.to_config()) == tx != sharded(gx.adam(0.1), COPIED, spread="data")
    assert "P(None, 'model')" in repr(tx)


def says(text, kind=ValueError):
    return pytest.raises(kind, match=text)


def test_messages():
    tree = {"w": jnp.ones((8, 16))}
    with says("sharded needs a mesh"):
        sharded(gx.adam(0.1)).init(tree)
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    with jax.set_mesh(mesh):
        with says("not explicit, arrays do not say where they lie: give `specs`"):
            sharded(gx.adam(0.1)).init(tree)
        with says(r"'rows' must be an axis of the mesh, which has \['data', 'model'\]"):
            sharded(gx.adam(0.1), P(), "rows").init(tree)
        with says(r"the spec P\('heads',\) of \['w'\].*names the mesh axis 'heads'"):
            sharded(gx.adam(0.1), P("heads")).init(tree)
        with says(r"`specs` must be a tree of PartitionSpecs.*\['v'\].*\['w'\]"):
            sharded(gx.adam(0.1), {"v": P()}).init(tree)
        with says(r"`specs` at \['w'\] must be a PartitionSpec, not 'model'", TypeError):
            sharded(gx.adam(0.1), "model").init(tree)
    lies = says(r"`specs` says P\('data',\) of \['w'\], but it lies at P\(\)")
    with jax.set_mesh(jax.make_mesh((2, 4), ("data", "model"))), lies:
        sharded(gx.adam(0.1), P("data")).init(tree)
