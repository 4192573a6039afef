"""Signs of gradients."""

import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.testing import check_formula


def test_formula():
    def loop(w, gradients):
        for g in gradients:
            w = w + np.sign(g)
            yield w

    check_formula(gradtx.scale_by_sign(), loop)


def test_sign_of_a_complex_entry_is_its_phase():
    u, _ = gradtx.scale_by_sign().update({"w": jnp.array([3.0 - 4.0j, 0.0])}, gradtx.EmptyState())
    np.testing.assert_allclose(u["w"], [0.6 - 0.8j, 0.0], rtol=1e-6)
