"""Lion against its program, and its soft signs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

B1, B2 = 0.83, 0.96

SQUASH = {
    "hard": np.sign,
    "smooth": lambda x: np.tanh(1.7 * x),
    "refined": lambda x: np.where(np.abs(x) < 1, x, np.sign(x)),
}


@pytest.mark.parametrize("mode", SQUASH)
def test_formula(mode):
    def loop(w, gradients):
        m = np.zeros_like(w)
        for g in gradients:
            w = w + SQUASH[mode](B1 * m + (1 - B1) * g)
            m = B2 * m + (1 - B2) * g
            yield w

    check_formula(gradtx.scale_by_lion(B1, B2, mode=mode, smooth_beta=1.7), loop)


def test_without_interpolation_it_is_the_sign_of_the_gradient():
    g = {"w": jnp.array([3.0, -0.1, 0.0])}
    tx = gradtx.scale_by_lion(b1=0.0)
    u, _ = tx.update(g, tx.init(g))
    assert np.array_equal(u["w"], [1.0, -1.0, 0.0])


@pytest.mark.parametrize("mode", SQUASH)
def test_complex_entries_keep_their_phase(mode):
    g = {"w": jnp.array([3.0 + 4.0j, 0.0j])}
    tx = gradtx.scale_by_lion(b1=0.0, mode=mode)
    u, _ = tx.update(g, tx.init(g))
    size = {"hard": 1.0, "smooth": np.tanh(5.0), "refined": 1.0}[mode]
    np.testing.assert_allclose(u["w"], [size * (0.6 + 0.8j), 0.0], rtol=1e-6)


def test_smooth_mode_has_a_slope_at_zero():
    tx = gradtx.scale_by_lion(b1=0.5, mode="smooth", smooth_beta=4.0)

    def update(g):
        return tx.update({"w": g}, tx.init({"w": g}))[0]["w"]

    assert float(jax.grad(update)(jnp.zeros(()))) == 2.0


def test_unknown_mode():
    with pytest.raises(ValueError, match="`mode` must be one of 'hard', 'smooth', 'refined', but"):
        gradtx.scale_by_lion(mode="soft")
