"""Polyak's step against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

G = {"a": jnp.array([3.0, 0.0]), "b": jnp.array(4.0)}


def factor(value, **arguments):
    tx = gradtx.scale_by_polyak(**arguments)
    u, _ = tx.update(G, tx.init(G), value=value)
    np.testing.assert_allclose(u["a"][0] / 3.0, u["b"] / 4.0, rtol=1e-6)
    return float(u["b"]) / 4.0


@pytest.mark.parametrize(
    ("value", "arguments", "expected"),
    [
        (5.0, {}, 5.0 / 25.0),
        (5.0, {"f_min": 2.0, "eps": 5.0}, 3.0 / 30.0),
        (5.0, {"max_learning_rate": 0.01}, 0.01),
        (-5.0, {}, -0.2),
        (-5.0, {"variant": "sps+"}, 0.0),
    ],
)
def test_formula(value, arguments, expected):
    assert factor(value, **arguments) == pytest.approx(expected, rel=1e-6)


def test_one_step_solves_a_parabola_of_slope_two():
    """With f = |w|^2 / 2 the paper's step is half of Newton's, and the gap falls by a quarter."""
    w = {"w": jnp.array([2.0, -1.0])}
    tx = gradtx.polyak_sgd()
    state = tx.init(w)
    for _ in range(30):
        value, g = jax.value_and_grad(lambda w: jnp.sum(w["w"] ** 2) / 2)(w)
        w, state = tx.step(g, state, w, value=value)
    assert float(jnp.linalg.norm(w["w"])) == pytest.approx(np.sqrt(5) * 0.5**30, rel=1e-4)


def test_zero_gradient_does_not_move():
    zeros = jax.tree.map(jnp.zeros_like, G)
    tx = gradtx.scale_by_polyak()
    u, _ = tx.update(zeros, tx.init(G), value=1.0)
    assert all(not np.any(x) for x in jax.tree.leaves(u))


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), jnp.float32(1), jnp.bfloat16(1)])
def test_any_number_will_do(value):
    assert factor(value) == pytest.approx(1 / 25, rel=1e-6)


def test_messages():
    tx = gradtx.scale_by_polyak()
    with pytest.raises(TypeError, match="scale_by_polyak needs the extra argument `value`"):
        tx.update(G, tx.init(G))
    with pytest.raises(ValueError, match=r"`value` must be one number.*mean over the batch"):
        tx.update(G, tx.init(G), value=jnp.ones(3))
    with pytest.raises(ValueError, match=r"`variant` must be 'sps' or 'sps.', but is 'max'"):
        gradtx.scale_by_polyak(variant="max")
