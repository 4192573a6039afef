"""What users of optimizers ask for: numbers out of a chain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.array([[3.0, 0.0], [0.0, 4.0]]), "b": jnp.array([12.0])}


def warming(count):
    """Return a learning rate that rises with the step."""
    return 0.01 * (1.0 + jnp.asarray(count, jnp.float32))


def test_learning_rate_and_norms_come_out_of_a_plain_adamw():
    """The rate of an ordinary adamw is nowhere in its state: one had to copy its schedule.

    optax#206, optax#312, optax#326, optax#363, optax#424 and optax#1036 ask for it; in
    tinker-cookbook#275 the norm is there only if clipping is on.
    """
    plain = gx.adamw(warming)
    with pytest.raises(ValueError, match=r"without one\. Wrap the transformation in with_metrics"):
        gx.metrics(plain.init(PARAMS))

    tx = gx.with_metrics(plain, "learning_rate", "grad_norm", "update_norm", "param_norm")

    @jax.jit
    def train_step(params, state):
        updates, state = tx.update(params, state, params)  # the loop is as it was
        return gx.apply_updates(params, updates), state

    params, state, rows = PARAMS, tx.init(PARAMS), []
    for _ in range(3):
        params, state = train_step(params, state)
        rows.append({name: float(x) for name, x in gx.metrics(state).items()})
    np.testing.assert_allclose([row["learning_rate"] for row in rows], [0.01, 0.02, 0.03], 1e-6)
    np.testing.assert_allclose(rows[0]["grad_norm"], 13.0, 1e-6)
    assert all(row["update_norm"] > 0 for row in rows)


@pytest.mark.peers
def test_a_training_state_of_flax_is_searched():
    from flax.training import train_state

    tx = gx.with_metrics(gx.sgd(0.1))
    state = train_state.TrainState.create(apply_fn=lambda p: p, params=PARAMS, tx=tx)
    state = jax.jit(lambda s: s.apply_gradients(grads=s.params))(state)
    assert {n: round(float(x), 3) for n, x in gx.metrics(state).items()} == {
        "learning_rate": 0.1,
        "grad_norm": 13.0,
        "update_norm": 1.3,
    }


def test_a_line_search_says_how_it_went():
    """Whether a line search of L-BFGS found a step, and how far it went (optax#1201, jax#36794)."""

    def loss(w):
        return jnp.sum((w - 1) ** 4)

    tx = gx.with_metrics(gx.lbfgs(), "step_size", "linesearch_steps", "decrease_error")

    @jax.jit
    def step(w, state):
        value, grad = jax.value_and_grad(loss)(w)
        return tx.step(grad, state, w, value=value, grad=grad, value_fn=loss)

    w = jnp.array([3.0, -2.0])
    _, state = step(w, tx.init(w))
    found = gx.metrics(state)
    assert found["step_size"] > 0
    assert found["linesearch_steps"] >= 1
    assert found["decrease_error"] <= 0  # the condition of sufficient decrease holds
