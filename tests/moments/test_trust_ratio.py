"""Updates as long as their parameter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def norm(x, least=0.0):
    return max(np.sqrt(np.sum(x**2)), least)


@pytest.mark.parametrize(("least", "coefficient", "eps"), [(0.0, 0.3, 0.2), (3.0, 0.7, 0.0)])
def test_formula(least, coefficient, eps):
    def loop(w, gradients):
        for g in gradients:
            size = norm(g, least)
            ratio = coefficient * norm(w, least) / (size + eps) if size > 0 else 1.0
            w = w - 0.01 * ratio * g
            yield w

    tx = gradtx.scale_by_trust_ratio(least, coefficient, eps)
    check_formula(gradtx.chain(tx, gradtx.scale(-0.01)), loop, tolerance=1e-11)


def test_update_is_as_long_as_the_parameter():
    params, g = {"w": jnp.array([3.0, 4.0])}, {"w": jnp.array([0.0, 1e-3])}
    u, _ = gradtx.scale_by_trust_ratio().update(g, gradtx.EmptyState(), params)
    np.testing.assert_allclose(u["w"], [0.0, 5.0], rtol=1e-6)


@pytest.mark.parametrize("zero", ["updates", "parameters"])
def test_ratio_is_one_where_a_norm_is_zero(zero):
    g, p = jnp.ones(2), jnp.full(2, 5.0)
    g, p = (jnp.zeros(2), p) if zero == "updates" else (g, jnp.zeros(2))

    def updated(g):
        return gradtx.scale_by_trust_ratio().update(g, gradtx.EmptyState(), p)[0]

    assert np.array_equal(updated(g), g)
    assert np.isfinite(jax.jacobian(updated)(g)).all()


def test_masked_leaves_pass():
    params, g = {"w": jnp.full(1, 4.0), "b": jnp.full(1, 4.0)}, {"w": jnp.ones(1), "b": jnp.ones(1)}
    tx = gradtx.scale_by_trust_ratio(mask={"w": True, "b": False})
    u, _ = tx.update(g, tx.init(params), params)
    assert (float(u["w"][0]), float(u["b"][0])) == (4.0, 1.0)


def test_needs_the_parameters():
    tx = gradtx.scale_by_trust_ratio()
    with pytest.raises(ValueError, match="scale_by_trust_ratio needs the parameters"):
        tx.update({"w": jnp.ones(1)}, gradtx.EmptyState())
