"""Masks, leaves that are no arrays, missing gradients, abstract parameters, donation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.typing import PerParam

PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}


class Module:
    """A pytree that can be called, as models are."""

    def __init__(self, w):
        self.w = w

    def __call__(self, x):
        raise AssertionError("data was taken for a function")


jax.tree_util.register_pytree_node(Module, lambda m: ((m.w,), None), lambda _, c: Module(*c))


class Velocity(NamedTuple):
    """What a masked rule remembers."""

    trace: PerParam


def _gathered(g, state, p, h):
    velocity = h.decay * state.trace + g
    return velocity, Velocity(velocity)


def masked(mask):
    """Return a rule with state and a mask."""
    return gx.lift(gx.Rule(_gathered, state=Velocity), where=mask, decay=0.9)


@pytest.mark.parametrize(
    "mask",
    [
        {"w": True, "b": False},
        {"w": np.bool_(True), "b": np.False_},
        lambda params: {"w": True, "b": False},
        lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
    ],
)
def test_masked_leaf_has_no_state_and_passes(mask):
    tx = masked(mask)
    state = tx.init(PARAMS)
    assert state.trace["b"] is None
    assert len(jax.tree.leaves(state)) == 1
    for _ in range(2):
        updates, state = tx.update(PARAMS, state, PARAMS)
    np.testing.assert_allclose(updates["w"], 1.9 * PARAMS["w"])
    np.testing.assert_array_equal(updates["b"], PARAMS["b"])
    assert state.trace["b"] is None


def test_prefix_of_a_mask():
    params = {"encoder": PARAMS, "decoder": PARAMS}
    state = masked({"encoder": True, "decoder": False}).init(params)
    assert state.trace["decoder"] == {"w": None, "b": None}
    assert state.trace["encoder"]["w"].shape == (2, 3)
    assert jax.tree.leaves(masked(False).init(params)) == []


def test_module_as_params_and_as_mask():
    params = Module(jnp.ones(3))
    tx = masked(Module(False))
    updates, state = tx.update(params, tx.init(params), params)
    np.testing.assert_array_equal(updates.w, params.w)
    assert state.trace.w is None


def test_leaves_that_are_no_arrays_have_no_state():
    params = {
        "w": jnp.ones(3),
        "int": jnp.arange(3),
        "bool": jnp.array([True]),
        "key": jax.random.key(0),
        "none": None,
        "string": "relu",
        "function": jnp.tanh,
    }
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))
    state = tx.init(params)
    assert len(jax.tree.leaves(state[1][0].mu)) == 1
    grads = dict.fromkeys(params) | {"w": jnp.ones(3)}
    updates, state = tx.update(grads, state, params)
    assert {k for k, v in updates.items() if v is not None} == {"w"}
    moved = gx.apply_updates(params, updates)
    assert moved["function"] is jnp.tanh
    assert moved["int"] is params["int"]


def test_float0_gradients():
    """`jax.grad(allow_int=True)` gives float0 for integers."""
    params = {"w": jnp.ones(3), "i": jnp.arange(3)}
    grads = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    tx = gx.adam(0.1)
    params, _ = tx.step(grads, tx.init(params), params)
    np.testing.assert_array_equal(params["i"], np.arange(3))
    np.testing.assert_allclose(params["w"], 0.9 * np.ones(3), rtol=1e-6)


def test_none_gradient_leaves_its_parameter_alone():
    tx = gx.adamw(0.1, weight_decay=0.5)
    state = tx.init(PARAMS)
    updates, state = tx.update({"w": PARAMS["w"], "b": None}, state, PARAMS)
    assert updates["b"] is None
    np.testing.assert_array_equal(state[0].mu["b"], np.zeros(3))
    np.testing.assert_array_equal(gx.apply_updates(PARAMS, updates)["b"], PARAMS["b"])
    updates, _ = tx.update(PARAMS, state, PARAMS)  # and it may come back
    assert np.all(updates["b"] < 0)


def test_python_numbers_are_parameters():
    params = {"a": 1.0, "z": 1 + 1j}
    tx = gx.sgd(0.5, momentum=0.9)
    updates, state = tx.update({"a": 2.0, "z": 1j}, tx.init(params), params)
    np.testing.assert_allclose(updates["a"], -1.0)
    np.testing.assert_allclose(updates["z"], -0.5j)
    assert state[0].trace["z"].dtype == jnp.complex64


def test_numpy_params_and_gradients():
    params = {"w": np.ones(3, np.float32)}
    tx = gx.adam(0.1)
    updates, _ = tx.update(params, tx.init(params), params)
    np.testing.assert_allclose(updates["w"], -0.1 * np.ones(3), rtol=1e-5)


@pytest.mark.parametrize("empty", [{}, [], (), {"a": {}, "b": [None]}])
def test_empty_trees(empty):
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))
    updates, _ = tx.update(empty, tx.init(empty), empty)
    assert updates == empty


def test_abstract_params_give_abstract_state():
    params = {"w": jax.ShapeDtypeStruct((2, 3), jnp.bfloat16), "none": None}
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1), gx.trace(0.9))
    state = tx.init(params)
    for leaf in jax.tree.leaves(state):
        assert isinstance(leaf, jax.ShapeDtypeStruct)
    assert state[1][0].mu["w"] == jax.ShapeDtypeStruct((2, 3), jnp.float32)
    concrete = tx.init({"w": jnp.ones((2, 3), jnp.bfloat16), "none": None})
    assert jax.tree.structure(state) == jax.tree.structure(concrete)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), concrete
    )


def test_donating_params_and_state_together():
    tx = gx.adamw(0.1)

    @jax.jit
    def gradient(params):
        return jax.tree.map(lambda p: p + 1, params)

    step = jax.jit(tx.step, donate_argnums=(1, 2))
    params = jax.tree.map(jnp.copy, PARAMS)
    state = tx.init(params)
    for _ in range(3):
        params, state = step(gradient(params), state, params)
    assert state[0].count == 3


def test_state_that_starts_at_the_params_has_its_own_buffers():
    def start(p, h):
        return {"trace": p}

    rule = gx.Rule(_gathered, state=Velocity, init=start)
    params = {"w": jnp.ones(3)}
    state = gx.lift(rule, decay=0.9).init(params)
    assert state.trace["w"].unsafe_buffer_pointer() != params["w"].unsafe_buffer_pointer()


def test_apply_updates_keeps_what_has_no_update():
    params = {"w": jnp.ones(3), "i": jnp.arange(3), "n": None, "f": jnp.tanh}
    moved = gx.apply_updates(params, {"w": None, "i": None, "n": None, "f": None})
    assert all(moved[k] is params[k] for k in params)
