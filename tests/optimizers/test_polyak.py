"""Gradient descent with Polyak's step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import run_steps


@pytest.mark.parametrize("variant", ["sps", "sps+"])
def test_formula(variant, x64):
    rng = np.random.default_rng(0)
    gradients = list(rng.normal(size=(30, 5)))
    values = rng.normal(size=30) + 0.5
    c, most, least, eps = 0.7, 0.3, 0.1, 0.05
    w = rng.normal(size=5)
    tx = gradtx.polyak_sgd(most, c, least, eps, variant)
    ours = run_steps(
        tx, jnp.asarray(w), [jnp.asarray(g) for g in gradients], [{"value": v} for v in values]
    )
    for got, g, value in zip(ours, gradients, values, strict=True):
        gap = max(value - least, 0.0) if variant == "sps+" else value - least
        w = w - min(gap / (c**2 * np.sum(g**2) + eps), most) * c * g
        np.testing.assert_allclose(got, w, rtol=1e-12, atol=1e-12)


def test_interpolation_converges_without_a_rate():
    """A loss that every sample can bring to zero, at a known minimum of 0."""
    rng = np.random.default_rng(0)
    inputs, solution = rng.normal(size=(20, 5)), rng.normal(size=5)
    targets = inputs @ solution

    def loss(w, x, y):
        return (x @ w - y) ** 2

    w = jnp.zeros(5)
    tx = gradtx.polyak_sgd(max_learning_rate=10.0)
    state = tx.init(w)
    step = jax.jit(tx.step)
    for k in range(400):
        x, y = jnp.asarray(inputs[k % 20], jnp.float32), jnp.float32(targets[k % 20])
        value, g = jax.value_and_grad(loss)(w, x, y)
        w, state = step(g, state, w, value=value)
    np.testing.assert_allclose(w, solution, atol=1e-2)
