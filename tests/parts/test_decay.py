"""Weight decay: coupled, decoupled, scheduled, masked."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def test_formula():
    def loop(w, gradients):
        for g in gradients:
            w = w - 0.01 * (g + 0.3 * w)
            yield w

    check_formula(gradtx.chain(gradtx.add_decayed_weights(0.3), gradtx.scale(-0.01)), loop)


def test_schedule_formula():
    def loop(w, gradients):
        for t, g in enumerate(gradients):
            w = w - 0.01 * (g + 0.3 * t / 100 * w)
            yield w

    decay = gradtx.add_decayed_weights(lambda count: 0.3 * count.astype(float) / 100)
    check_formula(gradtx.chain(decay, gradtx.scale(-0.01)), loop)


def test_decoupled_decay_shrinks_whatever_the_gradient():
    """With zero gradients each step shrinks the parameter by 1 - rate * decay."""
    tx = gradtx.adamw(0.1, weight_decay=0.5)
    params = {"w": jnp.full(3, 2.0)}
    state = tx.init(params)
    for _ in range(4):
        params, state = tx.step({"w": jnp.zeros(3)}, state, params)
    np.testing.assert_allclose(params["w"], 2 * 0.95**4, rtol=1e-6)


@pytest.mark.parametrize(
    "mask",
    [
        {"w": True, "b": False},
        lambda params: {name: p.ndim > 1 for name, p in params.items()},
    ],
    ids=["tree", "function"],
)
def test_mask_leaves_parameters_out(mask):
    tx = gradtx.add_decayed_weights(0.5, mask)
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    zeros = {"w": jnp.zeros((2, 2)), "b": jnp.zeros(2)}
    updates, _ = tx.update(zeros, tx.init(params), params)
    assert float(updates["w"][0, 0]) == 0.5
    assert float(updates["b"][0]) == 0.0


def test_needs_params():
    tx = gradtx.add_decayed_weights(0.5)
    with pytest.raises(ValueError, match="add_decayed_weights needs the parameters"):
        tx.update({"w": jnp.ones(2)}, tx.init({"w": jnp.ones(2)}))
