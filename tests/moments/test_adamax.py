"""Adamax: the infinity norm in the denominator."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

B1, B2 = 0.83, 0.96


def adamax(eps):
    def loop(w, gradients):
        m = u = np.zeros_like(w)
        for t, g in enumerate(gradients, 1):
            m, u = B1 * m + (1 - B1) * g, np.maximum(B2 * u, np.abs(g) + eps)
            seen = np.where(u > 0, u, 1)
            w = w + m / (1 - B1**t) / seen
            yield w

    return loop


@pytest.mark.parametrize("eps", [0.0, 0.01])
def test_formula(eps):
    check_formula(gradtx.scale_by_adamax(B1, B2, eps), adamax(eps))


@pytest.mark.parametrize("eps", [0.0, 0.01])
def test_is_a_cell_of_the_grid(eps):
    cell = gradtx.parallel(gradtx.ema(B1), gradtx.infinity_norm(B2, eps), merge=gradtx.divide)
    check_formula(cell, adamax(eps))


def test_zero_gradients_from_the_start_stay_finite():
    tx = gradtx.scale_by_adamax()
    state = tx.init(jnp.zeros(3))
    for _ in range(5):
        u, state = tx.update(jnp.zeros(3), state)
        np.testing.assert_array_equal(u, 0.0)
    u, _ = tx.update(jnp.ones(3), state)
    np.testing.assert_allclose(u, 0.1 / (1 - 0.9**6), rtol=1e-6)
