"""Yogi against its algorithm."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

B1, B2, EPS, START = 0.83, 0.96, 1e-2, 0.3


@pytest.mark.parametrize("bias_correction", [False, True])
def test_formula(bias_correction):
    def loop(w, gradients):
        m, v = 0.0, np.full_like(w, START)
        for t, g in enumerate(gradients, 1):
            m = B1 * m + (1 - B1) * g
            v = v - (1 - B2) * np.sign(v - g**2) * g**2
            if bias_correction:
                w = w + m / (1 - B1**t) / (np.sqrt(v / (1 - B2**t) + 1e-6) + EPS)
            else:
                w = w + m / (np.sqrt(v + 1e-6) + EPS)
            yield w

    tx = gradtx.scale_by_yogi(B1, B2, EPS, 1e-6, START, bias_correction=bias_correction)
    check_formula(tx, loop)


def test_mean_square_falls_slower_than_adams():
    """After large gradients a small one takes its own square off, not a share of the whole."""
    params, big, small = ({"w": jnp.full(1, x)} for x in (0.0, 10.0, 0.1))
    squares = {}
    for tx in (gradtx.scale_by_yogi(b2=0.9), gradtx.scale_by_adam(b2=0.9)):
        state = tx.init(params)
        for g in [big] + 50 * [small]:
            _, state = tx.update(g, state)
        squares[tx.description.name] = float(state.nu["w"][0])
    assert squares["scale_by_yogi"] > 9.9
    assert squares["scale_by_adam"] < 0.1


def test_only_the_mean_square_starts_above_zero():
    params = {"w": jnp.ones((2,), jnp.bfloat16)}
    state = gradtx.scale_by_yogi(initial_accumulator_value=0.5).init(params)
    assert np.array_equal(state.mu["w"], [0.0, 0.0])
    assert np.array_equal(state.nu["w"], [0.5, 0.5])
    assert state.nu["w"].dtype == jnp.float32
