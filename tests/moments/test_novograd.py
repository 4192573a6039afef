"""NovoGrad against its algorithm."""

import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.testing import check_formula

B1, B2, EPS, EPS_ROOT, DECAY = 0.83, 0.6, 1e-3, 1e-6, 0.02


def test_formula():
    def loop(w, gradients):
        m, v = 0.0, np.sum(gradients[0] ** 2)
        for t, g in enumerate(gradients, 1):
            if t > 1:
                v = B2 * v + (1 - B2) * np.sum(g**2)
            m = B1 * m + (g / (np.sqrt(v + EPS_ROOT) + EPS) + DECAY * w)
            w = w - 1e-3 * m
            yield w

    tx = gradtx.scale_by_novograd(B1, B2, EPS, EPS_ROOT, DECAY)
    check_formula(gradtx.chain(tx, gradtx.scale(-1e-3)), loop)


def test_one_number_for_each_array():
    params = {"a": jnp.ones((3, 4)), "b": jnp.ones(2, jnp.complex64)}
    tx = gradtx.scale_by_novograd(mu_dtype="bfloat16")
    state = tx.init(params)
    assert {k: (v.shape, v.dtype) for k, v in state.nu.items()} == {
        "a": ((), np.float32),
        "b": ((), np.float32),
    }
    assert state.mu["a"].dtype == jnp.bfloat16
    _, state = tx.update(params, state, params)
    assert float(state.nu["a"]) == 12.0
    assert float(state.nu["b"]) == 2.0


def test_zero_gradient_without_eps_does_not_move():
    params = {"w": jnp.zeros(3)}
    tx = gradtx.scale_by_novograd(eps=0.0)
    u, _ = tx.update(params, tx.init(params), params)
    assert np.array_equal(u["w"], np.zeros(3))
