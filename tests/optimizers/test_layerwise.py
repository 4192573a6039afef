"""LAMB, LARS, Fromage and NovoGrad as whole optimizers."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

LR, DECAY = 0.013, 0.2


def norm(x, least=0.0):
    return max(np.sqrt(np.sum(x**2)), least)


def ratio(w, u, coefficient=1.0):
    return coefficient * norm(w) / norm(u) if norm(u) > 0 and norm(w) > 0 else 1.0


def lamb(w, gradients):
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
        r = m / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
        u = r + DECAY * w
        w = w - LR * ratio(w, u) * u
        yield w


def lars(w, gradients):
    velocity = 0.0
    for g in gradients:
        u = g + DECAY * w
        velocity = 0.8 * velocity + LR * ratio(w, u, 0.3) * u
        w = w - velocity
        yield w


def fromage(w, gradients):
    for g in gradients:
        step = LR * norm(w, 1e-6) / norm(g, 1e-6) * g
        w = (w - step) / np.sqrt(1 + LR**2)
        yield w


def novograd(w, gradients):
    m, v = 0.0, norm(gradients[0]) ** 2
    for t, g in enumerate(gradients, 1):
        v = v if t == 1 else 0.95 * v + 0.05 * norm(g) ** 2
        m = 0.8 * m + g / (np.sqrt(v) + 1e-3) + DECAY * w
        w = w - LR * m
        yield w


@pytest.mark.parametrize(
    ("tx", "loop"),
    [
        (gradtx.lamb(LR, 0.8, 0.95, 1e-3, weight_decay=DECAY), lamb),
        (gradtx.lars(LR, DECAY, trust_coefficient=0.3, momentum=0.8), lars),
        (gradtx.fromage(LR), fromage),
        (gradtx.novograd(LR, 0.8, 0.95, 1e-3, weight_decay=DECAY), novograd),
    ],
    ids=["lamb", "lars", "fromage", "novograd"],
)
def test_formula(tx, loop):
    check_formula(tx, loop, tolerance=1e-11)


def test_lars_masks():
    """Without decay and ratio a bias moves like momentum descent."""
    params, g = {"w": jnp.full(1, 4.0), "b": jnp.full(1, 4.0)}, {"w": jnp.ones(1), "b": jnp.ones(1)}
    mask = {"w": True, "b": False}
    tx = gradtx.lars(1.0, 0.5, mask, 0.1, trust_ratio_mask=mask)
    u, _ = tx.update(g, tx.init(params), params)
    assert float(u["b"][0]) == -1.0
    assert float(u["w"][0]) == pytest.approx(-0.4)


def test_lars_has_the_rate_inside_the_velocity():
    """A rate that falls to 0 does not stop what is under way."""
    params = {"w": jnp.ones(1)}
    tx = gradtx.lars(lambda count: jnp.where(count == 0, 1.0, 0.0), momentum=0.5)
    state = tx.init(params)
    first, state = tx.update(params, state, params)
    second, _ = tx.update(params, state, params)
    np.testing.assert_allclose(second["w"], 0.5 * first["w"], rtol=1e-6)


def test_lamb_moves_every_array_by_the_same_share():
    params = {"small": jnp.full(3, 1e-3), "large": jnp.full((4, 4), 1e3)}
    g = {"small": jnp.full(3, 1e3), "large": jnp.full((4, 4), 1e-3)}
    tx = gradtx.lamb(0.01)
    u, _ = tx.update(g, tx.init(params), params)
    for name, p in params.items():
        np.testing.assert_allclose(u[name], -0.01 * p, rtol=1e-3)
