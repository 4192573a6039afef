"""RAdam against its algorithm, and its rectification in float32."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx._moments.radam import _effective_length
from gradtx.testing import check_formula

EPS, EPS_ROOT = 1e-4, 1e-6


def effective_length(b2, t):
    """Return rho_t from its definition in float64."""
    return 2 / (1 - b2) - 1 - 2 * t * b2**t / (1 - b2**t)


@pytest.mark.parametrize(
    ("b1", "b2", "threshold", "nesterov"),
    [(0.83, 0.96, 5.0, False), (0.9, 0.999, 4.0, False), (0.7, 0.9, 8.0, True)]
    + [(0.7, 0.5, 5, False)],
)
def test_formula(b1, b2, threshold, nesterov):
    def loop(w, gradients):
        m = v = 0.0
        longest = 2 / (1 - b2) - 1
        for t, g in enumerate(gradients, 1):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            u = m / (1 - b1**t)
            if nesterov:
                u = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
            rho = effective_length(b2, t)
            if rho >= threshold and rho > 4:
                r = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
                u = np.sqrt(r) * u / (np.sqrt(v / (1 - b2**t) + EPS_ROOT) + EPS)
            w = w + u
            yield w

    tx = gradtx.scale_by_radam(b1, b2, EPS, EPS_ROOT, threshold, nesterov=nesterov)
    check_formula(tx, loop, tolerance=1e-10)  # the definition of rho loses three digits


@pytest.mark.parametrize("b2", [0.5, 0.9, 0.99, 0.999])
def test_effective_length_in_float64(b2, x64):
    t = np.arange(1.0, 3000.0)
    got = _effective_length(jnp.log(jnp.float64(b2)), jnp.asarray(t))
    np.testing.assert_allclose(got, effective_length(b2, t), rtol=1e-9)


@pytest.mark.parametrize("b2", [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999])
def test_effective_length_keeps_its_digits_in_float32(b2):
    t = np.array([1, 2, 4, 5, 6, 7, 50, 1000, 100_000, 2**31 - 1], float)
    log = np.log(b2) if b2 > 0 else -np.inf
    got = _effective_length(jnp.float32(log), jnp.asarray(t, jnp.float32))
    np.testing.assert_allclose(got, effective_length(np.longdouble(b2), t), rtol=1e-6)


def test_first_steps_are_those_of_momentum():
    params = {"w": jnp.zeros(1)}
    tx, momentum = gradtx.scale_by_radam(), gradtx.ema(0.9)
    state, plain = tx.init(params), momentum.init(params)
    for t in range(1, 8):
        g = {"w": jnp.full(1, 100.0 * t)}
        u, state = tx.update(g, state)
        m, plain = momentum.update(g, plain)
        assert bool(u["w"] == m["w"]) is (t < 6)


def test_scale_of_the_loss_does_not_matter_once_rectified():
    params = {"w": jnp.zeros(1)}
    tx, last = gradtx.scale_by_radam(), []
    for scale in (1.0, 1000.0):
        state = tx.init(params)
        for t in range(1, 20):
            u, state = tx.update({"w": jnp.full(1, scale * t)}, state)
        last.append(float(u["w"][0]))
    assert last[0] == pytest.approx(last[1], rel=1e-5)
