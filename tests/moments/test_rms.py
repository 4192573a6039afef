"""RMSProp, plain and centred, with eps inside and outside."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

DECAY, EPS = 0.83, 1e-4


def rms(centered, start, inside, correct):
    def loop(w, gradients):
        m, s = 0.0, start
        for t, g in enumerate(gradients, 1):
            m, s = DECAY * m + (1 - DECAY) * g, DECAY * s + (1 - DECAY) * g**2
            c = 1 - DECAY**t if correct else 1
            square = s / c - ((m / c) ** 2 if centered else 0)
            w = w + g / (np.sqrt(square + EPS) if inside else np.sqrt(square) + EPS)
            yield w

    return loop


@pytest.mark.parametrize("correct", [False, True])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("start", [0.0, 2.5])
@pytest.mark.parametrize("centered", [False, True])
def test_formula(centered, start, inside, correct):
    constructor = gradtx.scale_by_stddev if centered else gradtx.scale_by_rms
    tx = constructor(DECAY, EPS, start, inside, correct)
    # A difference of nearly equal numbers loses digits, and a zero gradient makes one.
    rng = np.random.default_rng(3)
    gradients = [rng.normal(size=(3, 4)) + 0.5 for _ in range(100)]
    loop = rms(centered, start, inside, correct)
    if centered and correct and start == 0.0:
        # The first deviation is 0 but for rounding: it is compared from the second step on.
        gradients[0] = np.zeros((3, 4))
    check_formula(tx, loop, gradients=gradients, tolerance=1e-12)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("correct", [False, True])
def test_is_a_cell_of_the_grid(inside, correct):
    cell = gradtx.parallel(
        gradtx.identity(),
        gradtx.root_mean_square(DECAY, EPS, eps_in_sqrt=inside, debias=correct),
        merge=gradtx.divide,
    )
    check_formula(cell, rms(False, 0.0, inside, correct))


def test_centred_deviation_of_a_constant_gradient_vanishes():
    """The mean of the gradient is subtracted, not that of its square."""
    tx = gradtx.scale_by_stddev(0.5, eps=1e-4)
    state = tx.init(jnp.zeros(2))
    for _ in range(60):
        u, state = tx.update(jnp.full(2, 0.3), state)
    np.testing.assert_allclose(u, 0.3 / np.sqrt(1e-4), rtol=1e-3)


def test_rounding_makes_no_variance_negative():
    tx = gradtx.scale_by_stddev(0.999, eps=0.0, bias_correction=True)
    state = tx.init(jnp.zeros(1000))
    g = jnp.linspace(0.1, 10.0, 1000)
    for _ in range(5):
        u, state = tx.update(g, state)
        assert bool(jnp.all(jnp.isfinite(u)))


def test_state_follows_the_options():
    params = {"w": jnp.ones(2)}
    assert gradtx.scale_by_rms().init(params)._fields == ("nu",)
    assert gradtx.scale_by_rms(bias_correction=True).init(params)._fields == ("count", "nu")
    assert gradtx.scale_by_stddev(initial_scale=1.5).init(params)._fields == ("mu", "nu")
    np.testing.assert_array_equal(gradtx.scale_by_rms(initial_scale=1.5).init(params).nu["w"], 1.5)
