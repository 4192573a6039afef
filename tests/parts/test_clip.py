"""Clipping by value, by norm, and relative to the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def each(clipped):
    """Return the loop that adds a function of each gradient and the parameter."""

    def loop(w, gradients):
        for g in gradients:
            w = w + clipped(g, w)
            yield w

    return loop


def limited(size, limit):
    return 1.0 if size <= limit else limit / size


def unit_norms(x, axis):
    return np.sqrt(np.sum(x**2, axis=axis, keepdims=True))


def agc(clipping, eps, axis):
    def clipped(g, w):
        limit = clipping * np.maximum(unit_norms(w, axis), eps)
        size = unit_norms(g, axis)
        return np.where(size > limit, g * limit / np.where(size > 0, size, 1), g)

    return each(clipped)


@pytest.mark.parametrize(
    ("tx", "clipped"),
    [
        (gradtx.clip(0.7), lambda g, w: np.clip(g, -0.7, 0.7)),
        (
            gradtx.clip_by_global_norm(3.0),
            lambda g, w: g * limited(np.sqrt(np.sum(g**2)), 3.0),
        ),
        (gradtx.clip_by_block_norm(3.0), lambda g, w: g * limited(np.sqrt(np.sum(g**2)), 3.0)),
        (gradtx.clip_by_block_rms(0.7), lambda g, w: g * limited(np.sqrt(np.mean(g**2)), 0.7)),
    ],
)
def test_formula(tx, clipped):
    check_formula(tx, each(clipped))


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((1,), None),
        ((5,), None),
        ((1, 5, 1), None),
        ((3, 4), 0),
        ((3, 4, 2), 0),
        ((3, 2, 2, 4), (0, 1, 2)),
        ((2, 3, 2, 2, 4), (0, 1, 2, 3)),
    ],
)
def test_adaptive_grad_clip_chooses_units_by_shape(shape, axis):
    check_formula(gradtx.adaptive_grad_clip(0.3, 0.05), agc(0.3, 0.05, axis), shape=shape, steps=20)


@pytest.mark.parametrize("axis", [1, (0, 1), -1])
def test_adaptive_grad_clip_along_given_axes(axis):
    check_formula(gradtx.adaptive_grad_clip(0.3, 0.05, axis), agc(0.3, 0.05, axis), steps=20)


def test_adaptive_grad_clip_needs_an_axis_beyond_five():
    params = {"deep": jnp.ones((2,) * 6)}
    tx = gradtx.adaptive_grad_clip(0.1)
    with pytest.raises(ValueError, match="at most 5 axes") as caught:
        tx.update(params, tx.init(params), params)
    assert "deep" in "".join(caught.value.__notes__)
    tx = gradtx.adaptive_grad_clip(0.1, axis=(0, 1))
    tx.update(params, tx.init(params), params)


def test_clip_keeps_the_phase_of_complex_entries():
    g = {"w": jnp.array([3.0 + 4.0j, 0.3 + 0.4j, 0.0j])}
    u, _ = gradtx.clip(1.0).update(g, gradtx.EmptyState())
    np.testing.assert_allclose(u["w"], [0.6 + 0.8j, 0.3 + 0.4j, 0.0], rtol=1e-6)


def test_block_norms_are_of_each_array_global_norm_of_all():
    g = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    alone, _ = gradtx.clip_by_block_norm(3.5).update(g, gradtx.EmptyState())
    together, _ = gradtx.clip_by_global_norm(2.5).update(g, gradtx.EmptyState())
    assert (float(alone["a"][0]), float(alone["b"][0])) == (3.0, 3.5)
    assert (float(together["a"][0]), float(together["b"][0])) == (1.5, 2.0)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_norm_that_is_not_finite_moves_no_other_array(bad):
    g = {"a": jnp.array([3.0]), "b": jnp.array([bad, 1.0])}
    u, _ = gradtx.clip_by_global_norm(1.0).update(g, gradtx.EmptyState())
    np.testing.assert_array_equal(u["a"], [0.0])
    np.testing.assert_array_equal(u["b"], [np.nan, 0.0])
    u, _ = gradtx.clip_by_global_norm(np.inf).update(g, gradtx.EmptyState())
    np.testing.assert_array_equal(u["b"], g["b"])


@pytest.mark.parametrize(
    "around",
    [
        lambda clip, sgd: gradtx.guard(gradtx.chain(clip, sgd)),
        lambda clip, sgd: gradtx.chain(clip, gradtx.guard(sgd)),
    ],
)
def test_in_groups_nan_elsewhere_makes_no_unclipped_step(around):
    """The guard of a group sees its own gradients only, the norm is over all."""
    tx = around(gradtx.clip_by_global_norm(1.0), gradtx.sgd(1.0))
    tx = gradtx.groups(("a", tx), ("b", gradtx.guard(gradtx.sgd(1.0))))
    params = {"a": jnp.zeros(2), "b": jnp.zeros(1)}
    g = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([np.nan])}
    params, _ = jax.jit(tx.step)(g, tx.init(params), params)
    jax.tree.map(lambda p: np.testing.assert_array_equal(p, 0.0), params)


@pytest.mark.parametrize(
    "make",
    [gradtx.clip, gradtx.clip_by_global_norm, gradtx.clip_by_block_norm, gradtx.clip_by_block_rms],
)
def test_limits(make):
    g = {"w": jnp.array([1.0, -2.0])}
    assert np.array_equal(make(np.inf).update(g, gradtx.EmptyState())[0]["w"], g["w"])
    assert np.array_equal(make(0.0).update(g, gradtx.EmptyState())[0]["w"], [0.0, 0.0])
    with pytest.raises(ValueError, match=f"{make.__name__}: `.*` must be a number in .0, inf"):
        make(-1.0)


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.clip_by_global_norm(1.0),
        gradtx.clip_by_block_norm(1.0),
        gradtx.clip_by_block_rms(1.0),
        gradtx.adaptive_grad_clip(0.1),
    ],
)
def test_derivative_at_zero_gradient_is_finite(tx):
    params = {"w": jnp.ones((2, 3))}

    def total(g):
        return jnp.sum(tx.update({"w": g}, tx.init(params), params)[0]["w"])

    np.testing.assert_array_equal(jax.grad(total)(jnp.zeros((2, 3))), np.ones((2, 3)))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("value", "dtype", "norm"),
    [
        (3e19, jnp.float32, 6e19),
        (3e19, jnp.bfloat16, 6e19),
        (1e37, jnp.float32, 2e37),
        (1e-30, jnp.float32, 2e-30),
        (1e-12, jnp.float32, 2e-12),
        (0.0, jnp.float32, 0.0),
    ],
)
def test_a_norm_whose_square_is_out_of_range(value, dtype, norm, jit):
    """The squares over- or underflow in float32; the norm does not."""
    maybe_jit = jax.jit if jit else lambda f: f
    grads = {"a": jnp.full((1, 3), value, dtype), "b": jnp.full(1, value, dtype), "c": None}
    np.testing.assert_allclose(maybe_jit(gradtx.global_norm)(grads), norm, rtol=1e-2)


def test_a_norm_out_of_range_is_exact_and_has_derivatives():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 65)).astype(np.float32)
    for unit in (2.0**80, 2.0**-90):
        scaled = jnp.asarray(x * np.float32(unit))
        expected = np.linalg.norm(np.asarray(scaled, np.float64))
        np.testing.assert_allclose(gradtx.global_norm(scaled), expected, rtol=1e-6)
        slope = jax.jit(jax.grad(gradtx.global_norm))(scaled)
        np.testing.assert_allclose(slope, np.asarray(scaled) / expected, rtol=1e-5)
    both = jax.vmap(gradtx.global_norm)(jnp.array([[3e19, 4e19], [3e-30, 4e-30], [3.0, np.inf]]))
    np.testing.assert_allclose(both, [5e19, 5e-30, np.inf], rtol=1e-6)


def test_float64_has_a_range_of_its_own(x64):
    grads = {"a": jnp.full(3, 1e200), "b": jnp.full(1, 3e19, jnp.float32)}
    np.testing.assert_allclose(gradtx.global_norm(grads), np.sqrt(3) * 1e200, rtol=1e-12)
    small = {"a": jnp.full(4, 1e-200), "b": None}
    np.testing.assert_allclose(gradtx.global_norm(small), 2e-200, rtol=1e-12)


def test_a_norm_that_overflows_is_seen_by_a_guard_of_spikes():
    """Finite gradients whose norm is not: nothing moves, and it is counted."""
    clipped = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(1.0))
    tx = gradtx.guard(clipped, spikes=gradtx.spikes(window=4, sigma=6.0), give_up_after=3)
    params, grads = jnp.ones(4, jnp.bfloat16), jnp.full(4, 3e19, jnp.bfloat16)
    params, state = jax.jit(tx.step)(grads, tx.init(params), params, value=jnp.array(1.0))
    np.testing.assert_array_equal(params.astype(jnp.float32), 1.0)
    assert (int(state.spikes), int(state.streak)) == (1, 1)
