"""Where state lives: `init` without jit puts it where its parameter is."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx

OPTIMIZERS = [gx.adam(0.1), gx.adafactor(0.1), gx.sm3(0.1), gx.chain(gx.moving_average(2))]


def shardings_of_full_size(state, p):
    return {x.sharding for x in jax.tree.leaves(state) if x.ndim == p.ndim and x.size >= p.size}


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("tx", OPTIMIZERS)
def test_state_is_sharded_like_its_parameter(tx, axis_type):
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(axis_type,) * 2)
    sharding = NamedSharding(mesh, P("data", "model"))
    params = {"w": jax.device_put(jnp.ones((8, 16)), sharding)}
    state = tx.init(params)
    found = shardings_of_full_size(state, params["w"])
    assert all(x.device_set == sharding.device_set for x in found)
    same = [x for x in jax.tree.leaves(state) if x.shape == params["w"].shape]
    assert all(x.sharding.is_equivalent_to(sharding, 2) for x in same)


def test_state_is_on_the_device_of_its_parameter():
    device = jax.devices()[3]
    params = jax.device_put({"w": jnp.ones(3)}, device)
    state = gx.scale_by_adam().init(params)
    assert state.mu["w"].devices() == {device} and state.nu["w"].devices() == {device}
