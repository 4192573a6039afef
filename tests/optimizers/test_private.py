"""Gradient descent with differential privacy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

X = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
Y = X @ np.asarray([1.0, -2.0, 0.5], "float32")


def loss(w, x, y):
    return jnp.square(x @ w - y) / 2


GRADIENTS = jax.jit(jax.vmap(jax.grad(loss), (None, 0, 0)))


@pytest.mark.parametrize(("momentum", "nesterov"), [(None, False), (0.9, False), (0.9, True)])
def test_formula(momentum, nesterov):
    """Abadi et al., Algorithm 1, in float64, without noise."""
    tx = gx.dpsgd(0.1, 0.5, 0.0, 0, momentum, nesterov)
    w = v = np.zeros(3)
    params = jnp.zeros(3)
    state = tx.init(params)
    for _ in range(5):
        params, state = tx.step(GRADIENTS(params, X, Y), state, params)
        g = (X @ w - Y)[:, None] * X
        g = np.mean(g / np.maximum(1, np.linalg.norm(g, axis=1) / 0.5)[:, None], axis=0)
        v = g if momentum is None else g + momentum * v
        w = w - 0.1 * (g + momentum * v if nesterov else v)
    np.testing.assert_allclose(params, w, rtol=1e-5)


def test_it_learns_under_noise():
    tx, w = gx.dpsgd(0.5, 1.0, 0.3, jax.random.key(1)), jnp.zeros(3)
    step = jax.jit(lambda w, state: tx.step(GRADIENTS(w, X, Y), state, w))
    state = tx.init(w)
    for _ in range(60):
        w, state = step(w, state)
    np.testing.assert_allclose(w, [1.0, -2.0, 0.5], atol=0.1)


def test_state_is_a_tuple_of_three_as_in_optax():
    state = gx.dpsgd(0.1, 1.0, 1.0, 0).init(jnp.zeros(3))
    assert [type(s).__name__ for s in state] == [
        "DifferentiallyPrivateAggregateState",
        "EmptyState",
        "EmptyState",
    ]


def test_key_and_seed_are_the_same():
    tx, g = gx.dpsgd(0.1, 1.0, 1.0, key=jax.random.key(3)), jnp.ones((2, 3))
    other = gx.dpsgd(0.1, 1.0, 1.0, 3)
    updates = [t.update(g, t.init(jnp.ones(3)), jnp.ones(3))[0] for t in (tx, other)]
    np.testing.assert_array_equal(*updates)
    for wrong in ({}, {"seed": 1, "key": 1}):
        with pytest.raises(ValueError, match="dpsgd: exactly one of `key` and `seed`"):
            gx.dpsgd(0.1, 1.0, 1.0, **wrong)
