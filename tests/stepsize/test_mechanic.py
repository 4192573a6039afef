"""Mechanic against the paper's algorithm, and what it does to what it wraps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from tests.stepsize.runs import SIZE, START, STEPS, close, gradient, run


@pytest.mark.parametrize("clip_reward", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_formula(clip_reward, x64):
    n, first, decay, eps, b = 4, 0.05, 0.1, 1e-3, 0.7
    tx = gx.mechanize(gx.sgd(1.0, b), decay, eps, first, n, clip_reward=clip_reward)
    ours, state = run(tx)
    beta, x, expected = 1 - 0.1 ** np.arange(1, n + 1), START, []
    r, m, v, s = np.zeros((4, n))
    way, momentum = np.zeros((2, SIZE))
    for t in range(STEPS):
        g = gradient(x, t)
        pull = decay * s.sum() * np.linalg.norm(g) / (np.linalg.norm(x) + eps)
        h = way @ (g + pull * x)
        r = beta * r - (np.clip(h, -m, m) if clip_reward else h) * s
        r = r if clip_reward else np.maximum(r, 0)
        m, v = np.maximum(beta * m, abs(h) + eps), beta**2 * v + h**2
        s = (first / n * m + np.maximum(r, 0)) / (np.sqrt(v) + eps)
        momentum = b * momentum + g
        way = way - momentum
        x = START + s.sum() * way
        expected.append(x)
    close(ours, expected, 1e-10)
    np.testing.assert_allclose(state.s, s, rtol=1e-9)


def test_first_factor_is_s_init():
    p = jnp.ones(3)
    tx = gx.mechanize(gx.sgd(1.0), s_init=0.25)
    u, _ = tx.update(p, tx.init(p), p)
    np.testing.assert_allclose(u, -0.25, rtol=1e-6)


@pytest.mark.parametrize("rate", [1e-3, pytest.param(1.0, marks=pytest.mark.slow)])
def test_it_learns_a_rate_for_any_scale_of_the_base(rate):
    """A parabola from distance 10, whatever the base takes for its rate."""
    tx = gx.mechanize(gx.sgd(rate))

    def step(carry, _):
        w, state = carry
        return tx.step(w, state, w), None

    w = jnp.full(4, 5.0)
    (w, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, None, 300))((w, tx.init(w)))
    assert float(jnp.max(jnp.abs(w))) < 0.05


def test_base_sees_the_gradients_and_the_extra_arguments():
    p, g = jnp.array([1.0]), jnp.array([2.0])
    tx = gx.mechanize(gx.polyak_sgd(1e3), s_init=1.0)
    u, _ = tx.update(g, tx.init(p), p, value=1.0)
    np.testing.assert_allclose(u, -0.5, rtol=1e-6)


def test_params_are_needed():
    tx = gx.mechanize(gx.sgd(1.0))
    with pytest.raises(ValueError, match="mechanize needs the parameters"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_base_must_be_a_transformation():
    with pytest.raises(TypeError, match="mechanize: every part must be a transformation"):
        gx.mechanize(gx.sgd)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (gx.guard(gx.adam(1.0)), r"`guard` must not stand inside it: it bets on every gradient, a"),
        (
            gx.loss_scaling(gx.adam(1.0)),
            r"Put it around: loss_scaling\(mechanize\(",
        ),
        (
            gx.groups(("*", gx.accumulate(gx.adam(1.0), 2))),
            "moves the parameters at every call",
        ),
        (gx.MultiSteps(gx.adam(1.0), 2), "`MultiSteps` must not stand inside it"),
        (gx.sam(gx.sgd(1.0), gx.sgd(0.1)), "mechanize: `sam` inside it must be opaque"),
    ],
)
def test_what_belongs_around_it_raises(base, message):
    """A gradient that a guard leaves out would make s nan for good."""
    with pytest.raises(ValueError, match=message):
        gx.mechanize(base)


def test_a_guard_around_it_leaves_no_trace():
    tx = gx.guard(gx.mechanize(gx.adam(1.0), s_init=0.01))
    plain, w = tx.init(jnp.ones(2)), [jnp.ones(2)] * 2
    states = [plain, plain]
    for g in ([1.0, 2.0], [np.nan, 1.0], [1.0, 1.0]):
        for i in range(2):
            if i or np.isfinite(g).all():
                w[i], states[i] = tx.step(jnp.array(g), states[i], w[i])
    np.testing.assert_array_equal(*w)
