"""Tests of gradtx/curvature/_density.py."""

import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.curvature import spectral_density
from tests.curvature.cases import SIZE, matrix, operator

SPECTRUM = np.r_[np.linspace(-0.2, 0.5, SIZE - 2), 2.0, 3.0]


def moments(powers):
    return [np.mean(SPECTRUM**power) for power in powers]


def test_moments_are_exact_for_all_unit_vectors(x64):
    """With m steps up to the power 2 m - 1."""
    density = spectral_density(operator(SPECTRUM), probes=np.eye(SIZE), steps=4)
    assert density.nodes.shape == density.weights.shape == (SIZE, 4)
    found = [density.moment(power)[0] for power in range(9)]
    np.testing.assert_allclose(found[:8], moments(range(8)), rtol=1e-12)
    assert abs(found[8] - moments([8])[0]) > 1e-3
    assert density.products == 4 * SIZE and density.size == SIZE


def test_a_probe_is_a_quadrature(x64, rng):
    v = rng.standard_normal(SIZE)
    density = spectral_density(operator(SPECTRUM), probes=v[None], steps=7)
    A, v = matrix(SPECTRUM), v / np.linalg.norm(v)
    for power in range(14):
        expected = v @ np.linalg.matrix_power(A, power) @ v
        np.testing.assert_allclose(density.moment(power)[0], expected, rtol=1e-11)
    assert np.isnan(density.moment(1)[1])


def test_moments_of_random_probes_agree_within_their_errors(x64):
    density = spectral_density(operator(SPECTRUM), probes=40, steps=7)
    for power, expected in enumerate(moments(range(5))):
        found, error = density.moment(power)
        assert abs(found - expected) <= 4.0 * error + 1e-6
        assert error < 0.3 * np.max(np.abs(SPECTRUM)) ** power


def test_smoothed_density(x64):
    density = spectral_density(operator(SPECTRUM), probes=20, steps=30)
    grid, height = density.smoothed()
    assert np.trapezoid(height, grid) == pytest.approx(1.0, abs=1e-4)
    assert grid[0] < -0.2 and grid[-1] > 3.0
    share = np.trapezoid(np.where(grid > 1.5, height, 0.0), grid)
    assert share == pytest.approx(2.0 / SIZE, abs=0.03)
    at, low = density.smoothed(np.array([1.2]), width=0.01)
    assert at.shape == (1,) and low[0] < 1e-6  # there is a gap


def test_equal_eigenvalues_end_early(x64):
    density = spectral_density(operator(np.full(SIZE, 2.0)), probes=3, steps=4)
    assert density.products == 3
    np.testing.assert_allclose(density.weights, [[1, 0, 0, 0]] * 3, atol=1e-6)
    np.testing.assert_allclose(density.nodes, 2.0, rtol=1e-6)
    grid, height = density.smoothed()
    assert np.trapezoid(height, grid) == pytest.approx(1.0, abs=1e-3)


def test_progress(x64):
    told = []
    spectral_density(operator(SPECTRUM), probes=2, steps=4, progress=lambda *p: told.append(p))
    assert told == [(k, 8) for k in range(1, 9)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probes": 0}, "at least 1, but they are 0 and 80"),
        ({"steps": 0}, "at least 1, but they are 10 and 0"),
        ({"probes": jnp.ones(SIZE)}, r"must have shape \(probes, 40\), but have \(40,\)"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        spectral_density(operator(SPECTRUM), **arguments)


def test_width_must_be_positive():
    density = spectral_density(operator(SPECTRUM), probes=1, steps=2)
    with pytest.raises(ValueError, match=r"`width` must be positive, but is 0.0"):
        density.smoothed(width=0.0)
