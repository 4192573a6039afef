"""Sophia, its estimator and SAM against Optax, where they mean the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import gradtx
from gradtx.testing import gradient_sequence

STEPS = 40


GIVEN = optax.GradientTransformationExtraArgs(
    lambda params: optax.EmptyState(),
    lambda updates, state, params=None, *, estimate, **extra: (estimate, state),
)


@pytest.mark.parametrize("every", [1, 3])
def test_sophia_is_optaxs_one_estimate_later(every, x64):
    """Optax corrects the bias, and divides by the mean before this step's estimate."""
    arguments = {"b1": 0.8, "b2": 0.7, "eps": 1e-3, "gamma": 0.2, "clip_threshold": 0.9}
    arguments |= {"weight_decay": 0.1, "weight_decay_mask": {"w": True}}
    theirs = optax.contrib.sophia(
        0.05, **arguments, update_interval=every, hessian_diagonal_fn=GIVEN
    )
    direction = gradtx.scale_by_sophia(0.8, 0.7, 1e-3, 0.2, 0.9, bias_correction=True)
    ours = gradtx.chain(
        direction, gradtx.add_decayed_weights(0.1), gradtx.scale_by_learning_rate(0.05)
    )
    params = other = {"w": jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)}
    state, other_state = ours.init(params), theirs.init(other)
    estimates = [{"w": jnp.abs(jnp.asarray(d))} for d in gradient_sequence(steps=STEPS, seed=1)]
    for t, g in enumerate(gradient_sequence(steps=STEPS)):
        g = {"w": jnp.asarray(g)}
        fresh = (t - 1) % every == 0 and t > 0
        late = {"hessian_diagonal": estimates[t - 1], "hessian_is_fresh": fresh}
        params, state = ours.step(g, state, params, **late)
        with jax.numpy_dtype_promotion("standard"):
            u, other_state = theirs.update(g, other_state, other, estimate=estimates[t])
            other = optax.apply_updates(other, u)
        np.testing.assert_allclose(params["w"], other["w"], rtol=1e-9, atol=1e-12)


def test_our_estimator_serves_optaxs_sophia():
    theirs = optax.contrib.sophia(
        0.1, hessian_diagonal_fn=gradtx.hutchinson_estimator_diag_hessian(3)
    )
    params = {"w": jnp.array([1.0, 2.0])}
    with jax.numpy_dtype_promotion("standard"):
        _, state = theirs.update(
            params, theirs.init(params), params, obj_fn=lambda p: jnp.sum(p["w"] ** 3)
        )
    np.testing.assert_allclose(state[0].nu["w"], 0.01 * np.array([6.0, 12.0]), rtol=1e-5)


def test_optaxs_estimator_serves_ours():
    tx = gradtx.adahessian(
        1.0, eps=0.0, hessian_diagonal_fn=optax.contrib.hutchinson_estimator_diag_hessian()
    )
    params = {"w": jnp.array([1.0, 2.0])}
    g = {"w": jnp.array([3.0, 12.0])}
    u, _ = tx.update(g, tx.init(params), params, obj_fn=lambda p: jnp.sum(p["w"] ** 3))
    np.testing.assert_allclose(u["w"], [-0.5, -1.0], rtol=1e-5)


def test_sam_is_optaxs_in_opaque_mode(x64):
    rho, c = 0.1, np.array([1.0, 3.0, 0.2])
    ours = gradtx.penalize_gradient_norm(gradtx.adam(0.05), rho)
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(rho))
    theirs = optax.contrib.sam(optax.adam(0.05), ascent, opaque_mode=True)

    def slope(p):
        return jax.tree.map(lambda x: c * jnp.sinh(x), p)

    params = other = {"w": jnp.array([1.0, -0.5, 2.0])}
    state, other_state = ours.init(params), theirs.init(other)
    for _ in range(20):
        params, state = ours.step(slope(params), state, params, grad_fn=slope)
        with jax.numpy_dtype_promotion("standard"):
            u, other_state = theirs.update(
                slope(other), other_state, other, grad_fn=lambda p, _: slope(p)
            )
            other = optax.apply_updates(other, u)
        np.testing.assert_allclose(params["w"], other["w"], rtol=1e-10)


def test_sam_of_a_zero_gradient_is_nan_in_optax_and_nothing_here():
    """Optax issue 1743: the norm that it divides by is 0."""
    w = jnp.zeros(2)
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(0.1))
    theirs = optax.contrib.sam(optax.sgd(1.0), ascent, opaque_mode=True)
    with jax.debug_nans(False):
        u, _ = theirs.update(w, theirs.init(w), w, grad_fn=lambda p, _: p)
    assert bool(jnp.isnan(u).all())
    ours = gradtx.penalize_gradient_norm(gradtx.sgd(1.0), 0.1)
    u, _ = ours.update(w, ours.init(w), w, grad_fn=lambda p: p)
    np.testing.assert_array_equal(u, [0.0, 0.0])
