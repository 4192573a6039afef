"""Zeros in place of updates, and of those that are nan."""

import jax
import jax.numpy as jnp
import numpy as np

import gradtx


def test_set_to_zero():
    g = {"w": jnp.array([1.0, np.nan, np.inf], jnp.bfloat16), "n": jnp.arange(2)}
    u, _ = gradtx.set_to_zero().update(g, gradtx.EmptyState())
    assert np.array_equal(u["w"], np.zeros(3))
    assert u["w"].dtype == jnp.bfloat16
    assert np.array_equal(u["n"], [0, 1])


def test_zero_nans_says_where():
    params = {"a": jnp.zeros(3), "b": jnp.zeros((2, 2)), "c": jnp.zeros((), jnp.complex64)}
    tx = gradtx.zero_nans()
    state = tx.init(params)
    assert jax.tree.map(bool, state.found_nan) == {"a": False, "b": False, "c": False}
    g = {
        "a": jnp.array([1.0, np.nan, np.inf]),
        "b": jnp.full((2, 2), 2.0),
        "c": jnp.array(1 + 1j * np.nan, jnp.complex64),
    }
    u, state = jax.jit(tx.update)(g, state)
    assert np.array_equal(u["a"], [1.0, 0.0, np.inf])
    assert np.array_equal(u["b"], g["b"])
    assert complex(u["c"]) == 0
    assert jax.tree.map(bool, state.found_nan) == {"a": True, "b": False, "c": True}
    assert state.found_nan["a"].dtype == bool and state.found_nan["a"].shape == ()
    _, state = tx.update(params, state)
    assert not any(jax.tree.leaves(state.found_nan)), "it is about the last update only"
