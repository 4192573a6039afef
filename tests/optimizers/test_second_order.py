"""AdaHessian and Sophia as a whole, on a loss whose Hessian is diagonal, so that signs cancel."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

C = np.array([0.1, 1.0, 10.0, -0.5])  # the loss is the sum of c cosh(w) + c^2 w
W = np.array([1.0, -0.5, 0.3, 2.0])


def loss(params):
    """Return the loss of {"w": array}."""
    return jnp.sum(C * jnp.cosh(params["w"]) + C**2 * params["w"])


def trajectory(tx, steps=12):
    """Return the parameters after each step."""

    @jax.jit
    def step(params, state):
        return tx.step(jax.grad(loss)(params), state, params, obj_fn=loss)

    params, found = {"w": jnp.asarray(W)}, []
    state = tx.init(params)
    for _ in range(steps):
        params, state = step(params, state)
        found.append(params["w"])
    return found


def test_adahessian_formula(x64):
    every, lr, b1, b2, eps, power, decay = 3, 0.05, 0.8, 0.9, 1e-3, 0.7, 0.1
    tx = gradtx.adahessian(
        lr, b1, b2, eps, power, weight_decay=decay, mask={"w": True}, update_interval=every
    )
    w, m, v, n = W, 0.0, 0.0, 0
    for t, got in enumerate(trajectory(tx), 1):
        m = b1 * m + (1 - b1) * (C * np.sinh(w) + C**2)
        if (t - 1) % every == 0:
            v, n = b2 * v + (1 - b2) * (C * np.cosh(w)) ** 2, n + 1
        denominator = np.sqrt(v / (1 - b2**n)) ** power + eps
        w = w - lr * (m / (1 - b1**t) / denominator + decay * w)
        np.testing.assert_allclose(got, w, rtol=1e-12)


def test_sophia_formula(x64):
    every, lr, b1, b2, eps, decay, gamma, clip = 3, 0.05, 0.8, 0.6, 1e-3, 0.1, 0.5, 0.9
    tx = gradtx.sophia(
        lr, b1, b2, eps, decay, gamma=gamma, clip_threshold=clip, update_interval=every
    )
    w, m, h = W, 0.0, 0.0
    for t, got in enumerate(trajectory(tx), 1):
        m = b1 * m + (1 - b1) * (C * np.sinh(w) + C**2)
        if (t - 1) % every == 0:
            h = b2 * h + (1 - b2) * C * np.cosh(w)
        w = w - lr * (np.clip(m / np.maximum(gamma * h, eps), -clip, clip) + decay * w)
        np.testing.assert_allclose(got, w, rtol=1e-12)


@pytest.mark.slow
def test_sophia_g_takes_labels_that_the_model_draws():
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(16, 3)), jnp.float32)
    targets = jnp.argmax(inputs, axis=1)

    def negative_log_likelihood(params, labels):
        logs = jax.nn.log_softmax(inputs @ params)
        return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], axis=1))

    def sampled(params, key):
        labels = jax.random.categorical(key, inputs @ params)
        return negative_log_likelihood(params, labels), labels.size

    tx = gradtx.sophia(
        0.1,
        gamma=0.05,
        update_interval=2,
        hessian_diagonal_fn=gradtx.gauss_newton_bartlett_estimator(1),
    )
    params = jnp.zeros((3, 3))
    state = tx.init(params)
    before = negative_log_likelihood(params, targets)

    @jax.jit
    def step(params, state):
        g = jax.grad(negative_log_likelihood)(params, targets)
        return tx.step(g, state, params, sampled_loss_fn=sampled)

    for _ in range(30):
        params, state = step(params, state)
    assert bool(jnp.all(state[0].inner_state.nu > 0))
    assert float(negative_log_likelihood(params, targets)) < 0.5 * float(before)


def test_no_entry_of_sophia_moves_further_than_the_rate():
    path = [jnp.asarray(W), *trajectory(gradtx.sophia(0.05, weight_decay=0.0))]
    for a, b in itertools.pairwise(path):
        assert float(jnp.max(jnp.abs(b - a))) <= 0.05 * (1 + 1e-4)
