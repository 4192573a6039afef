"""Adafactor's factored second moment against the paper's algorithms."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

RATE, EPS = 0.7, 1e-3


def decay(t):
    return 1 - t**-RATE


def matrix(w, gradients):
    """Algorithm 4: rows are the shorter axis."""
    r = c = 0.0
    for t, g in enumerate(gradients, 1):
        square, b = g**2 + EPS, decay(t)
        r = b * r + (1 - b) * square.mean(axis=1)
        c = b * c + (1 - b) * square.mean(axis=0)
        w = w + g / np.sqrt(np.outer(r, c) / r.mean())
        yield w


def vector(w, gradients):
    """Algorithm 5."""
    v = 0.0
    for t, g in enumerate(gradients, 1):
        v = decay(t) * v + (1 - decay(t)) * (g**2 + EPS)
        w = w + g / np.sqrt(v)
        yield w


@pytest.mark.parametrize(
    ("shape", "least", "factored", "loop"),
    [
        ((3, 4), 3, True, matrix),
        ((4, 4), 2, True, matrix),
        ((3, 4), 4, True, vector),
        ((3, 4), 2, False, vector),
        ((5,), 0, True, vector),
    ],
)
def test_formula(shape, least, factored, loop):
    tx = gradtx.scale_by_factored_rms(factored, RATE, 0, least, EPS)
    check_formula(tx, loop, shape=shape, tolerance=1e-11)


def test_three_axes_factor_the_two_longest():
    """Each matrix along the shortest axis is one of its own."""

    def loop(w, gradients):
        matrices = [list(matrix(w[:, i], [g[:, i] for g in gradients])) for i in range(w.shape[1])]
        for t in range(len(gradients)):
            yield np.stack([m[t] for m in matrices], axis=1)

    tx = gradtx.scale_by_factored_rms(True, RATE, 0, 2, EPS)
    check_formula(tx, loop, shape=(3, 2, 4), tolerance=1e-11)


def test_state_holds_what_an_array_needs():
    params = {"m": jnp.ones((2, 200, 130)), "v": jnp.ones(300), "s": jnp.ones((100, 300))}
    state = gradtx.scale_by_factored_rms().init(params)
    assert state.v_row["m"].shape == (2, 1, 130)
    assert state.v_col["m"].shape == (2, 200, 1)
    assert state.v["m"] is None
    for name in ("v", "s"):
        assert state.v_row[name] is None and state.v_col[name] is None
        assert state.v[name].shape == params[name].shape


def test_constant_gradient_of_rank_one_becomes_signs():
    g = {"w": jnp.outer(jnp.array([1.0, -2.0, 3.0]), jnp.array([0.1, 10.0, -1.0, 5.0]))}
    tx = gradtx.scale_by_factored_rms(min_dim_size_to_factor=2)
    state = tx.init(g)
    for _ in range(3):
        u, state = tx.update(g, state)
        np.testing.assert_allclose(u["w"], np.sign(g["w"]), rtol=1e-5)


def test_decay_rate_may_be_a_function():
    def capped(step, exponent):
        return jnp.minimum(1 - (step + 1) ** -exponent, 0.5)

    def loop(w, gradients):
        v = 0.0
        for t, g in enumerate(gradients, 1):
            b = min(decay(t), 0.5)
            v = b * v + (1 - b) * (g**2 + EPS)
            w = w + g / np.sqrt(v)
            yield w

    tx = gradtx.scale_by_factored_rms(decay_rate=RATE, epsilon=EPS, decay_rate_fn=capped)
    check_formula(tx, loop, tolerance=1e-11)


def test_zero_gradient_stays_zero():
    for least in (2, 128):
        for eps in (1e-30, 0.0):
            params = {"w": jnp.zeros((3, 4))}
            tx = gradtx.scale_by_factored_rms(min_dim_size_to_factor=least, epsilon=eps)
            u, _ = tx.update(params, tx.init(params))
            assert np.array_equal(u["w"], np.zeros((3, 4)))
