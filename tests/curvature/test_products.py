"""Tests of gradtx/curvature/_products.py: each operator against its matrix, formed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import curvature
from tests.curvature.cases import apply, cross_entropy, data, flat, loss, network

SIZES, EXAMPLES = (4, 5, 3), 6


@pytest.fixture(scope="module")
def matrices():
    """Params, inputs, labels; the Jacobian of the outputs (examples, outputs, n) and the logits."""
    with jax.enable_x64(True):
        params, (x, y) = network(SIZES), data(SIZES, EXAMPLES)
        outputs, vector = flat(apply, params)
        both = jax.jit(lambda v, x: (jax.jacobian(outputs)(v, x), outputs(v, x)))
        return params, x, y, *map(np.asarray, both(vector, x))


@pytest.fixture
def problem(x64, matrices):
    return matrices


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def check(A, expected):
    """One product with a random vector tells two matrices apart."""
    v = np.random.default_rng(5).standard_normal(len(expected))
    np.testing.assert_allclose(A.apply(v[None])[0], np.asarray(expected) @ v, atol=1e-13)


def test_hessian(problem):
    params, x, y, *_ = problem
    value, vector = flat(loss, params)
    A = curvature.hessian(loss, params, x, y)
    assert A.dtype == np.float64 and A.size == len(vector) == 43
    np.testing.assert_allclose(A.dense(), jax.jit(jax.hessian(value))(vector, x, y), atol=1e-14)


def test_gauss_newton(problem):
    params, x, y, J, z = problem
    p = softmax(z)
    L = np.einsum("ni,ij->nij", p, np.eye(3)) - np.einsum("ni,nj->nij", p, p)
    expected = np.einsum("nia,nij,njb->ab", J, L, J) / EXAMPLES
    A = curvature.gauss_newton(apply, cross_entropy, params, x, y)
    check(A, expected)
    # The true Fisher matrix of the categorical distribution is the same, without targets.
    check(curvature.fisher(apply, params, x), expected)
    halves = [(x[:4], y[:4]), (x[4:], y[4:])]
    A = curvature.fisher(apply, params, batches=halves)
    check(A, expected)


def squared(outputs, targets):
    return jnp.mean(jnp.sum(jnp.square(outputs - targets), axis=-1)) / 2.0


def test_gauss_newton_is_the_hessian_of_a_linear_model(problem):
    _, x, *_ = problem
    params, targets = network((4, 3)), jnp.ones((EXAMPLES, 3))
    A = curvature.gauss_newton(apply, squared, params, x, targets)
    H = curvature.hessian(lambda p, x, y: squared(apply(p, x), y), params, x, targets)
    v = np.random.default_rng(5).standard_normal((1, A.size))
    np.testing.assert_allclose(A.apply(v), H.apply(v), atol=1e-14)


# Means of y^2 - (mean of y)^2 over y drawn from the model.
VARIANCES = {
    "normal": np.ones_like,
    "bernoulli": lambda z: np.exp(z) / (1.0 + np.exp(z)) ** 2,
    "poisson": np.exp,
}


@pytest.mark.parametrize("distribution", [*VARIANCES, "own"])
def test_fisher(problem, distribution):
    params, x, _, J, z = problem
    variance = VARIANCES.get(distribution, VARIANCES["poisson"])(np.asarray(z))
    expected = np.einsum("nia,ni,nib->ab", J, variance, J) / EXAMPLES
    given = (lambda z: jnp.sum(jnp.exp(z), axis=-1)) if distribution == "own" else distribution
    A = curvature.fisher(apply, params, x, distribution=given)
    check(A, expected)


def test_fisher_is_the_mean_over_what_the_model_draws(problem):
    """Against sum over y of p(y) g(y) g(y)', which is the definition."""
    params, x, _, _, z = problem
    value, vector = flat(loss, params)
    p, total = softmax(z), 0.0
    gradient = jax.jit(jax.grad(value))
    for n in range(EXAMPLES):
        for y in range(3):
            g = np.asarray(gradient(vector, x[n : n + 1], np.array([y])))
            total = total + p[n, y] * np.outer(g, g) / EXAMPLES
    check(curvature.fisher(apply, params, x), total)


def test_empirical_fisher(problem):
    params, x, y, *_ = problem
    value, vector = flat(loss, params)
    each = jax.jit(jax.vmap(jax.grad(value), (None, 0, 0)))(vector, x[:, None], y[:, None])
    expected = np.asarray(each).T @ np.asarray(each) / EXAMPLES
    A = curvature.empirical_fisher(loss, params, x, y)
    check(A, expected)
    fisher = np.asarray(curvature.fisher(apply, params, x).apply(np.eye(A.size)[:1])[0])
    assert np.linalg.norm(expected[0] - fisher) > 0.1 * np.linalg.norm(fisher)
    halves = curvature.empirical_fisher(loss, params, batches=[(x[:4], y[:4]), (x[4:], y[4:])])
    check(halves, expected)


def test_errors():
    params = network(SIZES)
    x, y = data(SIZES, EXAMPLES)
    with pytest.raises(ValueError, match=r"one of \['bernoulli', .*'poisson'\] or a function"):
        curvature.fisher(apply, params, x, distribution="gamma")
    with pytest.raises(ValueError, match="inputs must follow the params, or `batches`"):
        curvature.fisher(apply, params)
    with pytest.raises(ValueError, match="inputs must follow the params, or `batches`"):
        curvature.gauss_newton(apply, cross_entropy, params)
    with pytest.raises(TypeError, match=r"gauss_newton: `loss` must return a real scalar, but"):
        curvature.gauss_newton(apply, lambda z, y: z, params, x, y)
    with pytest.raises(ValueError, match=r"first axis, but the first axes are \[\(5,\), \(6,\)\]"):
        curvature.empirical_fisher(loss, params, x, y[:5])
