"""Tests of gradtx/curvature/_second_order.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import curvature
from tests.curvature.cases import data, flat, loss, network

SIZES = (4, 5, 3)


def test_on_flat_vectors_and_on_trees(x64):
    params, (x, y) = network(SIZES), data(SIZES, 6)
    _, vector = flat(loss, params)
    H = np.asarray(curvature.hessian(loss, params, x, y).dense())  # compared in test_products.py
    np.testing.assert_allclose(curvature.hvp(loss, vector, params, x, y), H @ vector, atol=1e-14)
    product = curvature.hvp(loss, params, params, x, y)
    np.testing.assert_allclose(product[0]["b"], (H @ vector)[:5], atol=1e-14)
    diagonal = curvature.hessian_diag(loss, params, inputs=x, targets=y)
    np.testing.assert_allclose(diagonal, np.diag(H), atol=1e-14)


def test_fisher_diag_is_the_mean_of_squares(x64):
    params, (x, y) = network(SIZES), data(SIZES, 6)
    value, vector = flat(loss, params)
    gradient = jax.jit(jax.grad(value))
    each = [gradient(vector, x[i : i + 1], y[i : i + 1]) for i in range(6)]
    expected = np.mean(np.square(each), axis=0)
    np.testing.assert_allclose(curvature.fisher_diag(loss, params, x, y), expected, atol=1e-14)


@pytest.mark.slow
def test_more_entries_than_one_block():
    x = jnp.linspace(0.1, 1.0, 100)
    diagonal = curvature.hessian_diag(lambda x, a, b: jnp.sum(a * x**3), x, 2.0, None)
    np.testing.assert_allclose(diagonal, 12.0 * x, rtol=1e-6)


def test_params_that_are_a_vector():
    x = jnp.ones(3)
    product = curvature.hvp(lambda x, a, b: jnp.sum(x**2), 2.0 * x, x, None, None)
    np.testing.assert_array_equal(product, [4.0, 4.0, 4.0])


def test_a_vector_of_another_size():
    with pytest.raises(ValueError, match=r"must have the same tree structure|must be real with"):
        curvature.hvp(loss, jnp.ones(5), network(SIZES), *data(SIZES, 6))
