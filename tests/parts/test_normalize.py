"""Normalisation of updates, by their own norm or that of their parameter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def each(normalized):
    def loop(w, gradients):
        for g in gradients:
            w = w + normalized(g, w)
            yield w

    return loop


def unit(g):
    size = np.sqrt(np.sum(g**2))
    return g / size if size > 0 else 0 * g


@pytest.mark.parametrize(
    ("tx", "normalized"),
    [
        (gradtx.normalize(), lambda g, w: unit(g)),
        (gradtx.normalize_by_block_norm(-0.3, 0.0), lambda g, w: -0.3 * unit(g)),
        (
            gradtx.normalize_by_update_norm(1.7, 0.2),
            lambda g, w: 1.7 * g / (np.sqrt(np.sum(g**2)) + 0.2),
        ),
        (
            gradtx.normalize_by_block_norm(1.7, 0.2),
            lambda g, w: 1.7 * g / (np.sqrt(np.sum(g**2)) + 0.2),
        ),
        (
            gradtx.chain(gradtx.scale(1e-4), gradtx.scale_by_param_block_norm(0.5)),
            lambda g, w: 1e-4 * g * max(np.sqrt(np.sum(w**2)), 0.5),
        ),
        (
            gradtx.chain(gradtx.scale(1e-4), gradtx.scale_by_param_block_rms(0.5)),
            lambda g, w: 1e-4 * g * max(np.sqrt(np.mean(w**2)), 0.5),
        ),
    ],
)
def test_formula(tx, normalized):
    check_formula(tx, each(normalized), tolerance=1e-11)


def test_norm_of_the_whole_tree_or_of_each_array():
    g = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    whole, _ = gradtx.normalize().update(g, gradtx.EmptyState())
    np.testing.assert_allclose([whole["a"][0], whole["b"][0]], [0.6, 0.8], rtol=1e-6)
    each_of_them, _ = gradtx.normalize_by_block_norm(eps=0.0).update(g, gradtx.EmptyState())
    np.testing.assert_allclose([each_of_them["a"][0], each_of_them["b"][0]], [1.0, 1.0])


@pytest.mark.parametrize("tx", [gradtx.normalize(), gradtx.normalize_by_block_norm(eps=0.0)])
def test_zero_gradient_gives_zero_and_a_finite_derivative(tx):
    def total(g):
        return jnp.sum(tx.update({"w": g}, gradtx.EmptyState())[0]["w"])

    assert float(total(jnp.zeros(3))) == 0.0
    assert np.isfinite(jax.grad(total)(jnp.zeros(3))).all()


@pytest.mark.parametrize(
    "make", [gradtx.scale_by_param_block_norm, gradtx.scale_by_param_block_rms]
)
def test_parameter_of_zeros_can_move(make):
    zeros, ones = {"w": jnp.zeros(4)}, {"w": jnp.ones(4)}
    np.testing.assert_allclose(make().update(ones, gradtx.EmptyState(), zeros)[0]["w"], 1e-3)
    with pytest.raises(ValueError, match="needs the parameters"):
        make().update(ones, gradtx.EmptyState())
