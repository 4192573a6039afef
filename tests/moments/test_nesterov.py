"""Nesterov's momentum: the classical form, and that it is the rewritten one seen from ahead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx


def loss(w):
    """A quadratic with a nonlinear term."""
    curvature = jnp.asarray([0.2, 4.0, 1.0])
    return 0.5 * jnp.sum(curvature * w**2) + jnp.sum(jnp.cos(3 * w)) / 5


START = np.array([-1.0, 0.7, 2.0])
GRADIENT = jax.grad(loss)


def falling(count):
    return 0.1 / (1 + 0.05 * jnp.asarray(count, float))


def classical(tx, steps):
    """Yield the look-ahead points, at which the gradients are taken, and the parameters."""

    @jax.jit
    def step(w, state):
        ahead = gradtx.lookahead_point(w, state)
        w, state = tx.step(GRADIENT(ahead), state, w)
        return ahead, w, state

    w = jnp.asarray(START)
    state = tx.init(w)
    for _ in range(steps):
        ahead, w, state = step(w, state)
        yield ahead, w


@pytest.mark.parametrize("rate", [0.1, falling], ids=["constant rate", "schedule"])
def test_formula(rate, x64):
    """v = m v + lr grad J(w - m v); w -= v."""
    v, w, m = 0.0, START, 0.83
    for t, (_, got) in enumerate(classical(gradtx.nesterov_lookahead(rate, m), 100)):
        lr = 0.1 if rate == 0.1 else 0.1 / (1 + 0.05 * t)
        v = m * v + lr * np.asarray(GRADIENT(jnp.asarray(w - m * v)))
        w = w - v
        np.testing.assert_allclose(got, w, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rate", [0.1, falling], ids=["constant rate", "schedule"])
def test_rewritten_form_walks_the_points_ahead(rate, x64):
    """With y = w - m v the iterates y are those of the form for the gradient at hand."""
    rewritten = gradtx.chain(gradtx.scale_by_learning_rate(rate), gradtx.trace(0.9, nesterov=True))
    step = jax.jit(lambda y, state: rewritten.step(GRADIENT(y), state, y))
    y = jnp.asarray(START)
    state = rewritten.init(y)
    for ahead, _ in classical(gradtx.nesterov_lookahead(rate, 0.9), 100):
        np.testing.assert_allclose(ahead, y, rtol=0, atol=1e-12)
        y, state = step(y, state)


def test_sgd_has_the_same_iterates_at_constant_rate(x64):
    tx = gradtx.sgd(0.1, momentum=0.9, nesterov=True)
    y = jnp.asarray(START)
    state = tx.init(y)
    for ahead, _ in classical(gradtx.nesterov_lookahead(0.1, 0.9), 30):
        np.testing.assert_allclose(ahead, y, rtol=0, atol=1e-12)
        y, state = tx.step(GRADIENT(y), state, y)


def test_point_inside_a_chain_and_in_the_dtype_of_the_parameters():
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.nesterov_lookahead(0.5, 0.5))
    params = {"w": jnp.ones(4, jnp.bfloat16), "fixed": jnp.arange(3), "none": None}
    grads = {"w": jnp.ones(4, jnp.bfloat16), "fixed": None, "none": None}
    state = tx.init(params)
    params, state = tx.step(grads, state, params)
    point = gradtx.lookahead_point(params, state)
    assert point["w"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(params["w"].astype(jnp.float32), 0.75)
    np.testing.assert_array_equal(point["w"].astype(jnp.float32), 0.625)
    np.testing.assert_array_equal(point["fixed"], np.arange(3))


def test_point_of_other_optimizers_is_the_parameters():
    params = {"w": jnp.ones(3)}
    assert gradtx.lookahead_point(params, gradtx.adam(0.1).init(params)) is params
