"""AMSGrad: the maximum of the uncorrected moment."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

B1, B2, EPS = 0.83, 0.96, 1e-4


def amsgrad(correct_mu, correct_nu, eps_root=0.0):
    def loop(w, gradients):
        m = v = largest = np.zeros_like(w)
        for t, g in enumerate(gradients, 1):
            m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g**2
            largest = np.maximum(largest, v)
            n = m / (1 - B1**t if correct_mu else 1)
            square = largest / (1 - B2**t if correct_nu else 1)
            w = w + n / (np.sqrt(square + eps_root) + EPS)
            yield w

    return loop


@pytest.mark.parametrize("correct_mu", [False, True])
@pytest.mark.parametrize("correct_nu", [False, True])
def test_formula(correct_mu, correct_nu):
    tx = gradtx.scale_by_amsgrad(
        B1, B2, EPS, 1e-6, bias_correction_mu=correct_mu, bias_correction_nu=correct_nu
    )
    check_formula(tx, amsgrad(correct_mu, correct_nu, 1e-6))


@pytest.mark.parametrize("debias", [False, True])
def test_is_a_cell_of_the_grid(debias):
    cell = gradtx.parallel(
        gradtx.ema(B1, debias),
        gradtx.root_max_mean_square(B2, EPS, debias=debias),
        merge=gradtx.divide,
    )
    check_formula(cell, amsgrad(debias, debias))


def test_first_step_of_the_papers_form_is_long():
    """Nothing corrects the start: (1 - b1) / sqrt(1 - b2) = 3.16 for the defaults."""
    tx = gradtx.scale_by_amsgrad(eps=0.0)
    u, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    np.testing.assert_allclose(u, 0.1 / np.sqrt(0.001), rtol=1e-5)


def test_maximum_stays():
    tx = gradtx.scale_by_amsgrad(b2=0.5)
    state = tx.init(jnp.ones(1))
    for g in (1.0, 0.1, 0.1):
        _, state = tx.update(jnp.full(1, g), state)
    np.testing.assert_allclose(state.nu_max, 0.5)
    assert float(state.nu[0]) < 0.2
