"""The gradient-norm penalty, SAM and ASAM against the papers' formulas; what reaches whom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

CURVATURE = {"w": np.array([[1.0, 4.0], [0.5, 2.0]]), "b": np.array([3.0, 0.1])}
START = {"w": np.array([[1.0, -0.5], [0.2, 2.0]]), "b": np.array([-1.0, 0.3])}


def loss(params):
    """Return a loss whose gradient is CURVATURE sinh(params)."""
    return sum(jnp.sum(CURVATURE[k] * jnp.cosh(params[k])) for k in params)


grad_fn = jax.grad(loss)


def sharpened(params, rho, alpha, sizes):
    """Return the mixed gradient in NumPy, `sizes` being T for each array."""
    g = {k: CURVATURE[k] * np.sinh(params[k]) for k in params}
    norm = np.sqrt(sum(np.sum((sizes[k] * g[k]) ** 2) for k in g))
    point = {k: params[k] + rho * sizes[k] ** 2 * g[k] / norm for k in g}
    return {k: (1 - alpha) * g[k] + alpha * CURVATURE[k] * np.sinh(point[k]) for k in g}


def first_update(tx, params=START, **extra):
    """Return the update of the first step."""
    params = jax.tree.map(jnp.asarray, params)
    extra = {"grad_fn": grad_fn} | extra
    return tx.update(grad_fn(params), tx.init(params), params, **extra)[0]


@pytest.mark.parametrize(
    ("alpha", "adaptive"),
    [(1.0, False), (0.7, False), (1.0, True), (0.7, {"w": True, "b": False})],
    ids=["SAM", "penalty", "ASAM", "penalty adaptive for weights"],
)
def test_formula(alpha, adaptive, x64):
    rho, eta, lr = 0.3, 0.02, 0.1
    tx = gx.penalize_gradient_norm(gx.sgd(lr), rho, alpha, adaptive, eta)
    step = jax.jit(lambda p, state: tx.step(grad_fn(p), state, p, grad_fn=grad_fn))
    params, expected = jax.tree.map(jnp.asarray, START), START
    state = tx.init(params)
    for _ in range(10):
        params, state = step(params, state)
        chosen = adaptive if isinstance(adaptive, dict) else dict.fromkeys("wb", adaptive)
        sizes = {k: np.abs(w) + eta if chosen[k] else 1.0 for k, w in expected.items()}
        mixed = sharpened(expected, rho, alpha, sizes)
        expected = {k: expected[k] - lr * mixed[k] for k in expected}
        for k in expected:
            np.testing.assert_allclose(params[k], expected[k], rtol=1e-12)
    assert state.count == 10


def test_sam_on_a_parabola_by_hand():
    """At w = (3, 4) with H = I, g = w has norm 5, and the gradient at distance 1 is 6/5 w."""
    w = jnp.array([3.0, 4.0])
    tx = gx.penalize_gradient_norm(gx.identity(), rho=1.0)
    u, _ = tx.update(w, tx.init(w), w, grad_fn=lambda p: p)
    np.testing.assert_allclose(u, [3.6, 4.8], rtol=1e-6)


def test_without_alpha_it_is_what_it_wraps():
    plain, tx = gx.adam(0.1), gx.penalize_gradient_norm(gx.adam(0.1), alpha=0.0)
    params = jax.tree.map(jnp.asarray, START)
    expected, _ = plain.update(grad_fn(params), plain.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, first_update(tx), expected)


def test_it_is_the_gradient_of_the_penalty_to_first_order(x64):
    """Half the radius, half the error, at the same lambda."""
    strength, params = 0.05, jax.tree.map(jnp.asarray, START)

    def penalized(p):
        return loss(p) + strength * gx.tree.norm(grad_fn(p))

    exact = jax.grad(penalized)(params)
    errors = []
    for rho in (1e-2, 5e-3):
        tx = gx.penalize_gradient_norm(gx.identity(), rho, strength / rho)
        difference = jax.tree.map(lambda a, b: a - b, first_update(tx), exact)
        errors.append(float(gx.tree.norm(difference)))
    assert errors[0] < 0.02 * strength * float(gx.tree.norm(exact))
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.02)


def test_zero_gradient_has_no_direction():
    w = jnp.zeros(3)
    for adaptive in (False, True):
        tx = gx.penalize_gradient_norm(gx.identity(), adaptive=adaptive, eta=0.0)
        u, _ = tx.update(w, tx.init(w), w, grad_fn=lambda p: p + 2.0)
        np.testing.assert_array_equal(u, [2.0, 2.0, 2.0])


def test_schedules_see_0_first():
    tx = gx.penalize_gradient_norm(gx.identity(), rho=gx.linear_schedule(0.0, 1.0, 1))
    w = jnp.array([3.0, 4.0])
    first, state = tx.update(w, tx.init(w), w, grad_fn=lambda p: p)
    second, _ = tx.update(w, state, w, grad_fn=lambda p: p)
    np.testing.assert_array_equal(first, w)
    np.testing.assert_allclose(second, [3.6, 4.8], rtol=1e-6)


def test_a_narrow_parameter_is_perturbed_in_float32():
    """An e of a tenth of the spacing is there, and lost if the dtype is kept."""
    w = jnp.ones(16, jnp.bfloat16)
    seen = []

    def spy(p):
        seen.append(p)
        return jnp.ones_like(w)

    for keep_dtype in (False, True):
        tx = gx.penalize_gradient_norm(gx.sgd(1.0), rho=4e-3, keep_dtype=keep_dtype)
        u, _ = tx.update(jnp.ones_like(w), tx.init(w), w, grad_fn=spy)
        assert u.dtype == jnp.bfloat16
    wide, kept = seen
    assert (wide.dtype, kept.dtype) == (jnp.float32, jnp.bfloat16)
    np.testing.assert_allclose(wide, np.full(16, 1.001), rtol=1e-6)
    np.testing.assert_array_equal(kept, w)


def test_what_nothing_trains_stays_where_it_is():
    params = {"w": jnp.ones(2), "n": jnp.arange(3), "frozen": jnp.ones(2)}
    seen = []

    def spy(p):
        seen.append(p)
        return {"w": p["w"], "n": None, "frozen": p["frozen"]}

    tx = gx.penalize_gradient_norm(gx.sgd(1.0), rho=1.0)
    u, _ = tx.update(
        {"w": jnp.ones(2), "n": None, "frozen": None}, tx.init(params), params, grad_fn=spy
    )
    assert u["frozen"] is None
    np.testing.assert_array_equal(seen[0]["frozen"], params["frozen"])
    np.testing.assert_array_equal(seen[0]["n"], params["n"])
    np.testing.assert_allclose(seen[0]["w"], 1 + np.ones(2) / np.sqrt(2), rtol=1e-6)


def test_clipping_before_it_does_not_reach_the_gradient_nearby():
    inner = gx.penalize_gradient_norm(gx.sgd(1.0))
    outside = gx.chain(gx.clip_by_global_norm(0.1), inner)
    inside = gx.penalize_gradient_norm(gx.chain(gx.clip_by_global_norm(0.1), gx.sgd(1.0)))
    as_without = first_update(inner)
    for k, u in first_update(outside).items():
        np.testing.assert_allclose(u, as_without[k], rtol=1e-5)
    assert float(gx.tree.norm(first_update(inside))) == pytest.approx(0.1, rel=1e-5)


def test_other_extra_arguments_reach_what_it_wraps():
    u = first_update(gx.penalize_gradient_norm(gx.scale_by_polyak()), value=0.0)
    assert all(not np.any(x) for x in jax.tree.leaves(u))


def test_dtype_change_reaches_what_it_wraps():
    tx = gx.with_state_dtype(gx.penalize_gradient_norm(gx.adam(0.1)), mu="bfloat16")
    assert tx.init(jnp.ones(2)).inner_state[0].mu.dtype == jnp.bfloat16


def test_messages():
    tx = gx.penalize_gradient_norm(gx.sgd(0.1))
    w = {"w": jnp.ones(2)}
    state = tx.init(w)
    with pytest.raises(
        TypeError, match=r"penalize_gradient_norm needs the extra argument `grad_fn"
    ):
        tx.update(w, state, w)
    with pytest.raises(TypeError, match=r"`grad_fn` must be a function.*called already"):
        tx.update(w, state, w, grad_fn=w)
    with pytest.raises(ValueError, match=r"needs the parameters: call update\(updates, state, pa"):
        tx.update(w, state, grad_fn=lambda p: p)
    with pytest.raises(ValueError, match=r"\['w'\].*`grad_fn` must return the gradients alone"):
        tx.update(w, state, w, grad_fn=lambda p: (p, 1.0))
    with pytest.raises(
        ValueError, match=r"returned at \['w'\] must be an array like.*is float32\[3"
    ):
        tx.update(w, state, w, grad_fn=lambda p: {"w": jnp.ones(3)})
    with pytest.raises(ValueError, match="must be a PenalizeGradientNormState, but is a tuple"):
        tx.update(w, (), w, grad_fn=lambda p: p)
    with pytest.raises(ValueError, match=r"`rho` must be a finite number in \[0, inf\)"):
        gx.penalize_gradient_norm(gx.sgd(0.1), rho=-1.0)
    with pytest.raises(TypeError, match="penalize_gradient_norm: every part must be a transform"):
        gx.penalize_gradient_norm(gx.sgd)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_what_has_no_weight_may_be_nan(alpha):
    """And the derivative in alpha is that of the mix all the same."""
    g, bad = jnp.array([1.0, 2.0]), jnp.array([3.0, jnp.nan])

    def update(alpha):
        tx = gx.penalize_gradient_norm(gx.sgd(1.0), rho=0.0, alpha=alpha)
        given, nearby = (bad, g) if alpha_value == 1.0 else (g, bad)
        return -tx.update(given, tx.init(g), g, grad_fn=lambda p: nearby)[0]

    alpha_value = alpha
    np.testing.assert_array_equal(update(alpha), g)
    slope = jax.jacfwd(update)(alpha)
    np.testing.assert_allclose(slope[0], 2.0 if alpha == 0.0 else -2.0)
