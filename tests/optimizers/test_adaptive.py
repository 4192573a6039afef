"""Adagrad, RMSProp and Adadelta as optimizers, with the lecture's settings."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def test_adagrad_formula():
    """The lecture's: lr 0.01, eps 1e-8 inside, s0 = 0."""

    def loop(w, gradients):
        s = 0.0
        for g in gradients:
            s = s + g**2
            w = w - 0.01 * g / np.sqrt(s + 1e-8)
            yield w

    check_formula(gradtx.adagrad(0.01, 0.0, 1e-8), loop)


@pytest.mark.parametrize("nesterov", [False, True])
def test_rmsprop_formula(nesterov):
    def loop(w, gradients):
        s = v = 0.0
        for t, g in enumerate(gradients):
            s = 0.9 * s + (1 - 0.9) * g**2
            u = 0.001 / (1 + t) * g / np.sqrt(s + 1e-8)
            v = 0.7 * v + u
            w = w - (u + 0.7 * v if nesterov else v)
            yield w

    def rate(count):
        return 0.001 / (1 + count.astype(float))

    check_formula(gradtx.rmsprop(rate, 0.9, 1e-8, momentum=0.7, nesterov=nesterov), loop)


def test_rmsprop_without_momentum_is_the_lectures():
    def loop(w, gradients):
        s = 0.0
        for g in gradients:
            s = 0.9 * s + (1 - 0.9) * g**2
            w = w - 0.001 * g / np.sqrt(s + 1e-8)
            yield w

    check_formula(gradtx.rmsprop(0.001), loop)
    with pytest.raises(ValueError, match="rmsprop: `nesterov` must be False without `momentum`"):
        gradtx.rmsprop(0.001, nesterov=True)


def test_rmsprop_centred_formula():
    def loop(w, gradients):
        m, s = 0.0, 0.3
        for g in gradients:
            m, s = 0.8 * m + 0.2 * g, 0.8 * s + 0.2 * g**2
            w = w - 0.1 * g / (np.sqrt(s - m**2) + 1e-3)
            yield w

    tx = gradtx.rmsprop(0.1, 0.8, 1e-3, initial_scale=0.3, eps_in_sqrt=False, centered=True)
    gradients = [np.random.default_rng(t).normal(size=(3, 4)) for t in range(100)]
    check_formula(tx, loop, gradients=gradients)


def test_adagrad_with_decay():
    """Decoupled: it does not enter the sum."""

    def loop(w, gradients):
        s = 0.1
        for g in gradients:
            s = s + g**2
            w = w - 0.01 * (g / (np.sqrt(s) + 1e-3) + 0.3 * w)
            yield w

    check_formula(gradtx.adagrad(0.01, 0.1, 1e-3, eps_in_sqrt=False, weight_decay=0.3), loop)


@pytest.mark.parametrize("momentum", [None, 0.7])
def test_rmsprop_with_decay(momentum):
    """Decoupled: it enters neither the mean square nor the velocity."""

    def loop(w, gradients):
        s = v = 0.0
        for t, g in enumerate(gradients):
            lr = 0.01 / (1 + t)
            s = 0.9 * s + (1 - 0.9) * g**2
            v = (momentum or 0) * v + lr * g / np.sqrt(s + 1e-8)
            w = w - v - lr * 0.3 * w
            yield w

    def rate(count):
        return 0.01 / (1 + count.astype(float))

    check_formula(gradtx.rmsprop(rate, momentum=momentum, weight_decay=0.3), loop)


def test_adadelta_formula():
    """The paper's rho 0.95 and eps 1e-6, with an L2 penalty."""

    def loop(w, gradients):
        s = x = 0.0
        for g in gradients:
            g = g + 0.2 * w
            s = 0.95 * s + (1 - 0.95) * g**2
            d = np.sqrt(x + 1e-6) / np.sqrt(s + 1e-6) * g
            x = 0.95 * x + (1 - 0.95) * d**2
            w = w - d
            yield w

    check_formula(gradtx.adadelta(rho=0.95, weight_decay=0.2), loop)


def test_adadelta_descends_with_its_default_rate():
    tx = gradtx.adadelta()
    w = jnp.full(3, 5.0)
    state = tx.init(w)
    for _ in range(50):
        w, state = tx.step(2 * w, state, w)
    assert float(jnp.max(w)) < 5.0
