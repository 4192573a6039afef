"""Schedules: ends that are reached, counts that agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import at_step, export

SCHEDULES = {
    "linear": (gx.linear_schedule(0.3, 0.07, 10), 10, 0.07),
    "polynomial": (gx.polynomial_schedule(0.3, 0.07, 2.0, 10), 10, 0.07),
    "cosine": (gx.cosine_decay_schedule(0.3, 10, 0.1), 10, 0.03),
    "warmup cosine": (gx.warmup_cosine_decay_schedule(0.0, 0.3, 3, 10, 0.07), 10, 0.07),
    "warmup, peak": (gx.warmup_cosine_decay_schedule(0.0, 0.3, 3, 10, 0.07), 3, 0.3),
    "stable": (gx.warmup_stable_decay_schedule(0.0, 0.3, 2, 4, 4, 0.07), 10, 0.07),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_ends_are_reached_however_they_are_asked(name):
    """A phase of n steps is at its end at step n, and later.

    optax#835 (inconsistent schedules), optax#1781 (docstrings that do not match the code),
    spd#642 (the end of a cosine one step apart from torch).
    """
    schedule, step, value = SCHEDULES[name]
    asked = (step, np.int64(step), jnp.asarray(step))
    found = [schedule(n) for n in asked] + [jax.jit(schedule)(jnp.asarray(step))]
    np.testing.assert_allclose(np.array(found, float), value, rtol=2e-7)
    if "peak" not in name:
        np.testing.assert_allclose(schedule(2**33), value, rtol=2e-7)
        assert float(schedule(step - 1)) > value * (1 + 1e-6)


def test_all_counts_are_of_optimizer_steps():
    """Adam and its schedule agree, inside an accumulation and behind a guard, and move together.

    optax#415, #424, #1036 (the step of the scheduler), skrl#245.
    """
    rate = gx.warmup_cosine_decay_schedule(0.0, 0.1, 5, 50)
    tx = gx.guard(gx.accumulate(gx.adamw(rate), 2))
    params = {"w": jnp.ones(3)}
    state = tx.init(params)
    good, bad = {"w": jnp.ones(3)}, {"w": jnp.full(3, jnp.nan)}
    for grads in (good, bad, good, good, bad, good):
        params, state = tx.step(grads, state, params)

    def counts(state):
        return {k: int(v) for k, v in export(tx, state).items() if k.endswith("/count")}

    found = counts(state)
    assert found["scale_by_adam/count"] == found["scale_by_learning_rate/count"] == 2
    moved = counts(at_step(tx, state, 20))
    # What the guard has seen were no steps: it is left as it is.
    assert found.pop("guard/count") == moved.pop("guard/count") == 6
    assert set(found) == set(moved) and set(moved.values()) == {20}
