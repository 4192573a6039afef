"""Rprop against its rules."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def test_formula():
    def loop(w, gradients):
        step, before = np.full_like(w, 0.05), np.zeros_like(w)
        for g in gradients:
            agreement = np.sign(g) * np.sign(before)
            step = np.where(agreement > 0, np.minimum(step * 1.3, 0.2), step)
            step = np.where(agreement < 0, np.maximum(step * 0.4, 0.01), step)
            g = np.where(agreement < 0, 0.0, g)
            w, before = w + step * np.sign(g), g
            yield w

    check_formula(gradtx.scale_by_rprop(0.05, 0.4, 1.3, 0.01, 0.2), loop)


def test_scale_of_the_gradient_does_not_matter():
    """Not even where the product of two gradients would underflow."""
    params = {"w": jnp.zeros(1)}
    tx, paths = gradtx.scale_by_rprop(0.1), []
    for scale in (1.0, 1e-30):
        state, path = tx.init(params), []
        for g in (1.0, 2.0, -1.0, -1.0, -3.0):
            u, state = tx.update({"w": jnp.full(1, scale * g)}, state)
            path.append(float(u["w"][0]))
        paths.append(path)
    assert paths[0] == paths[1]
    np.testing.assert_allclose(paths[0], [0.1, 0.12, 0.0, -0.06, -0.072], rtol=1e-6)


def test_complex_entries_follow_their_phase():
    g = {"w": jnp.array([3.0 + 4.0j])}
    tx = gradtx.scale_by_rprop(0.1)
    state = tx.init(g)
    for size in (0.1, 0.12):
        u, state = tx.update(g, state)
        np.testing.assert_allclose(u["w"], [size * (0.6 + 0.8j)], rtol=1e-6)
    assert not jnp.iscomplexobj(state.step_sizes["w"])


@pytest.mark.parametrize(("name", "value"), [("eta_minus", 1.5), ("eta_plus", 0.9)])
def test_factors_shrink_and_grow(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        gradtx.scale_by_rprop(0.1, **{name: value})
