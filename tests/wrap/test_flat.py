"""All leaves as one vector: what is taken over an array is taken over all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"a": jnp.array([[3.0, 0.0]]), "b": jnp.array([4.0]), "n": jnp.arange(2), "x": None}
GRADIENTS = PARAMS | {"n": None}


def test_a_norm_of_one_array_is_that_of_all():
    tx = gx.flatten(gx.clip_by_block_norm(1.0))
    updates, _ = tx.update(GRADIENTS, tx.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["a"], [[0.6, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], [0.8], rtol=1e-6)
    assert updates["n"] is None


def test_elementwise_rules_do_not_notice():
    flat, bare = gx.flatten(gx.adamw(0.1)), gx.adamw(0.1)
    state, other, params = flat.init(PARAMS), bare.init(PARAMS), PARAMS
    assert state[0].mu.shape == (3,)
    for _ in range(3):
        params, state = jax.jit(flat.step)(GRADIENTS, state, params)
    expected = PARAMS
    for _ in range(3):
        expected, other = jax.jit(bare.step)(GRADIENTS, other, expected)
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_leaves_of_different_dtypes():
    params = {"half": jnp.ones(2, jnp.float16), "z": jnp.full(1, 3 + 4j), "w": jnp.ones(())}
    tx = gx.flatten(gx.normalize_by_block_norm())
    updates, _ = tx.update(params, tx.init(params))
    assert jax.tree.map(lambda u: u.dtype, updates) == jax.tree.map(lambda p: p.dtype, params)
    np.testing.assert_allclose(updates["z"], (3 + 4j) / np.sqrt(28), rtol=1e-6)
    np.testing.assert_allclose(updates["w"], 1 / np.sqrt(28), rtol=1e-6)


def test_a_missing_gradient_keeps_its_place():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    tx = gx.flatten(gx.trace(0.5))
    _, state = tx.update(params, tx.init(params), params)
    updates, state = tx.update({"a": None, "b": jnp.ones(2)}, state, params)
    assert updates["a"] is None
    np.testing.assert_array_equal(updates["b"], [1.5, 1.5])
    np.testing.assert_array_equal(state.trace, [0.5, 0.5, 1.5, 1.5])


def test_trees_without_arrays():
    tx = gx.flatten(gx.adam(0.1))
    updates, _ = tx.update({"x": None}, tx.init({"x": None}))
    assert updates == {"x": None}


def test_rounding_inside_of_parameters_that_differ_in_dtype():
    tx = gx.flatten(gx.with_rounding(gx.sgd(0.1), "kahan"))
    mixed = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2)}
    with pytest.raises(
        ValueError,
        match=r"^flatten: `with_rounding` goes by the dtype of each parameter, but here they are "
        r"bfloat16 and float32, .* Put it around: with_rounding\(flatten\(...\), ...\)\.$",
    ):
        tx.init(mixed)
    tx.init({"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2, jnp.bfloat16)})
