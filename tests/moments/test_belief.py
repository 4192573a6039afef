"""AdaBelief against its algorithm."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

B1, B2, EPS, EPS_ROOT = 0.83, 0.96, 1e-4, 1e-6


@pytest.mark.parametrize("nesterov", [False, True])
def test_formula(nesterov):
    def loop(w, gradients):
        m = s = 0.0
        for t, g in enumerate(gradients, 1):
            m = B1 * m + (1 - B1) * g
            s = B2 * s + (1 - B2) * (g - m) ** 2 + EPS_ROOT
            mean = m / (1 - B1**t)
            if nesterov:
                mean = B1 * m / (1 - B1 ** (t + 1)) + (1 - B1) * g / (1 - B1**t)
            w = w + mean / (np.sqrt(s / (1 - B2**t)) + EPS)
            yield w

    tx = gradtx.scale_by_belief(B1, B2, EPS, EPS_ROOT, nesterov=nesterov)
    check_formula(tx, loop, tolerance=1e-11)


def test_steady_gradient_makes_long_steps():
    """The gradient is foreseen ever better, so steps grow; Adam's stay at 1."""
    params = {"w": jnp.zeros(1)}
    tx = gradtx.scale_by_belief(0.9, 0.99)
    state, sizes = tx.init(params), []
    for _ in range(20):
        u, state = tx.update({"w": jnp.ones(1)}, state)
        sizes.append(float(u["w"][0]))
    assert sizes == sorted(sizes) and sizes[-1] > 2.0


def test_zero_gradient_does_not_move_even_without_eps():
    params = {"w": jnp.zeros(2)}
    tx = gradtx.scale_by_belief(eps=0.0, eps_root=0.0)
    u, _ = tx.update(params, tx.init(params))
    assert np.array_equal(u["w"], [0.0, 0.0])
