"""AdaHessian's rule against the loop of the paper, its averaging, and Newton's step."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula
from tests.moments.test_sophia import STEPS, diagonals, extras

B1, B2, EPS = 0.83, 0.96, 1e-3


def rows(shape):
    """Return the axes of a mean over each row."""
    return (1,) if len(shape) == 2 else ()


def adahessian(power=1.0, every=1, averaged=False):
    """Return the loop of the paper; the mean square is corrected by the number of estimates."""

    def loop(w, gradients):
        m = v = n = 0.0
        for t, (g, d) in enumerate(zip(gradients, diagonals(), strict=True), 1):
            d = np.mean(d, axis=1, keepdims=True) if averaged else d
            m = B1 * m + (1 - B1) * g
            if (t - 1) % every == 0:
                v, n = B2 * v + (1 - B2) * d**2, n + 1
            w = w + m / (1 - B1**t) / (np.sqrt(v / (1 - B2**n)) ** power + EPS)
            yield w

    return loop


@pytest.mark.parametrize(
    ("power", "every", "averaged"), [(1.0, 1, False), (0.5, 4, False), (1.0, 1, True)]
)
def test_formula(power, every, averaged):
    axes = rows if averaged else None
    tx = gradtx.scale_by_adahessian(B1, B2, EPS, power, average_axes=axes)
    loop = adahessian(power, every, averaged)
    check_formula(tx, loop, steps=STEPS, extras=extras(every), tolerance=1e-11)


def test_first_step_is_newtons_for_a_diagonal_hessian():
    h, w = jnp.array([0.01, 1.0, 100.0]), jnp.array([3.0, -2.0, 1.0])
    tx = gradtx.scale_by_adahessian(eps=0.0)
    u, _ = tx.update(h * w, tx.init(w), hessian_diagonal=h)
    np.testing.assert_allclose(u, w, rtol=1e-5)


def test_before_the_first_estimate_only_eps_divides():
    g = jnp.array([1.0, -2.0])
    tx = gradtx.scale_by_adahessian(eps=0.5)
    u, state = tx.update(g, tx.init(g), hessian_diagonal=g * 0, hessian_is_fresh=False)
    np.testing.assert_allclose(u, 2 * g, rtol=1e-6)
    assert state.estimates == 0


def test_units_the_scale_of_the_loss_does_not_matter():
    tx = gradtx.scale_by_adahessian(eps=0.0)
    g, d = jnp.array([1e-3, -2.0, 0.0]), jnp.array([1.0, 0.1, 0.0])
    small, _ = tx.update(g, tx.init(g), hessian_diagonal=d)
    large, _ = tx.update(1e4 * g, tx.init(g), hessian_diagonal=1e4 * d)
    np.testing.assert_allclose(small, large, rtol=1e-5)
    np.testing.assert_array_equal(small[2], 0.0)


def test_messages():
    g = {"w": jnp.ones(2)}
    tx = gradtx.scale_by_adahessian()
    with pytest.raises(TypeError, match="scale_by_adahessian needs the extra argument `hessian_d"):
        tx.update(g, tx.init(g))
    with pytest.raises(ValueError, match=r"`hessian_power` must be a finite number in \(0, 1\]"):
        gradtx.scale_by_adahessian(hessian_power=0.0)
