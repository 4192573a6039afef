"""Tests of gradtx/curvature/_sharpness.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.curvature import hessian, sharpness
from tests.curvature.cases import SIZE, matrix, operator

SPECTRUM = np.linspace(-1.0, 3.0, SIZE)


def test_against_the_matrix(x64, rng):
    H, g = matrix(SPECTRUM), rng.standard_normal(SIZE)
    found = jax.jit(sharpness)(operator(SPECTRUM), g)
    np.testing.assert_allclose(found.curvature, g @ H @ g / (g @ g), rtol=1e-12)
    np.testing.assert_allclose(found.gradient_norm, np.linalg.norm(g), rtol=1e-12)
    np.testing.assert_allclose(found.product_norm, np.linalg.norm(H @ g), rtol=1e-12)


def test_it_is_where_the_loss_stops_falling():
    """On 2 x^2 the step 1 / c leads to the minimum, and 2 / c to the other side."""
    A = hessian(lambda x: 2.0 * x**2, jnp.float32(3.0))
    found = sharpness(A, jnp.float32(12.0))
    assert 3.0 - 12.0 / found.curvature == 0.0


def test_zero_gradient():
    found = sharpness(hessian(lambda x: jnp.sum(x**2), jnp.ones(3)), jnp.zeros(3))
    assert tuple(map(float, found)) == (0.0, 0.0, 0.0)


def test_errors():
    with pytest.raises(TypeError, match="sharpness: `operator` must be an Operator"):
        sharpness(jnp.eye(3), jnp.ones(3))


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_squares_of_small_and_large_gradients_do_not_vanish(scale):
    A = hessian(lambda x: jnp.sum(jnp.array([1.0, 3.0]) * x**2) / 2, jnp.ones(2))
    found = sharpness(A, jnp.full(2, scale))
    expected = [2.0, 2**0.5 * scale, 10**0.5 * scale]
    np.testing.assert_allclose([float(x) for x in found], expected, rtol=1e-5)
