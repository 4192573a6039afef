"""Adam: the paper's two orders, Nesterov's numerator, and Adam as a cell of the grid."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

B1, B2, EPS, EPS_ROOT = 0.83, 0.96, 1e-4, 1e-6


def adam(numerator="mean", eps_hat=False, eps=EPS, eps_root=EPS_ROOT):
    """Return the loop of the paper with one of the numerators."""

    def loop(w, gradients):
        m = v = 0.0
        for t, g in enumerate(gradients, 1):
            m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g**2
            n = m / (1 - B1**t)
            if numerator == "nesterov":
                n = B1 * m / (1 - B1 ** (t + 1)) + (1 - B1) * g / (1 - B1**t)
            if eps_hat:
                w = w + np.sqrt(1 - B2**t) * n / (np.sqrt(v + eps_root) + eps)
            else:
                w = w + n / (np.sqrt(v / (1 - B2**t) + eps_root) + eps)
            yield w

    return loop


@pytest.mark.parametrize("eps_hat", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
def test_formula(nesterov, eps_hat):
    tx = gradtx.scale_by_adam(B1, B2, EPS, EPS_ROOT, nesterov=nesterov, eps_hat=eps_hat)
    check_formula(tx, adam("nesterov" if nesterov else "mean", eps_hat))


def test_is_a_cell_of_the_grid():
    """A debiased mean over a debiased root mean square."""
    cell = gradtx.parallel(gradtx.ema(B1), gradtx.root_mean_square(B2, EPS), merge=gradtx.divide)
    check_formula(cell, adam(eps_root=0.0))


def test_nesterov_is_a_cell_of_the_grid_up_to_its_correction():
    """The lecture's Nadam: Nesterov's mean, corrected once, over a root mean square."""
    numerator = gradtx.chain(
        gradtx.scale_by_momentum(B1, form="ema", nesterov=True), gradtx.correct_bias(B1)
    )
    cell = gradtx.parallel(numerator, gradtx.root_mean_square(B2, EPS), merge=gradtx.divide)

    def loop(w, gradients):
        m = v = 0.0
        for t, g in enumerate(gradients, 1):
            m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g**2
            n = (B1 * m + (1 - B1) * g) / (1 - B1**t)
            w = w + n / (np.sqrt(v / (1 - B2**t)) + EPS)
            yield w

    check_formula(cell, loop)
    check_formula(gradtx.scale_by_nadam(B1, B2, EPS, one_correction=True), loop)


def test_adam_with_global_decay_is_composed():
    """Momentum over the root of a mean square, with a rate that falls as 1 / sqrt(t / N)."""
    lr, n, eps = 0.01, 50.0, 1e-6
    direction = gradtx.parallel(
        gradtx.ema(B1, debias=False),
        gradtx.root_mean_square(B2, eps, eps_in_sqrt=True, debias=False),
        merge=gradtx.divide,
    )
    rate = gradtx.scale_by_learning_rate(lambda count: lr / jnp.sqrt((count + 1).astype(float) / n))

    def loop(w, gradients):
        m = u = 0.0
        for t, g in enumerate(gradients, 1):
            m, u = B1 * m + (1 - B1) * g, B2 * u + (1 - B2) * g**2
            w = w - lr / np.sqrt(u + eps) / np.sqrt(t / n) * m
            yield w

    check_formula(gradtx.chain(direction, rate), loop)


def test_first_step_with_a_large_eps_in_both_orders():
    """In the cheaper order the same eps counts for 1 / sqrt(1 - b2) as much at first."""
    params = jnp.zeros(())
    for eps_hat, expected in ((False, 1 / 2), (True, np.sqrt(0.1) / (np.sqrt(0.1) + 1))):
        tx = gradtx.scale_by_adam(0.9, 0.9, eps=1.0, eps_hat=eps_hat)
        u, _ = tx.update(jnp.ones(()), tx.init(params))
        np.testing.assert_allclose(u, expected, rtol=1e-6)


def test_units_the_scale_of_the_loss_does_not_matter():
    tx = gradtx.scale_by_adam(eps=0.0)
    g = jnp.asarray([1e-3, -2.0, 0.0])
    small, _ = tx.update(g, tx.init(g))
    large, _ = tx.update(1e6 * g, tx.init(g))
    np.testing.assert_allclose(small, large, rtol=1e-5)
    np.testing.assert_allclose(small, [1.0, -1.0, 0.0], rtol=1e-5)
