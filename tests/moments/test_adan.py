"""Adan against its algorithm."""

import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.testing import check_formula

B1, B2, B3, EPS, EPS_ROOT = 0.9, 0.7, 0.96, 1e-3, 1e-6


def test_formula():
    """In the paper's own letters: beta = 1 - b."""
    beta1, beta2, beta3 = 1 - B1, 1 - B2, 1 - B3

    def loop(w, gradients):
        m = v = n = 0.0
        before = gradients[0]
        for t, g in enumerate(gradients, 1):
            d, before = g - before, g
            m = (1 - beta1) * m + beta1 * g
            v = (1 - beta2) * v + beta2 * d
            n = (1 - beta3) * n + beta3 * (g + (1 - beta2) * d) ** 2
            ahead = m / (1 - B1**t) + (1 - beta2) * v / (1 - B2**t)
            w = w + ahead / (np.sqrt(n / (1 - B3**t) + EPS_ROOT) + EPS)
            yield w

    check_formula(gradtx.scale_by_adan(B1, B2, B3, EPS, EPS_ROOT), loop, tolerance=1e-11)


def test_steady_gradient_is_adams():
    """Without change Adan's step is that of Adam, of length 1."""
    params = {"w": jnp.zeros(1)}
    tx = gradtx.scale_by_adan()
    state = tx.init(params)
    for _ in range(5):
        u, state = tx.update({"w": jnp.full(1, 7.0)}, state)
        np.testing.assert_allclose(u["w"], 1.0, rtol=1e-6)
    assert int(state.t) == 5
