"""Adadelta: the average of the steps is the one before this step."""

import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.testing import check_formula


def test_formula():
    rho, eps = 0.83, 1e-4

    def loop(w, gradients):
        s = x = 0.0
        for g in gradients:
            s = rho * s + (1 - rho) * g**2
            d = np.sqrt(x + eps) / np.sqrt(s + eps) * g
            x = rho * x + (1 - rho) * d**2
            w = w + d
            yield w

    check_formula(gradtx.scale_by_adadelta(rho, eps), loop)


def test_first_step_does_not_see_itself():
    tx = gradtx.scale_by_adadelta(0.9, 1e-6)
    u, state = tx.update(jnp.full(2, 10.0), tx.init(jnp.zeros(2)))
    np.testing.assert_allclose(u, np.sqrt(1e-6 / 0.1), rtol=1e-5)
    np.testing.assert_allclose(state.e_x, 0.1 * 1e-6 / 0.1, rtol=1e-5)
