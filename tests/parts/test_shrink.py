"""Stepping and shrinking back."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def falling(count):
    return 0.3 / (1 + count.astype(float))


@pytest.mark.parametrize("rate", [0.2, falling])
def test_formula(rate):
    def loop(w, gradients):
        for t, g in enumerate(gradients):
            lr = 0.3 / (1 + t) if callable(rate) else rate
            w = (w - lr * g) / np.sqrt(1 + lr**2)
            yield w

    check_formula(gradtx.step_and_shrink(rate), loop, tolerance=1e-11)


def test_orthogonal_step_of_the_same_length_keeps_the_norm():
    params, g = {"w": jnp.array([3.0, 4.0])}, {"w": jnp.array([-4.0, 3.0])}
    tx = gradtx.step_and_shrink(0.7)
    u, _ = tx.update(g, tx.init(params), params)
    assert float(jnp.linalg.norm(params["w"] + u["w"])) == pytest.approx(5.0, rel=1e-6)


def test_small_rates_keep_their_digits_in_float32():
    params, g = {"w": jnp.ones(1)}, {"w": jnp.zeros(1)}
    tx = gradtx.step_and_shrink(1e-4)
    u, _ = tx.update(g, tx.init(params), params)
    assert float(u["w"][0]) == pytest.approx(1 / np.sqrt(1 + 1e-8) - 1, rel=1e-6)


@pytest.mark.parametrize("coupling", ["independent", "schedule"])
def test_a_share_of_more_than_all_is_refused(coupling):
    with pytest.raises(ValueError, match=r"`rate` must be at most 1 .* but is 1\.5\. Is it"):
        gradtx.decay(1.5, coupling=coupling)
    gradtx.decay(1.0, coupling=coupling)
    gradtx.decay(1.5)
    with pytest.raises(ValueError, match="`rate` must be at most 1"):
        gradtx.shrink_weights(2.0)
