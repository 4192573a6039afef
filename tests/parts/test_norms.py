"""Norms of one array and the factor that keeps below a limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx._parts.norms import norm, root_mean_square, shrinking, square_norm


def test_norms_of_real_and_complex_arrays():
    x = jnp.array([3.0 + 4.0j, 0.0, 12.0])
    assert float(square_norm(x)) == 169.0
    assert float(norm(x)) == 13.0
    assert float(root_mean_square(jnp.array([3.0, -4.0, 0.0, 0.0]))) == 2.5
    assert float(root_mean_square(jnp.zeros((0, 2)))) == 0.0


@pytest.mark.parametrize(
    ("size", "limit", "factor"),
    [
        (2.0, 1.0, 0.5),
        (1.0, 2.0, 1.0),
        (0.0, 0.0, 1.0),
        (1.0, 0.0, 0.0),
        (3.0, np.inf, 1.0),
        (np.inf, 1.0, 0.0),
        (np.nan, 1.0, 0.0),
        (np.inf, np.inf, 1.0),
        (np.nan, np.inf, 1.0),
    ],
)
def test_shrinking(size, limit, factor):
    assert float(shrinking(jnp.float32(size), jnp.float32(limit))) == factor


def test_derivative_at_zero_is_finite():
    def shrunk(x):
        return x * shrinking(norm(x), jnp.float32(1.0))

    assert np.array_equal(jax.jacobian(shrunk)(jnp.zeros(2)), np.eye(2))
