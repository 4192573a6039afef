"""Averages of the updates: exponentially weighted, bias-corrected, over a window."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula, gradient_sequence


@pytest.mark.parametrize("debias", [True, False])
def test_ema_formula(debias):
    def loop(w, gradients):
        v = 0.0
        for t, g in enumerate(gradients, 1):
            v = 0.83 * v + (1 - 0.83) * g
            w = w + v / (1 - 0.83**t if debias else 1)
            yield w

    check_formula(gradtx.ema(0.83, debias), loop)


def test_ema_closed_form(x64):
    """v_t is the sum over m of (1 - b) b^(t - m) g_m."""
    gradients = gradient_sequence((5,), steps=40)
    tx = gradtx.ema(0.7, debias=False)
    state = tx.init(jnp.zeros(5))
    for g in gradients:
        v, state = tx.update(jnp.asarray(g), state)
    closed = sum(0.3 * 0.7 ** (40 - m) * g for m, g in enumerate(gradients, 1))
    np.testing.assert_allclose(v, closed, rtol=1e-13)


def test_correct_bias_completes_ema():
    parts = gradtx.chain(gradtx.ema(0.83, debias=False), gradtx.correct_bias(0.83))

    def loop(w, gradients):
        v = 0.0
        for t, g in enumerate(gradients, 1):
            v = 0.83 * v + (1 - 0.83) * g
            w = w + v / (1 - 0.83**t)
            yield w

    check_formula(parts, loop)


def test_debiased_ema_of_constant_is_constant():
    tx = gradtx.ema(0.99999)
    state = tx.init(jnp.zeros(2))
    for _ in range(3):
        u, state = tx.update(jnp.full(2, 3.0), state)
        np.testing.assert_allclose(u, 3.0, rtol=1e-6)


@pytest.mark.parametrize("window", [1, 2, 7, 200])
def test_moving_average_formula(window):
    def loop(w, gradients):
        for t in range(1, len(gradients) + 1):
            last = gradients[max(0, t - window) : t]
            w = w + sum(last) / len(last)
            yield w

    check_formula(gradtx.moving_average(window), loop)


def test_moving_average_gathers_no_errors():
    """A large gradient that has left the window leaves nothing behind."""
    tx = gradtx.moving_average(3)
    state = tx.init(jnp.zeros(()))
    for g in (1e8, 1.0, 1.0, 1.0):
        u, state = tx.update(jnp.float32(g), state)
    assert float(u) == 1.0


def test_moving_average_keeps_sharding(mesh):
    spec = jax.sharding.PartitionSpec("data", "model")
    sharding = jax.sharding.NamedSharding(mesh, spec)
    params = jax.device_put(jnp.ones((4, 8)), sharding)
    tx = gradtx.moving_average(3)
    with jax.set_mesh(mesh):
        state = jax.jit(tx.init)(params)
        u, state = jax.jit(tx.update)(params, state)
        u, state = jax.jit(tx.update)(2 * params, state)
    assert u.sharding.is_equivalent_to(sharding, 2)
    np.testing.assert_allclose(u, 1.5)


def test_state_dtypes():
    params = {"w": jnp.ones(3, jnp.bfloat16)}
    assert gradtx.ema(0.9).init(params).ema["w"].dtype == jnp.float32
    assert gradtx.ema(0.9, True, "bfloat16").init(params).ema["w"].dtype == jnp.bfloat16
    window = gradtx.moving_average(4, accumulator_dtype="bfloat16").init(params).recent["w"]
    assert (window.shape, window.dtype) == ((4, 3), jnp.bfloat16)


def test_errors():
    with pytest.raises(ValueError, match=r"ema: `decay` must be .*\[0, 1\), but is 1"):
        gradtx.ema(1.0)
    with pytest.raises(ValueError, match="moving_average: `window` must be an integer"):
        gradtx.moving_average(0)
    with pytest.raises(TypeError, match="moving_average: `window` must be an integer"):
        gradtx.moving_average(2.5)
