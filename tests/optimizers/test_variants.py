"""AdaBelief, Yogi, RAdam and Adan as whole optimizers."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

LR = 0.013


def falling(count):
    return LR / (1 + count.astype(float))


@pytest.mark.parametrize(
    ("optimizer", "direction"),
    [
        (
            gradtx.adabelief(LR, 0.8, 0.95, 1e-3, 1e-5, nesterov=True),
            gradtx.scale_by_belief(0.8, 0.95, 1e-3, 1e-5, nesterov=True),
        ),
        (
            gradtx.yogi(LR, 0.8, 0.95, 1e-2),
            gradtx.scale_by_yogi(0.8, 0.95, 1e-2),
        ),
        (
            gradtx.radam(LR, 0.8, 0.95, 1e-3, 1e-5, 4.5, nesterov=True),
            gradtx.scale_by_radam(0.8, 0.95, 1e-3, 1e-5, 4.5, nesterov=True),
        ),
        (
            gradtx.adan(LR, 0.8, 0.7, 0.95, 1e-3, 1e-5, 0.2),
            gradtx.chain(
                gradtx.scale_by_adan(0.8, 0.7, 0.95, 1e-3, 1e-5), gradtx.add_decayed_weights(0.2)
            ),
        ),
    ],
    ids=["adabelief", "yogi", "radam", "adan"],
)
def test_optimizer_is_its_direction_against_the_rate(optimizer, direction):
    params = {"w": jnp.array([1.0, -2.0])}
    state, inner = optimizer.init(params), direction.init(params)
    for t in range(8):
        g = {"w": jnp.array([1.0 + t, -0.3 * t])}
        u, state = optimizer.update(g, state, params)
        d, inner = direction.update(g, inner, params)
        np.testing.assert_allclose(u["w"], -LR * d["w"], rtol=1e-5)


@pytest.mark.parametrize(
    "make", [gradtx.adabelief, gradtx.yogi, gradtx.radam, gradtx.adan], ids=lambda f: f.__name__
)
def test_rate_may_be_a_schedule(make):
    params = {"w": jnp.ones(2)}
    moved = {}
    for name, rate in (("fixed", LR), ("falling", falling)):
        tx = make(rate)
        state = tx.init(params)
        for _ in range(3):
            u, state = tx.update(params, state, params)
        moved[name] = u["w"]
    np.testing.assert_allclose(moved["falling"], moved["fixed"] / 3, rtol=1e-5)


def test_adan_decays_only_what_the_mask_names():
    params, zeros = {"w": jnp.ones(1), "b": jnp.ones(1)}, {"w": jnp.zeros(1), "b": jnp.zeros(1)}
    tx = gradtx.adan(0.1, weight_decay=0.5, mask={"w": True, "b": False})
    u, _ = tx.update(zeros, tx.init(params), params)
    assert (float(u["w"][0]), float(u["b"][0])) == (pytest.approx(-0.05), 0.0)


def adabelief(g, t, m, v):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * (g - m) ** 2 + 1e-5
    return m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-3), m, v


def yogi(g, t, m, v):
    m, v = 0.9 * m + 0.1 * g, (1e-6 if t == 1 else v)
    v = v - 0.001 * np.sign(v - g**2) * g**2
    return m / (np.sqrt(v) + 1e-3), m, v


def radam(g, t, m, v):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    most = 2 / (1 - 0.999) - 1
    rho = most - 2 * t * 0.999**t / (1 - 0.999**t)
    if rho < 5:
        return m / (1 - 0.9**t), m, v
    r = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    return r * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-3), m, v


@pytest.mark.parametrize(
    ("tx", "rule"),
    [
        (gradtx.adabelief(LR, eps=1e-3, eps_root=1e-5, weight_decay=0.3), adabelief),
        (gradtx.yogi(LR, weight_decay=0.3), yogi),
        (gradtx.radam(LR, eps=1e-3, weight_decay=0.3), radam),
    ],
    ids=["adabelief", "yogi", "radam"],
)
def test_decay_is_decoupled(tx, rule):
    def loop(w, gradients):
        m = v = 0.0
        for t, g in enumerate(gradients, 1):
            u, m, v = rule(g, t, m, v)
            w = w - LR * (u + 0.3 * w)
            yield w

    check_formula(tx, loop, tolerance=1e-10)


def test_yogi_of_the_paper():
    """Algorithm 2: no bias correction anywhere."""

    def loop(w, gradients):
        m, v = 0.0, np.full_like(w, 1e-6)
        for g in gradients:
            m = 0.9 * m + 0.1 * g
            v = v - 0.001 * np.sign(v - g**2) * g**2
            w = w - 0.01 * m / (np.sqrt(v) + 1e-3)
            yield w

    check_formula(gradtx.yogi(0.01), loop, tolerance=1e-11)
