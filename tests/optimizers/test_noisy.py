"""Gradient descent with noise."""

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx.testing import check_formula


def test_noise_is_added_to_the_gradient_and_scaled_with_it():
    params = {"w": jnp.zeros((100, 100))}
    tx = gradtx.noisy_sgd(0.2, eta=0.25, gamma=1.0, seed=3)
    state = tx.init(params)
    for t in (1, 2, 3):
        u, state = jax.jit(tx.update)({"w": jnp.full((100, 100), 5.0)}, state)
        assert float(jnp.mean(u["w"])) == pytest.approx(-1.0, abs=0.01)
        assert float(jnp.std(u["w"])) == pytest.approx(0.2 * (0.25 / t) ** 0.5, rel=0.05)


def test_decay_is_decoupled():
    def loop(w, gradients):
        for g in gradients:
            w = w - 0.02 * (g + 0.3 * w)
            yield w

    check_formula(gradtx.noisy_sgd(0.02, eta=0.0, weight_decay=0.3), loop)


def test_same_key_same_path():
    params = {"w": jnp.zeros(8)}
    moved = []
    for key in (3, 3, 4):
        tx = gradtx.noisy_sgd(0.2, key=key)
        moved.append(tx.update(params, tx.init(params))[0]["w"])
    assert bool((moved[0] == moved[1]).all())
    assert bool((moved[0] != moved[2]).any())
