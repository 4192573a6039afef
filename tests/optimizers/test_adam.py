"""Adam and its family as optimizers: the lecture's settings, decay, masks."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

LR, B1, B2, EPS = 0.03, 0.83, 0.96, 1e-3


def family(direction, weight_decay=0.0):
    """Return the loop w -= lr (direction(m, v, most, u, g, t) + weight_decay w)."""

    def loop(w, gradients):
        m = v = most = u = np.zeros_like(w)
        for t, g in enumerate(gradients, 1):
            m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g**2
            most, u = np.maximum(most, v), np.maximum(B2 * u, np.abs(g) + EPS)
            w = w - LR * (direction(m, v, most, u, g, t) + weight_decay * w)
            yield w

    return loop


def adam(m, v, most, u, g, t):
    return m / (1 - B1**t) / (np.sqrt(v / (1 - B2**t)) + EPS)


def adam_cheaper(m, v, most, u, g, t):
    return np.sqrt(1 - B2**t) / (1 - B1**t) * m / (np.sqrt(v) + EPS)


def nadam(m, v, most, u, g, t):
    n = B1 * m / (1 - B1 ** (t + 1)) + (1 - B1) * g / (1 - B1**t)
    return n / (np.sqrt(v / (1 - B2**t)) + EPS)


def nadam_of_the_lecture(m, v, most, u, g, t):
    return (B1 * m + (1 - B1) * g) / (1 - B1**t) / (np.sqrt(v / (1 - B2**t)) + EPS)


def amsgrad(m, v, most, u, g, t):
    return m / (np.sqrt(most) + EPS)


def amsgrad_of_torch(m, v, most, u, g, t):
    return m / (1 - B1**t) / (np.sqrt(most / (1 - B2**t)) + EPS)


def adamax(m, v, most, u, g, t):
    return m / (1 - B1**t) / u


CORRECTED = {"bias_correction_mu": True, "bias_correction_nu": True}


@pytest.mark.parametrize(
    ("tx", "loop"),
    [
        (gradtx.adam(LR, B1, B2, EPS), family(adam)),
        (gradtx.adam(LR, B1, B2, EPS, eps_hat=True), family(adam_cheaper)),
        (gradtx.adam(LR, B1, B2, EPS, nesterov=True), family(nadam)),
        (gradtx.adamw(LR, B1, B2, EPS, weight_decay=0.2), family(adam, 0.2)),
        (gradtx.adamw(LR, B1, B2, EPS, weight_decay=0.2, nesterov=True), family(nadam, 0.2)),
        (gradtx.nadam(LR, B1, B2, EPS), family(nadam)),
        (gradtx.nadam(LR, B1, B2, EPS, one_correction=True), family(nadam_of_the_lecture)),
        (gradtx.nadamw(LR, B1, B2, EPS, weight_decay=0.2), family(nadam, 0.2)),
        (gradtx.amsgrad(LR, B1, B2, EPS), family(amsgrad)),
        (gradtx.amsgrad(LR, B1, B2, EPS, **CORRECTED), family(amsgrad_of_torch)),
        (gradtx.adamax(LR, B1, B2, EPS), family(adamax)),
        (gradtx.adamaxw(LR, B1, B2, EPS, weight_decay=0.2), family(adamax, 0.2)),
    ],
)
def test_formula(tx, loop):
    check_formula(tx, loop)


def test_cheaper_order_is_the_same_rule_with_another_eps():
    """lr_t = lr sqrt(1 - b2^t) / (1 - b1^t): without eps the two orders agree."""
    first, second = gradtx.adam(LR, eps=0.0), gradtx.adam(LR, eps=0.0, eps_hat=True)
    a, b = first.init(jnp.ones(3)), second.init(jnp.ones(3))
    for g in (1.0, -0.3, 5.0):
        u, a = first.update(jnp.full(3, g), a)
        v, b = second.update(jnp.full(3, g), b)
        np.testing.assert_allclose(u, v, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [gradtx.adamw, gradtx.nadamw, gradtx.adamaxw])
def test_mask_exempts_from_decay(optimizer):
    tx = optimizer(0.1, weight_decay=0.5, mask={"w": True, "b": False})
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    zeros = {"w": jnp.zeros(2), "b": jnp.zeros(2)}
    new, _ = tx.step(zeros, tx.init(params), params)
    np.testing.assert_allclose(new["w"], 0.95)
    np.testing.assert_array_equal(new["b"], 1.0)


def test_prints_as_a_tree():
    assert str(gradtx.amsgrad(0.1)).splitlines()[1:] == [
        "├── scale_by_amsgrad(b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)",
        "└── scale_by_learning_rate(learning_rate=0.1)",
    ]
