"""Estimates of the Hessian diagonal: what they average to, and what their randomness hangs on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.testing import check_transformation
from tests.cases import WITH_LOSS

HUTCHINSON = gx.hutchinson_estimator_diag_hessian
BARTLETT = gx.gauss_newton_bartlett_estimator


def estimate(tx, params, state=None, **extra):
    """Return one estimate; the gradients that go in do not matter."""
    state = tx.init(params) if state is None else state
    nothing = jax.tree.map(jnp.zeros_like, params)
    return jax.jit(lambda s, p: tx.update(nothing, s, p, **extra))(state, params)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("n_samples", [1, 3])
def test_hutchinson_is_exact_for_a_diagonal_hessian(n_samples, dtype):
    h = jnp.array([1.0, -4.0, 0.0, 0.5], dtype)
    params = {"w": jnp.ones(4, dtype), "scalar": jnp.ones([], dtype)}

    def loss(p):
        return jnp.sum(h * p["w"] ** 2) / 2 + p["scalar"] ** 3

    u, _ = estimate(HUTCHINSON(random_seed=5, n_samples=n_samples), params, obj_fn=loss)
    np.testing.assert_array_equal(u["w"], h)
    np.testing.assert_array_equal(u["scalar"], 6)


def test_hutchinson_averages_to_the_diagonal_with_the_variance_of_the_paper(x64):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(6, 6))
    h, n = a + a.T, 4000
    params = {"a": jnp.zeros(2), "b": jnp.zeros((2, 2))}

    def loss(p):
        x = jnp.concatenate([p["a"], p["b"].ravel()])
        return x @ h @ x / 2

    u, _ = estimate(HUTCHINSON(n_samples=n), params, obj_fn=loss)
    error = np.concatenate([u["a"], u["b"].ravel()]) - np.diag(h)
    deviation = np.sqrt((np.sum(h**2, axis=1) - np.diag(h) ** 2) / n)
    assert np.max(np.abs(error) / deviation) < 4
    assert np.max(np.abs(error) / deviation) > 0.1  # it is an estimate


def test_of_a_complex_parameter_it_is_the_mean_of_both_second_derivatives():
    params = jnp.array([1 + 2j, 3 - 1j], jnp.complex64)

    def loss(z):
        return jnp.sum(3 * jnp.real(z) ** 2 + jnp.imag(z) ** 2)

    u, _ = estimate(HUTCHINSON(), params, obj_fn=loss)
    np.testing.assert_allclose(u, [4.0, 4.0])

    def sampled(z, key):
        return jnp.sum(3 * jnp.real(z) + jnp.imag(z)), 2

    u, _ = estimate(BARTLETT(), params, sampled_loss_fn=sampled)
    np.testing.assert_allclose(u, [10.0, 10.0])


def signs_of(tx, params):
    """Return what each entry drew, seen through a Hessian that is 0 but between neighbours."""
    u, state = estimate(tx, params, obj_fn=lambda p: sum(x[0] * x[1] for x in jax.tree.leaves(p)))
    return {k: float(x[0]) for k, x in u.items()}, state


def test_every_leaf_and_call_has_signs_of_its_own():
    params = {f"{i}": jnp.zeros(2) for i in range(5)}
    tx = HUTCHINSON(random_seed=1)
    first, state = signs_of(tx, params)
    assert set(first.values()) == {-1.0, 1.0}
    second, _ = estimate(
        tx, params, state, obj_fn=lambda p: sum(x[0] * x[1] for x in jax.tree.leaves(p))
    )
    assert first != {k: float(x[0]) for k, x in second.items()}
    assert first == signs_of(tx, params)[0]
    assert first != signs_of(HUTCHINSON(random_seed=2), params)[0]
    fewer, _ = signs_of(tx, {k: params[k] for k in ("1", "3")})
    assert fewer == {k: first[k] for k in fewer}


@pytest.mark.parametrize("seed", [7, jax.random.key(7), jax.random.PRNGKey(7), np.int32(7)])
def test_keys_of_any_kind(seed):
    state = HUTCHINSON(seed).init(jnp.ones(2))
    assert jax.random.key_data(state.key).tolist() == [0, 7]


def test_gauss_newton_bartlett_averages_to_the_gauss_newton_diagonal():
    """For a linear classifier, whose Gauss-Newton matrix is known from `gradtx.curvature`."""
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    params = {"w": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)}

    def model(p, x):
        return x @ p["w"]

    def sampled(p, key):
        logits = model(p, inputs)
        labels = jax.random.categorical(key, logits)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        return -jnp.mean(chosen), labels.size

    u, _ = estimate(BARTLETT(n_samples=8000), params, sampled_loss_fn=sampled)
    exact = np.diag(gx.curvature.fisher(model, params, inputs).dense())
    np.testing.assert_allclose(np.ravel(u["w"]), exact, rtol=0.1)


def test_only_what_has_a_gradient_is_differentiated():
    params = {"w": jnp.ones(2), "n": jnp.arange(2), "frozen": jnp.ones(2)}
    tx = HUTCHINSON()

    def loss(p):
        return jnp.sum(p["w"] ** 2 * p["n"].astype("float32")) * jnp.sum(p["frozen"])

    gradients = {"w": jnp.ones(2), "n": None, "frozen": None}
    u, _ = tx.update(gradients, tx.init(params), params, obj_fn=loss)
    np.testing.assert_array_equal(u["w"], [0.0, 4.0])
    assert (u["n"], u["frozen"]) == (None, None)


def test_start_value_is_copied():
    """The caller may donate the state and still use the key."""
    key = jax.random.key(1)
    state = HUTCHINSON(key).init(jnp.ones(2))
    jax.jit(lambda s: jax.random.split(s.key)[0], donate_argnums=0)(state)
    jax.random.normal(key)


@pytest.mark.slow
def test_averages_keep_the_contract():
    """With several draws there is a loop inside, which has to keep dtypes and shardings."""
    checks = ("jit", "scan", "vmap", "sharding", "x64", "shapes")
    check_transformation(HUTCHINSON(n_samples=2), extras=WITH_LOSS, checks=checks, leaves=4)


def test_messages():
    w = jnp.ones(2)
    tx, sampling = HUTCHINSON(), BARTLETT()
    with pytest.raises(TypeError, match="hutchinson_estimator_diag_hessian needs the extra argume"):
        tx.update(w, tx.init(w), w)
    with pytest.raises(ValueError, match="hutchinson_estimator_diag_hessian needs the parameters"):
        tx.update(w, tx.init(w), obj_fn=jnp.sum)
    with pytest.raises(TypeError, match="`obj_fn` must return a real scalar, but returns float32"):
        tx.update(w, tx.init(w), w, obj_fn=lambda p: p)
    with pytest.raises(
        TypeError, match=r"`sampled_loss_fn` must return .loss, number of predictio"
    ):
        sampling.update(w, sampling.init(w), w, sampled_loss_fn=lambda p, key: jnp.sum(p))
    with pytest.raises(ValueError, match="must be a GaussNewtonBartlettState, but is a Hutchinson"):
        sampling.update(w, tx.init(w), w, sampled_loss_fn=None)
    with pytest.raises(
        TypeError, match=r"`random_seed` must be one key of jax.random or an integer"
    ):
        HUTCHINSON("7")
    with pytest.raises(ValueError, match="`n_samples` must be an integer in"):
        HUTCHINSON(n_samples=0)


def test_second_derivatives_beyond_the_range_of_float16():
    """1e5 in float16 is inf; what follows in the chain may bring it back."""
    params = jnp.ones(2, jnp.float16)
    u = estimate(
        gx.chain(gx.hutchinson_estimator_diag_hessian(), gx.scale(1e-3)),
        params,
        obj_fn=lambda p: 5e4 * jnp.sum(p.astype(jnp.float32) ** 2),
    )
    np.testing.assert_allclose(u[0] if isinstance(u, tuple) else u, 1e2, rtol=1e-3)
