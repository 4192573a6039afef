"""Cycles against loops written in Python."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx


def restarts(length, growth, decay, steps):
    """SGDR as a loop: T_cur counts up and starts again."""
    values, at, peak = [], 0, 0.3
    for _ in range(steps):
        values.append(0.01 + (peak - 0.01) * (1 + math.cos(math.pi * at / length)) / 2)
        at += 1
        if at == length:
            at, length, peak = 0, length * growth, peak * decay
    return values


@pytest.mark.parametrize(("growth", "decay"), [(1, 1.0), (1, 0.5), (2, 1.0), (3, 0.7)])
def test_restarts(growth, decay):
    schedule = gx.cosine_restarts_schedule(0.3, 7, 0.01, growth, decay)
    expected = restarts(7, growth, decay, 200)
    np.testing.assert_allclose(schedule(np.arange(200)), expected, rtol=1e-12, atol=1e-16)
    device = jax.vmap(schedule)(jnp.arange(200, dtype=jnp.int32))
    np.testing.assert_allclose(device, expected, atol=1e-7)


def test_sgdr_is_restarts_without_warmup():
    cycles = [
        {"init_value": 0.0, "peak_value": 0.3, "warmup_steps": 0, "decay_steps": n}
        for n in (5, 10, 20)
    ]
    steps = np.arange(35)
    np.testing.assert_allclose(
        gx.sgdr_schedule(cycles)(steps),
        gx.cosine_restarts_schedule(0.3, 5, 0.0, 2)(steps),
        rtol=1e-13,
    )


def test_sgdr_leaves_its_arguments_alone():
    cycles = [{"init_value": 0.0, "peak_value": 0.3, "warmup_steps": 0, "decay_steps": 5}]
    gx.sgdr_schedule(cycles)
    assert cycles == [{"init_value": 0.0, "peak_value": 0.3, "warmup_steps": 0, "decay_steps": 5}]


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_onecycle_with_its_peak_at_an_end(start):
    schedule = gx.cosine_onecycle_schedule(10, 1.0, start)
    assert schedule(10) == 1 / 25 / 1e4
    assert np.all(np.isfinite(schedule(np.arange(20))))
    assert np.isfinite(schedule(jnp.int32(0)))
