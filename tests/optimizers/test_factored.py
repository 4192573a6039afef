"""Adafactor and SM3 as whole optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def rms(x):
    return np.sqrt(np.mean(x**2))


def adafactor(rate, eps2=1e-3, clip=1.0, momentum=None, decay=0.0):
    """Return the loop of Algorithm 4, with rows the shorter axis, and of its options."""

    def loop(w, gradients):
        r = c = m = 0.0
        for t, g in enumerate(gradients, 1):
            square, b = g**2 + 1e-30, 1 - t**-0.8
            r = b * r + (1 - b) * square.mean(axis=1)
            c = b * c + (1 - b) * square.mean(axis=0)
            u = g / np.sqrt(np.outer(r, c) / r.mean())
            u = u / max(1.0, rms(u) / clip)
            if momentum is not None:
                u = m = momentum * m + (1 - momentum) * u
            w = w - max(eps2, rms(w)) * rate(t) * u - decay * w
            yield w

    return loop


def relative_step(t):
    return min(1e-2, 1 / np.sqrt(t))


def test_adafactor_of_the_paper():
    """Algorithms 4 and 6: the relative step is the default, as it is the paper's."""
    check_formula(gradtx.adafactor(None, 2), adafactor(relative_step), tolerance=1e-11)


def test_relative_step_falls_after_ten_thousand_steps():
    params = {"w": jnp.ones(1)}
    tx = gradtx.adafactor(multiply_by_parameter_scale=False)
    state = tx.init(params)
    for count, size in ((0, 1e-2), (9_998, 1e-2), (39_999, 5e-3)):
        late = jax.tree.map(
            lambda x, count=count: jnp.full_like(x, count) if x.dtype == jnp.int32 else x, state
        )
        u, _ = tx.update(params, late, params)
        relative = float(u["w"][0])
        assert relative == pytest.approx(-size, rel=1e-3) or count > 0
        assert abs(relative) <= size * 1.001


def test_options():
    def rate(t):
        return 0.03 / t

    tx = gradtx.adafactor(
        lambda count: 0.03 / (1 + count.astype(float)),
        2,
        clipping_threshold=0.3,
        momentum=0.7,
        weight_decay_rate=0.02,
    )
    loop = adafactor(rate, clip=0.3, momentum=0.7, decay=0.02)
    check_formula(tx, loop, tolerance=1e-11)


def test_what_is_switched_off():
    tx = gradtx.adafactor(
        0.1, multiply_by_parameter_scale=False, clipping_threshold=None, factored=False
    )

    def loop(w, gradients):
        v = 0.0
        for t, g in enumerate(gradients, 1):
            b = 1 - t**-0.8
            v = b * v + (1 - b) * (g**2 + 1e-30)
            w = w - 0.1 * g / np.sqrt(v)
            yield w

    check_formula(tx, loop, tolerance=1e-11)
    g = {"w": jnp.ones(2)}
    tx.update(g, tx.init(g))  # needs no parameters then


def test_memory_of_a_large_matrix_is_a_row_and_a_column():
    params = {"w": jnp.ones((256, 512))}
    state = gradtx.adafactor().init(params)
    assert sum(x.size for x in jax.tree.leaves(state)) < 256 + 512 + 8


@pytest.mark.parametrize("decay", [None, 0.1])
def test_sm3(decay):
    def loop(w, gradients):
        m, rows, columns = 0.0, np.zeros((3, 1)), np.zeros((1, 4))
        for g in gradients:
            v = np.minimum(rows, columns) + g**2
            rows, columns = v.max(axis=1, keepdims=True), v.max(axis=0, keepdims=True)
            m = 0.8 * m + 0.2 * np.where(v > 0, g / np.sqrt(v + 1e-8), 0.0)
            w = w - 0.3 * m - 0.3 * (decay or 0) * w
            yield w

    check_formula(gradtx.sm3(0.3, 0.8, weight_decay=decay), loop)
