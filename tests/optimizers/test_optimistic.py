"""Optimistic descent and optimistic Adam."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

LR, ALPHA, BETA = 0.013, 0.7, 1.9


@pytest.mark.parametrize("decay", [None, 0.3])
def test_optimistic_gradient_descent(decay):
    def loop(w, gradients):
        before = gradients[0]
        for g in gradients:
            u = (ALPHA + BETA) * g - BETA * before
            w, before = w - LR * (u + (decay or 0) * w), g
            yield w

    check_formula(gradtx.optimistic_gradient_descent(LR, ALPHA, BETA, weight_decay=decay), loop)


@pytest.mark.parametrize(("nesterov", "decay"), [(False, None), (True, None), (True, 0.3)])
def test_optimistic_adam(nesterov, decay):
    def loop(w, gradients):
        m = v = 0.0
        before = None
        for t, g in enumerate(gradients, 1):
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
            mean = m / (1 - 0.8**t)
            if nesterov:
                mean = 0.8 * m / (1 - 0.8 ** (t + 1)) + 0.2 * g / (1 - 0.8**t)
            u = mean / (np.sqrt(v / (1 - 0.95**t) + 1e-5) + 1e-3)
            before = u if before is None else before
            ahead = (ALPHA + BETA) * u - BETA * before
            w, before = w - LR * (ahead + (decay or 0) * w), u
            yield w

    tx = gradtx.optimistic_adam_v2(
        LR,
        alpha=ALPHA,
        beta=BETA,
        b1=0.8,
        b2=0.95,
        eps=1e-3,
        eps_root=1e-5,
        nesterov=nesterov,
        weight_decay=decay,
    )
    check_formula(tx, loop)


@pytest.mark.parametrize(("optimism", "decay"), [(None, None), (0.3, None), (0.3, 0.2)])
def test_optimistic_adam_with_a_rate_of_optimism(optimism, decay):
    """The paper's Algorithm 1 where optimism is the rate: w - 2 lr u + lr u_before."""

    def loop(w, gradients):
        m = v = 0.0
        before, o = None, LR if optimism is None else optimism
        for t, g in enumerate(gradients, 1):
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
            u = m / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
            change = u - (u if before is None else before)
            w = w - LR * (u + (decay or 0) * w) - o * change
            before = u
            yield w

    tx = gradtx.optimistic_adam(LR, optimism, 0.8, 0.95, 1e-3, nesterov=False, weight_decay=decay)
    check_formula(tx, loop)


def test_optimistic_adam_is_the_second_version_at_rate_1():
    def rate(count):
        return LR / (1 + count.astype(float))

    g = {"w": jnp.array([2.0, -1.0])}
    first = gradtx.optimistic_adam(rate)
    second = gradtx.optimistic_adam_v2(1.0, alpha=rate, beta=rate)
    state, other = first.init(g), second.init(g)
    for _ in range(3):
        u, state = first.update(g, state)
        v, other = second.update(g, other)
        np.testing.assert_array_equal(u["w"], v["w"])
