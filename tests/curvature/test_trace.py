"""Tests of gradtx/curvature/_trace.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import curvature
from tests.curvature.cases import SIZE, matrix, operator

SPECTRUM = np.r_[np.linspace(0.0, 0.1, SIZE - 3), 1.0, 2.0, 3.0]
TRACE = SPECTRUM.sum()


@pytest.mark.parametrize("distribution", ["rademacher", "normal"])
def test_trace_within_its_error(key, distribution):
    found = curvature.trace(operator(SPECTRUM), key, 200, distribution)
    assert found.products == 200
    assert abs(found.value - TRACE) < 4.0 * found.standard_error
    A = matrix(SPECTRUM)
    kept = A if distribution == "normal" else A - np.diag(np.diag(A))
    expected = np.sqrt(2.0 * np.sum(kept**2) / 200)
    assert float(found.standard_error) == pytest.approx(expected, rel=0.25)


def test_signs_see_no_noise_of_a_diagonal(key):
    A = curvature.linear_operator(lambda v: 3.0 * v, jnp.zeros(SIZE))
    found = curvature.trace(A, key, 8)
    assert float(found.value) == pytest.approx(3.0 * SIZE) and float(found.standard_error) == 0.0


@pytest.mark.slow
def test_hutch_plus_plus_is_far_better_where_few_eigenvalues_are_large(key):
    A = operator(SPECTRUM)
    plain, better = curvature.trace(A, key, 24), curvature.hutch_plus_plus(A, key, 24)
    assert better.products == 24
    assert abs(better.value - TRACE) < 4.0 * better.standard_error + 1e-4
    assert better.standard_error < plain.standard_error / 4.0


def test_hutch_plus_plus_is_exact_for_a_low_rank(key):
    A = operator(np.r_[np.zeros(SIZE - 4), np.arange(1.0, 5.0)])
    found = curvature.hutch_plus_plus(A, key, 24, "normal")
    assert float(found.value) == pytest.approx(10.0, rel=1e-4)
    assert float(found.standard_error) < 1e-4


def test_diagonal_within_its_error(key):
    params = {"a": jnp.zeros((5, 6)), "n": 3, "b": jnp.zeros(10)}
    M = jnp.asarray(matrix(SPECTRUM), jnp.float32)

    def loss(params):
        x = jnp.concatenate([params["a"].ravel(), params["b"]])
        return 0.5 * jnp.vdot(x, M @ x)

    A = curvature.hessian(loss, params)
    found = curvature.diagonal(A, key, 96)
    assert found.value["n"] is None and found.value["a"].shape == (5, 6)
    away = A.flatten(found.value) - np.diag(matrix(SPECTRUM))
    away = np.asarray(away / A.flatten(found.standard_error))
    assert 0.7 < np.sqrt(np.mean(away**2)) < 1.4


def test_one_probe_has_no_error(key):
    assert np.isnan(curvature.trace(operator(SPECTRUM), key, 1).standard_error)
    assert np.isnan(curvature.diagonal(operator(SPECTRUM), key, 1).standard_error).all()


def test_under_jit(key):
    A = operator(SPECTRUM)

    @jax.jit
    def both(A, key):
        return curvature.trace(A, key, 8), curvature.diagonal(A, key, 8)

    trace, diagonal = both(A, key)
    np.testing.assert_allclose(trace.value, curvature.trace(A, key, 8).value, rtol=1e-5)
    expected = curvature.diagonal(A, key, 8)
    np.testing.assert_allclose(diagonal.value, expected.value, atol=1e-5)
    np.testing.assert_allclose(diagonal.standard_error, expected.standard_error, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (curvature.trace, "trace: `probes` must be at least 1, but is 0"),
        (curvature.diagonal, "diagonal: `probes` must be at least 1, but is 0"),
        (curvature.hutch_plus_plus, "`products` must be at least 6, but is 0"),
    ],
)
def test_errors(key, call, message):
    with pytest.raises(ValueError, match=message):
        call(operator(SPECTRUM), key, 0)


def test_unknown_distribution(key):
    with pytest.raises(ValueError, match=r"one of \['normal', 'rademacher'\], but is 'cauchy'"):
        curvature.trace(operator(SPECTRUM), key, 10, "cauchy")


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_errors_of_small_and_large_operators(scale):
    A = curvature.linear_operator(lambda v: scale * jnp.flip(v), jnp.zeros(6))
    for estimate in (curvature.trace, curvature.hutch_plus_plus, curvature.diagonal):
        found = estimate(A, 3, 7)  # an integer as the key
        assert np.all(np.isfinite(found.standard_error))
    assert np.all(found.standard_error > 0.1 * scale)
