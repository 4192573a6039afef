"""Warm-up before other schedules, and the plateau that does not depend on the length."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx


@pytest.mark.parametrize(
    "inner",
    [
        gx.inverse_time_schedule(0.3),
        gx.cosine_decay_schedule(0.3, 20),
        gx.piecewise_constant_schedule(0.3, {5: 0.1}),
        lambda step: 0.3 - 0.01 * step,
        0.3,
    ],
    ids=["inverse_time", "cosine", "piecewise", "lambda", "number"],
)
def test_warmup_before_anything(inner):
    schedule = gx.warmup(inner, 10, 0.1)
    after = inner if callable(inner) else lambda step: inner
    for k in range(10):
        assert schedule(k) == pytest.approx(0.1 + 0.2 * k / 10, rel=1e-14)
    for k in range(10, 40):
        assert schedule(k) == pytest.approx(float(after(k - 10)), rel=1e-14)


def test_warmup_of_a_function_that_calls_jax():
    schedule = gx.warmup(lambda step: 0.3 * jnp.cos(jnp.float32(step)), 4)
    assert schedule(4) == pytest.approx(0.3)
    assert schedule(jnp.int32(4)).dtype == jnp.float32


def test_combinations_are_those_of_warmup():
    pairs = [
        (gx.warmup_constant_schedule(0.1, 0.3, 7), gx.warmup(0.3, 7, 0.1)),
        (
            gx.warmup_cosine_decay_schedule(0.1, 0.3, 7, 30, 0.03, 2.0),
            gx.warmup(gx.cosine_decay_schedule(0.3, 23, 0.1, 2.0), 7, 0.1),
        ),
        (
            gx.warmup_exponential_decay_schedule(0.1, 0.3, 7, 5, 0.5),
            gx.warmup(gx.exponential_decay(0.3, 5, 0.5), 7, 0.1),
        ),
        (
            gx.warmup_stable_decay_schedule(0.1, 0.3, 7, 9, 20, 0.03),
            gx.warmup(gx.linear_schedule(0.3, 0.03, 20, 9), 7, 0.1),
        ),
    ]
    steps = np.arange(60)
    for combined, composed in pairs:
        np.testing.assert_allclose(combined(steps), composed(steps), rtol=1e-13, atol=1e-16)


def test_plateau_does_not_know_the_length_of_the_run():
    short = gx.warmup_stable_decay_schedule(0.0, 0.3, 10, 50, 20)
    long = gx.warmup_stable_decay_schedule(0.0, 0.3, 10, 500, 200)
    assert short(np.arange(61)).tolist() == long(np.arange(61)).tolist()


def test_sqrt_decay_falls_fast_at_first():
    schedule = gx.warmup_stable_decay_schedule(0.0, 1.0, 0, 0, 100, decay_shape="sqrt")
    assert [schedule(k) for k in (0, 25, 100)] == [1.0, 0.5, 0.0]
