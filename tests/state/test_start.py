"""States that are like another one: several runs in one, containers, devices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import export, reset, resize, restore
from tests.state.filled import filled

PARAMS = {"a": {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}, "c": jnp.ones(2)}
ADAM = gx.adamw(0.1)
SWEPT = gx.tunable(gx.adam(0.1), "learning_rate")


def same(left, right):
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(x, y)


def sweep(*rates, tx=SWEPT):
    params, states = gx.sweep(tx, PARAMS, learning_rate=list(rates))
    return jax.vmap(lambda p, s: tx.step(p, s, p))(params, states)


def test_states_of_several_runs_are_restored_like_others():
    params, states = sweep(0.1, 0.2)
    file = export(SWEPT, states, to_host=True)
    with pytest.raises(ValueError, match=r"of 2 runs in one.*restore\(\.\.\., like=states\)"):
        restore(SWEPT, params, file)
    again, report = restore(SWEPT, None, file, like=sweep(0.1, 0.2)[1])
    same(again, states)
    assert report.exact and report.hints == ()
    (hint,) = restore(SWEPT, None, file, like=sweep(0.1, 0.4)[1])[1].hints
    assert "is 0.1 to 0.2 as saved, 0.1 to 0.4 in `like`" in hint
    one_each = jax.vmap(lambda p, x: restore(SWEPT, p, x)[0])
    same(one_each(params, {k: v for k, v in file.items() if "version" not in k}), states)


def test_what_starts_anew_is_as_like_has_it():
    _, states = sweep(0.1, 0.2)
    file = export(SWEPT, states, to_host=True)
    tx = gx.with_ema(SWEPT, 0.9)
    params, like = gx.sweep(tx, PARAMS, learning_rate=[0.1, 0.2])
    state, report = restore(tx, None, file, like=like, missing="init", counts="saved")
    same(state.average, like.average)
    same(state.inner_state, states)
    assert "with_ema/average/c" in report.missing
    step = jax.jit(jax.vmap(lambda p, s: tx.step(p, s, p)), donate_argnums=1)
    step(params, state)
    jax.tree.map(np.asarray, like)  # which is still there
    described = jax.eval_shape(lambda x: x, like)
    with pytest.raises(ValueError, match="so `like` must have it as an array"):
        restore(tx, None, file, like=described, missing="init")
    same(restore(SWEPT, None, file, like=described.inner_state)[0], states)


def test_containers_and_devices_of_like_are_taken():
    class Boxed(NamedTuple):
        value: object

    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    like = jax.device_put(jax.tree.map(Boxed, ADAM.init(PARAMS)), everywhere)
    state, _ = restore(ADAM, None, export(ADAM, filled(ADAM, PARAMS)), like=like)
    assert jax.tree.structure(state) == jax.tree.structure(like)
    assert all(x.sharding == everywhere for x in jax.tree.leaves(state))
    same(jax.tree.leaves(state), jax.tree.leaves(filled(ADAM, PARAMS)))
    only_described = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
    )
    state, _ = restore(ADAM, None, export(ADAM, filled(ADAM, PARAMS)), like=only_described)
    assert all(x.sharding == everywhere for x in jax.tree.leaves(state))


def test_a_swept_state_is_reset():
    tx = gx.tunable(gx.adam(0.1), "learning_rate")
    params, states = gx.sweep(tx, PARAMS, learning_rate=[0.1, 0.2])
    params, states = jax.vmap(lambda p, s: tx.step(p, s, p))(params, states)
    new = reset(tx, states, params)
    same(new.inner_state[0].count, np.zeros(2))
    same(new.hyperparams["learning_rate"], states.hyperparams["learning_rate"])


def test_resize_of_a_swept_state():
    tx = gx.tunable(gx.adam(0.1), "learning_rate")
    rates = {"learning_rate": [0.1, 0.2]}
    params, states = gx.sweep(tx, PARAMS, rates)
    params, states = jax.vmap(lambda p, s: tx.step(p, s, p))(params, states)
    wider, like = gx.sweep(tx, PARAMS | {"c": jnp.ones(4)}, rates)
    new, report = resize(tx, states, params, wider, like=like)
    assert jax.tree.structure(new) == jax.tree.structure(like)
    same(new.inner_state[0].mu["c"][:, :2], states.inner_state[0].mu["c"])
    same(new.inner_state[0].count, np.ones(2))
    assert report.grown["scale_by_adam/mu/c"] == ((2, 2), (2, 4))
