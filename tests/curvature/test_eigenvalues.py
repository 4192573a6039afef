"""Tests of gradtx/curvature/_eigenvalues.py and _search.py."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import curvature
from gradtx.curvature._search import default_basis
from gradtx.testing import problems
from tests.curvature.cases import SIZE, data, ends, flat, loss, matrix, network, operator

BULK = np.linspace(0.0, 1.0, SIZE)
# name -> eigenvalues, how many of the largest and of the smallest
SPECTRA = {
    "spread": (BULK, 3, 2),
    "indefinite": (np.linspace(-1.0, 1.0, SIZE), 2, 2),
    "badly conditioned": (np.geomspace(1e-4, 1.0, SIZE), 2, 2),
    "double": (np.r_[BULK[:-2], 2.0, 2.0], 3, 0),
    "triple below another": (np.r_[BULK[:-4], 3.0, 2.0, 2.0, 2.0], 5, 1),
    "double at the end of the bulk": (np.r_[BULK[:-1], 1.0], 2, 0),
    "identity": (np.ones(SIZE), 3, 2),
    "zero": (np.zeros(SIZE), 2, 1),
    "two values": (np.r_[np.ones(SIZE // 2), np.full(SIZE // 2, -2.0)], 3, 3),
    "rank 5": (np.r_[np.zeros(SIZE - 5), np.arange(1.0, 6.0)], 7, 2),
    "all": (BULK, SIZE, 3),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_against_the_dense_matrix(name, x64):
    spectrum, largest, smallest = SPECTRA[name]
    found = curvature.eigenvalues(operator(spectrum), largest, smallest)
    expected = ends(np.linalg.eigvalsh(matrix(spectrum)), largest, smallest)
    scale = max(np.abs(spectrum).max(), 1e-300)
    np.testing.assert_allclose(found.values, expected, atol=1e-6 * scale)
    assert np.all(np.abs(found.values - expected) <= found.errors)
    assert found.converged.all() and found.multiplicity_checked
    assert found.largest == min(largest, SIZE)
    assert np.all(found.errors <= 2e-6 * scale)


@pytest.mark.parametrize("name", SPECTRA)
def test_float32_says_how_accurate_it_is(name):
    spectrum, largest, smallest = SPECTRA[name]
    found = curvature.eigenvalues(operator(spectrum), largest, smallest)
    expected = ends(spectrum, largest, smallest)
    scale = np.abs(spectrum).max()
    np.testing.assert_allclose(found.values, expected, atol=1e-4 * scale)
    # Some eigenvalue is as near as claimed; which one cannot be told within the tolerance.
    assert np.all(np.abs(found.values[:, None] - spectrum).min(axis=1) <= found.errors)
    assert found.converged.all() and found.tolerance == 1e-4
    assert np.all(found.errors <= 1e-4 * scale)


def test_bfloat16_says_how_accurate_it_is():
    spectrum = np.linspace(-0.5, 4.0, SIZE)
    found = curvature.eigenvalues(operator(spectrum, jnp.bfloat16), 2, 1)
    assert found.tolerance == 3e-2
    assert np.all(np.abs(found.values - ends(spectrum, 2, 1)) <= found.errors)
    assert 1e-3 < found.rounding < 0.2


def test_a_small_basis_restarts(x64):
    spectrum, largest, smallest = SPECTRA["triple below another"]
    found = curvature.eigenvalues(operator(spectrum), largest, smallest, basis=18, vectors=True)
    np.testing.assert_allclose(found.values, ends(spectrum, largest, smallest), atol=1e-6)
    V = np.stack(found.vectors)
    np.testing.assert_allclose(V @ V.T, np.eye(6), atol=1e-12)
    left = np.linalg.norm(V @ matrix(spectrum) - found.values[:, None] * V, axis=1)
    assert np.all(left <= found.errors)


def test_vectors_are_trees(x64):
    params = {"a": jnp.zeros(2), "n": 3, "b": jnp.zeros(())}
    A = curvature.hessian(lambda p: p["a"][0] ** 2 + 3.0 * p["b"] ** 2, params)
    found = curvature.eigenvalues(A, 1, vectors=True)
    (vector,) = found.vectors
    assert found.values[0] == pytest.approx(6.0) and vector["n"] is None
    assert abs(float(vector["b"])) == pytest.approx(1.0) and vector["a"].shape == (2,)


@pytest.mark.parametrize("counts", [(1, 0), (0, 1), (1, 1), (5, 5)])
def test_one_parameter(counts):
    found = curvature.eigenvalues(operator([-3.0]), *counts)
    np.testing.assert_allclose(found.values, [-3.0], rtol=1e-6)
    assert found.products == 1 and found.converged.all()


def test_without_multiplicity_fewer_products():
    A = operator(SPECTRA["double"][0])
    once = curvature.eigenvalues(A, 1, multiplicity=False)
    checked = curvature.eigenvalues(A, 1)
    assert once.products < checked.products
    assert checked.multiplicity_checked and not once.multiplicity_checked
    assert "not looked for further copies" in str(once)


def test_too_few_products_are_told():
    found = curvature.eigenvalues(operator(BULK), 3, max_products=8)
    assert found.products == 8 and not found.converged.any()
    assert str(found).count("not converged") == 3
    # Each estimate is still near some eigenvalue.
    assert np.all(np.abs(found.values[:, None] - BULK).min(axis=1) <= found.errors)


def test_progress():
    told = []
    found = curvature.eigenvalues(operator(BULK), 2, progress=told.append)
    assert [p.products for p in told] == list(range(1, found.products + 1))
    assert len(told[0].values) == 1 and len(told[-1].values) == 2
    assert not told[3].converged and told[-1].converged
    first = next(p for p in told if p.converged)
    assert np.all(first.bounds <= first.goal) and first.limit == 1000


def test_text(x64):
    text = str(curvature.eigenvalues(operator([1.0, 2.0, 4.0]), 1, 1)).splitlines()
    assert text[0].split() == ["eigenvalue", "error", "at", "most"]
    assert text[1].split()[0] == "4" and text[2].split()[0] == "1"
    assert text[3] == "3 products, tolerance 1e-06 of 4"


def test_default_basis():
    assert default_basis(10**6, 4, 5) == 67  # 256 MB
    assert default_basis(10**9, 4, 5) == 40
    assert default_basis(10**4, 8, 5) == 2000
    assert default_basis(30, 8, 5) == 30
    assert default_basis(10**9, 4, 100) == 320


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"largest": 0}, "one of them be positive, but they are 0 and 0"),
        ({"smallest": -1}, "must not be negative, .* but they are 1 and -1"),
        ({"tolerance": 0.0}, r"`tolerance` must be in \(0, 1\), but is 0.0"),
        ({"basis": 5}, "`basis` must be at least 8, .* but is 5"),
        ({"max_products": 0}, "`max_products` must be at least 1, since .* but is 0"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        curvature.eigenvalues(operator(BULK), **arguments)


def test_an_operator_that_is_not_symmetric():
    shift = curvature.linear_operator(lambda v: jnp.roll(v, 1), jnp.zeros(SIZE))
    with pytest.raises(ValueError, match="must be symmetric, but q_i' A q_j and"):
        curvature.eigenvalues(shift, max_products=20)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda A: curvature.eigenvalues(A, 2, 2, max_products=3),
            ValueError,
            "`max_products` must be at least 4, since each eigenvalue takes one, but is 3",
        ),
        (
            lambda A: curvature.eigenvalues(A, 1.5),
            TypeError,
            "`largest` must be an integer, but is 1.5",
        ),
        (jax.jit(lambda A: curvature.eigenvalues(A).values), TypeError, "must be called outside"),
        (
            lambda A: jax.jit(lambda: curvature.condition_number(A).value)(),
            TypeError,
            "condition_number: runs in Python",
        ),
        (
            jax.jit(lambda A: curvature.spectral_density(A).nodes),
            TypeError,
            "trace, diagonal, hutch_plus_plus and sharpness work inside",
        ),
        (
            lambda A: curvature.spectral_density(A, probes=np.zeros((1, SIZE))),
            ValueError,
            "probes must not be 0, but one of them is",
        ),
        (lambda A: A.damped(jnp.ones(2)), ValueError, "must be one number, but has shape"),
    ],
)
def test_calls_that_cannot_be(call, error, message):
    with pytest.raises(error, match=message):
        call(operator(BULK))


# --- large ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_network_of_2000_parameters(x64):
    """Five at each end, to 1e-6 of the largest magnitude, as a dense decomposition has them."""
    sizes = (20, 50, 16, 5)
    params, (x, y) = network(sizes), data(sizes, 200)
    value, vector = flat(loss, params)
    expected = ends(np.linalg.eigvalsh(jax.jit(jax.hessian(value))(vector, x, y)), 5, 5)
    found = curvature.eigenvalues(curvature.hessian(loss, params, x, y), 5, 5)
    assert len(vector) == 1951 and found.converged.all()
    np.testing.assert_allclose(found.values, expected, atol=1e-6 * np.abs(expected).max())
    assert np.all(np.abs(found.values - expected) <= found.errors)


@pytest.mark.slow
@pytest.mark.parametrize("condition", [1e3])
def test_quadratic_of_2000_parameters(condition, x64):
    problem = problems.quadratic(condition, 2000, seed=0)
    A = curvature.hessian(problem.function, jnp.asarray(problem.start))
    found = curvature.eigenvalues(A, 2, 2, multiplicity=False)
    expected = ends(np.geomspace(1.0, condition, 2000), 2, 2)
    assert found.converged.all()
    np.testing.assert_allclose(found.values, expected, atol=1e-6 * condition)


@pytest.mark.slow
def test_network_of_a_million_parameters(monkeypatch):
    """Five largest in seconds; float64 says that the errors are as small as claimed."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    sys.modules.pop("conditioning", None)
    import conditioning

    params, digits = conditioning.million(jax.random.key(0)), conditioning.load().train
    x, y = digits.images.reshape(-1, 64)[:256], digits.labels[:256]
    found = curvature.eigenvalues(curvature.hessian(conditioning.network_loss, params, x, y), 5)
    assert found.products <= 50  # a tenth of a second each; a minute would be 600
    assert found.converged.all() and found.multiplicity_checked
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda p: jnp.asarray(p, float), params)
        A = curvature.hessian(conditioning.network_loss, wide, jnp.asarray(x, float), y)
        exact = curvature.eigenvalues(A, 2, multiplicity=False)
    assert np.all(np.abs(found.values[:2] - exact.values) <= found.errors[:2] + exact.errors)
