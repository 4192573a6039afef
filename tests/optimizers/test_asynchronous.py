"""ADOPT and ACProp as whole optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

LR = 0.013


@pytest.mark.parametrize(
    ("optimizer", "direction", "decay"),
    [
        (
            gradtx.adopt(LR, 0.8, 0.95, 1e-3, nesterov=True, clip_value_fn=lambda count: 0.5),
            gradtx.scale_by_adopt(0.8, 0.95, 1e-3, nesterov=True, clip_value_fn=lambda count: 0.5),
            0.0,
        ),
        (
            gradtx.acprop(LR, 0.8, 0.95, 1e-3, 1e-5, 0.2),
            gradtx.scale_by_acprop(0.8, 0.95, 1e-3, 1e-5),
            0.2,
        ),
    ],
    ids=["adopt", "acprop"],
)
def test_optimizer_is_its_direction_against_the_rate(optimizer, direction, decay):
    params = {"w": jnp.array([1.0, -2.0])}
    state, inner = optimizer.init(params), direction.init(params)
    for t in range(4):
        g = {"w": jnp.array([1.0 + t, -0.3 * t])}
        u, state = optimizer.update(g, state, params)
        d, inner = direction.update(g, inner)
        np.testing.assert_allclose(u["w"], -LR * (d["w"] + decay * params["w"]), rtol=1e-5)


def test_adopt_with_decay():
    """Decoupled, and at the first step too, which otherwise only looks."""

    def loop(w, gradients):
        m = v = 0.0
        for t, g in enumerate(gradients):
            if t:
                m = 0.8 * m + 0.2 * g / np.maximum(np.sqrt(v), 1e-3)
            v = 0.95 * v + 0.05 * g**2 if t else g**2
            w = w - LR * (m + 0.3 * w)
            yield w

    tx = gradtx.adopt(LR, 0.8, 0.95, 1e-3, use_clipping=False, weight_decay=0.3)
    check_formula(tx, loop)


def test_adopt_converges_where_adam_does_not():
    """The paper's example: a rare large gradient outweighs the many small ones against it."""
    rng = np.random.default_rng(0)
    large = rng.uniform(size=3000) < 0.1
    gradients = jnp.asarray(np.where(large, 12.0, -1.0), jnp.float32)  # its mean is 0.3

    def travelled(tx):
        def step(state, g):
            u, state = tx.update({"w": g}, state)
            return state, u["w"]

        return float(jnp.sum(jax.lax.scan(step, tx.init({"w": jnp.zeros(())}), gradients)[1]))

    adopt = gradtx.adopt(0.01, 0.0, 0.1, use_clipping=False)
    assert travelled(adopt) < 0 < travelled(gradtx.adam(0.01, 0.0, 0.1))
