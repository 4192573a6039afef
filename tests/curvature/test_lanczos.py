"""Tests of gradtx/curvature/_lanczos.py."""

import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import curvature
from gradtx.curvature._lanczos import Lanczos, generator
from tests.curvature.cases import SIZE, matrix, operator

SPECTRUM = np.linspace(-1.0, 3.0, SIZE)


def grown(steps, eigenvalues=SPECTRUM, most=SIZE):
    lanczos = Lanczos(operator(eigenvalues), most, generator("test", None))
    lanczos.begin()
    for _ in range(steps):
        lanczos.step()
    return lanczos


def basis(lanczos):
    """The rows that were multiplied, and the next one."""
    return np.asarray(lanczos._basis)[: lanczos.size + 1]


def test_the_relation_that_everything_rests_on(x64):
    """A Q = Q T + beta q e_m', with Q orthonormal and T tridiagonal."""
    lanczos = grown(20)
    Q, T = basis(lanczos), lanczos._T[:20, :20]
    np.testing.assert_allclose(Q @ Q.T, np.eye(21), atol=1e-14)
    np.testing.assert_allclose(T, np.triu(np.tril(T, 1), -1), atol=1e-14)
    left = matrix(SPECTRUM) @ Q[:20].T - Q[:20].T @ T
    np.testing.assert_allclose(left[:, :-1], 0.0, atol=1e-14)
    np.testing.assert_allclose(left[:, -1], lanczos.beta * Q[20], atol=1e-14)


def residuals(lanczos):
    ritz = lanczos.ritz()
    Y = np.asarray(lanczos.vectors(ritz.vectors))
    return ritz, np.linalg.norm(Y @ matrix(SPECTRUM) - ritz.values[:, None] * Y, axis=1)


def test_bounds_are_the_residuals(x64):
    ritz, norms = residuals(grown(20))
    np.testing.assert_allclose(ritz.bounds, norms, atol=1e-14)
    nearest = np.abs(ritz.values[:, None] - SPECTRUM).min(axis=1)
    assert np.all(nearest <= ritz.bounds + 1e-14)


def test_restart_keeps_the_relation(x64):
    lanczos = grown(20, most=20)
    before = lanczos.ritz()
    lanczos.restart(np.array([0, 1, 17, 18, 19]))
    assert lanczos.size == 5
    np.testing.assert_allclose(lanczos.ritz().values, before.values[[0, 1, 17, 18, 19]])
    for _ in range(15):
        lanczos.step()
    Q = basis(lanczos)
    np.testing.assert_allclose(Q @ Q.T, np.eye(21), atol=1e-14)
    ritz, norms = residuals(lanczos)
    np.testing.assert_allclose(ritz.bounds, norms, atol=1e-13)
    assert ritz.bounds[-1] < before.bounds[-1] / 10  # and it goes on converging


def test_dropped_residuals_stay_in_the_bounds(x64):
    lanczos = grown(12)
    kept = lanczos.ritz()
    lanczos.settle(np.array([0, 10, 11]))
    assert lanczos.start == lanczos.size == 3
    for _ in range(10):
        lanczos.step()
    ritz, norms = residuals(lanczos)
    assert np.all(norms <= ritz.bounds + 1e-14)
    assert kept.bounds[11] > 1e-6  # so that there was something to forget


def test_invariant_subspace():
    """Three different eigenvalues: the fourth vector vanishes."""
    lanczos = grown(3, eigenvalues=[0.0, 1.0, 5.0, 5.0] * 10)
    assert lanczos.invariant and lanczos.beta == 0.0 and not lanczos.full
    np.testing.assert_allclose(lanczos.ritz().values, [0.0, 1.0, 5.0], atol=1e-5)


def test_rounding_sees_products_that_are_coarse():
    exact = grown(20)
    A = exact.operator
    coarse = curvature.linear_operator(
        lambda v: A(v).astype(jnp.bfloat16).astype(jnp.float32), jnp.zeros(SIZE)
    )
    rounded = Lanczos(coarse, SIZE, generator("test", None))
    rounded.begin()
    for _ in range(20):
        rounded.step()
    assert exact.rounding < 1e-5 < 1e-3 < rounded.rounding < 0.1


def test_products_that_are_not_finite():
    A = curvature.linear_operator(lambda v: v / 0.0, jnp.zeros(SIZE))
    lanczos = Lanczos(A, SIZE, generator("test", None))
    lanczos.begin()
    with pytest.raises(FloatingPointError, match=r"is not finite\. Are the params or the data"):
        lanczos.step()
