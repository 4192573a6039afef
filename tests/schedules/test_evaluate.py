"""What every schedule promises, wherever its step comes from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from gradtx.schedules._evaluate import whole
from tests.schedules.cases import CASES, MONOTONE

EVERY = pytest.mark.parametrize("name", CASES)
FAR = [0, 1, 2, 10**4, 2**24 + 1, 2**31 - 1]


def steps_of(name):
    steps = {*CASES[name][1], *range(min(CASES[name][2] + 3, 120)), *FAR}
    return sorted(step for step in steps if step < 2**31)


def on_device(schedule, steps):
    """The values at int32 steps, as a vector."""
    return jax.jit(jax.vmap(schedule))(jnp.asarray(steps, jnp.int32))


@EVERY
def test_stated_values_are_exact(name):
    schedule, stated, _ = CASES[name]
    for step, value in stated.items():
        assert schedule(step) == value, step
        if step < 2**31:
            got = jax.jit(schedule)(jnp.int32(step))
            assert np.asarray(got) == np.float32(value), step


@EVERY
def test_host_and_jit_agree(name):
    schedule, steps = CASES[name][0], steps_of(name)
    host = np.asarray([schedule(s) for s in steps])
    np.testing.assert_allclose(on_device(schedule, steps), host, rtol=0, atol=1e-6 * host.max())


@EVERY
def test_host_and_jit_agree_in_x64(name, x64):
    schedule, steps = CASES[name][0], steps_of(name)
    got = jax.jit(jax.vmap(schedule))(jnp.asarray(steps))
    assert got.dtype == jnp.float64
    host = [schedule(s) for s in steps]
    np.testing.assert_allclose(got, host, rtol=1e-13, atol=1e-16 * max(host))


@EVERY
def test_types(name):
    schedule = CASES[name][0]
    for step in (3, np.int32(3), np.int64(3), np.array(3), np.uint64(3), 3.0):
        assert type(schedule(step)) is float
        assert schedule(step) == schedule(3)
    for step in (jnp.int32(3), jnp.uint8(3), jnp.asarray(3)):
        for value in (schedule(step), jax.jit(schedule)(step)):
            assert value.dtype == jnp.float32 and value.shape == () and not value.weak_type
            assert float(value) == pytest.approx(schedule(3), rel=1e-5, abs=1e-7)


@EVERY
def test_array_of_steps(name):
    schedule, steps = CASES[name][0], np.asarray(steps_of(name))
    values = schedule(steps)
    assert values.dtype == np.float64
    assert values.tolist() == [schedule(int(s)) for s in steps]


@EVERY
def test_one_trace(name):
    traces = []

    @jax.jit
    def value(count):
        traces.append(1)
        return CASES[name][0](count)

    for step in range(3):
        value(jnp.int32(step))
    assert len(traces) == 1


@EVERY
def test_negative_steps_count_as_0(name):
    schedule = CASES[name][0]
    assert schedule(-5) == schedule(0)
    assert schedule(jnp.int32(-5)) == schedule(jnp.int32(0))


@EVERY
def test_steps_beyond_64_bits(name):
    assert CASES[name][0](2**70) == CASES[name][0](2**63 - 1)


@pytest.mark.parametrize("name", MONOTONE)
def test_monotone(name):
    schedule = CASES[name][0]
    steps = np.arange(300)
    host = schedule(steps) * MONOTONE[name]
    assert np.all(np.diff(host) >= -1e-15)
    device = np.asarray(on_device(schedule, steps)) * MONOTONE[name]
    assert np.all(np.diff(device) >= -2e-7 * np.abs(device).max())


@given(st.floats(1e-8, 1e3), st.floats(0, 1e3), st.integers(1, 10**10), st.integers(0, 2**31 - 1))
def test_ends_are_exact_for_any_setting(start, end, steps, count):
    for schedule in (
        gx.linear_schedule(start, end, steps),
        gx.polynomial_schedule(start, end, 1.3, steps),
        gx.cosine_restarts_schedule(start, steps, end),
        gx.warmup_stable_decay_schedule(start, end, steps, 3, steps, start),
        gx.warmup(gx.constant_schedule(end), steps, start),
    ):
        low, high = sorted([start, end])
        assert schedule(0) == start
        assert np.asarray(schedule(jnp.int32(0))) == np.float32(start)
        slack = 1e-15 * high
        assert low - slack <= schedule(count) <= high + slack
        slack = np.float32(3e-7) * high
        assert np.float32(low) - slack <= schedule(jnp.int32(count)) <= np.float32(high) + slack
    assert gx.linear_schedule(start, end, steps)(steps) == end
    if steps < 2**31:
        assert gx.linear_schedule(start, end, steps)(jnp.int32(steps)) == np.float32(end)


def test_many_decay_steps():
    """10^10 steps do not fit into the int32 of the count."""
    schedule = gx.cosine_decay_schedule(1.0, 1e10)
    expected = (1 + np.cos(np.pi * 0.1)) / 2
    assert schedule(10**9) == pytest.approx(expected, rel=1e-14)
    assert float(jax.jit(schedule)(jnp.int32(10**9))) == pytest.approx(expected, rel=1e-6)
    assert schedule(10**10) == 0.0
    late = gx.join_schedules([0.1, 0.2], [2**40])
    assert late(jnp.int32(2**31 - 1)) == np.float32(0.1)
    assert (late(2**40 - 1), late(2**40)) == (0.1, 0.2)


def test_boundaries_are_exact_beyond_float32():
    """2^24 + 1 has no float32 of its own; boundaries are compared as integers."""
    schedule = gx.join_schedules([0.1, 0.2], [2**24 + 1])
    assert [float(schedule(jnp.int32(2**24 + k))) for k in (0, 1)] == pytest.approx([0.1, 0.2])
    stairs = gx.exponential_decay(1.0, 2**24 + 1, 0.5, staircase=True)
    assert [float(stairs(jnp.int32(2**24 + k))) for k in (0, 1)] == [1.0, 0.5]


def test_rate_close_to_1_keeps_its_digits():
    """In float32 0.999999 is 2e-8 off, which a million steps make 2 per cent."""
    schedule = gx.exponential_decay(1.0, 1, 0.999999)
    assert float(schedule(jnp.int32(10**6))) == pytest.approx(schedule(10**6), rel=1e-6)


def test_growth_overflows_to_inf():
    schedule = gx.exponential_decay(1.0, 1, 2.0)
    assert schedule(5000) == np.inf
    assert jax.jit(schedule)(jnp.int32(5000)) == np.inf


def test_traced_numbers_at_any_step():
    """Constructed under vmap or grad, with a step that is known or traced."""

    def make(peak, end):
        return gx.warmup_cosine_decay_schedule(0.0, peak, 5, 20, end, exponent=1.5)

    for step in (0, 3, 5, 12, 20, 10**10):
        direct = make(0.3, 0.1)(step)
        assert float(jax.jit(lambda p, step=step: make(p, 0.1)(step))(0.3)) == pytest.approx(direct)
    peaks = jnp.asarray([0.1, 0.2])
    values = jax.vmap(lambda p: make(p, 0.05)(jnp.int32(12)))(peaks)
    np.testing.assert_allclose(values, [make(0.1, 0.05)(12), make(0.2, 0.05)(12)], rtol=1e-6)


@pytest.mark.parametrize("step", [0, 3, 5, 12, 20, 30])
def test_gradients_with_respect_to_numbers_are_finite(step):
    def value(numbers, count):
        peak, end, power = numbers
        cosine = gx.warmup_cosine_decay_schedule(0.0, peak, 5, 20, end, exponent=power)
        polynomial = gx.polynomial_schedule(peak, end, power, 20)
        return cosine(count) + polynomial(count) + gx.warmup(polynomial, 4)(count)

    numbers = (jnp.float32(0.3), jnp.float32(0.1), jnp.float32(0.5))
    got = jax.jit(jax.grad(value))(numbers, jnp.int32(step))
    assert np.all(np.isfinite(got))
    eps = 1e-6
    for index in range(3):
        up, down = (
            [float(n) + sign * eps * (i == index) for i, n in enumerate(numbers)]
            for sign in (1, -1)
        )
        slope = (value(up, step) - value(down, step)) / (2 * eps)
        assert float(got[index]) == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_bfloat16_and_strong_scalars_as_settings():
    schedule = gx.linear_schedule(jnp.bfloat16(0.5), np.float32(0.25), np.int64(4))
    assert schedule(2) == 0.375
    assert schedule(jnp.int32(2)).dtype == jnp.float32


def test_steps_cannot_be_traced():
    with pytest.raises(TypeError, match="must be a known integer"):
        jax.jit(lambda n: gx.linear_schedule(1.0, 0.0, n)(0))(5)
    assert whole(1e10, "steps") == 10**10


def test_as_a_learning_rate():
    tx = gx.chain(
        gx.scale_by_adam(), gx.scale_by_learning_rate(gx.warmup(gx.inverse_time_schedule(0.1), 2))
    )
    params = {"w": jnp.ones(3)}
    state, grads, norms = tx.init(params), {"w": jnp.ones(3)}, []
    step = jax.jit(tx.update)
    for _ in range(4):
        updates, state = step(grads, state, params)
        norms.append(-float(updates["w"][0]))
    np.testing.assert_allclose(norms, [0.0, 0.05, 0.1, 0.05], rtol=1e-5, atol=1e-7)
