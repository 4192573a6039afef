"""Schedules are values, and their constructors say what is wrong."""

import json
import pickle

import jax
import jax.numpy as jnp
import pytest

import gradtx as gx
from tests.schedules.cases import CASES

EVERY = pytest.mark.parametrize("name", CASES)


@EVERY
def test_value(name):
    schedule = CASES[name][0]
    written = eval(repr(schedule), vars(gx).copy())
    config = json.loads(json.dumps(gx._core.config.to_config(schedule)))
    for other in (written, pickle.loads(pickle.dumps(schedule)), gx.from_config(config)):
        assert other == schedule and hash(other) == hash(schedule)
        assert other(7) == schedule(7)
        assert repr(other) == repr(schedule)


def test_different_settings_differ():
    schedules = [schedule for schedule, _, _ in CASES.values()]
    assert len(set(schedules)) == len(schedules)


def test_equal_schedules_share_a_compilation():
    @jax.jit
    def outer(count):
        return gx.linear_schedule(1.0, 0.5, 10)(count)

    compiled = jax.jit(lambda schedule, count: schedule(count), static_argnums=0)
    compiled(gx.linear_schedule(1.0, 0.5, 10), jnp.int32(0))
    compiled(gx.linear_schedule(1.0, 0.5, 10), jnp.int32(1))
    assert compiled._cache_size() <= 1
    assert outer(jnp.int32(10)) == 0.5


def cosine(**more):
    return {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 2, "decay_steps": 9} | more


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gx.linear_schedule(1.0, 0.0, -1), ValueError, "`transition_steps` must be"),
        (lambda: gx.linear_schedule(1.0, 0.0, 2.5), TypeError, "`transition_steps` must be"),
        (lambda: gx.linear_schedule(1.0, 0.0, 5, -1), ValueError, "`transition_begin` must be"),
        (lambda: gx.linear_schedule(1.0, 0.0, transition_step=5), TypeError, "Did you mean"),
        (lambda: gx.linear_schedule(float("nan"), 0.0, 5), ValueError, "`init_value` must be"),
        (lambda: gx.constant_schedule("a"), TypeError, "`value` must be"),
        (lambda: gx.cosine_decay_schedule(1.0, 0), ValueError, "`decay_steps` must be"),
        (lambda: gx.polynomial_schedule(1.0, 0.0, 0.0, 5), ValueError, "`power` must be"),
        (lambda: gx.exponential_decay(1.0, 5, 0.0), ValueError, "`decay_rate` must be"),
        (lambda: gx.exponential_decay(1.0, 5, 0.5, staircase=2), TypeError, "True or False"),
        (lambda: gx.join_schedules([0.1, 0.2, 0.3], [9, 4]), ValueError, "4 comes after 9"),
        (lambda: gx.join_schedules([0.1, 0.2], []), ValueError, "one fewer than"),
        (lambda: gx.join_schedules([0.1, "b"], [3]), TypeError, r"`schedules\[1\]` must be"),
        (lambda: gx.join_schedules([0.1, 0.2], [-3]), ValueError, r"`boundaries\[0\]` must be"),
        (lambda: gx.piecewise_constant_schedule(1.0, [3]), TypeError, "must be a dict"),
        (lambda: gx.piecewise_constant_schedule(1.0, {3: -1.0}), ValueError, "the factor at 3"),
        (lambda: gx.piecewise_constant_schedule(1.0, {3: "x"}), TypeError, "the factor at 3"),
        (lambda: gx.piecewise_constant_schedule(1.0, {-3: 1.0}), ValueError, "step must be 0 or"),
        (
            lambda: gx.piecewise_interpolate_schedule("cubic", 1.0),
            ValueError,
            "`interpolate_type` must be 'linear' or 'cosine', but is 'cubic'",
        ),
        (lambda: gx.warmup(0.1, -1), ValueError, "`steps` must be"),
        (lambda: gx.warmup("x", 1), TypeError, "`schedule` must be"),
        (lambda: gx.warmup_cosine_decay_schedule(0.0, 1.0, 9, 9), ValueError, "more than"),
        (
            lambda: gx.warmup_stable_decay_schedule(0.0, 1.0, 1, 1, 1, decay_shape="bent"),
            ValueError,
            "`decay_shape` must be",
        ),
        (lambda: gx.cosine_onecycle_schedule(0, 1.0), ValueError, "`transition_steps` must be"),
        (lambda: gx.cosine_onecycle_schedule(9, 1.0, 30), ValueError, "`pct_start` must be"),
        (
            lambda: gx.linear_onecycle_schedule(9, 1.0, 0.5, 0.4),
            ValueError,
            "`pct_final` must not be below",
        ),
        (lambda: gx.sgdr_schedule([]), ValueError, "must hold a cycle"),
        (lambda: gx.sgdr_schedule(cosine()), TypeError, "must be a list of dicts"),
        (lambda: gx.sgdr_schedule([cosine(warmup=3)]), TypeError, "`warmup_steps`"),
        (lambda: gx.cosine_restarts_schedule(1.0, 9, cycle_growth=1.5), TypeError, "an integer"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_lambda_inside_cannot_be_pickled():
    schedule = gx.join_schedules([lambda step: 0.1, 0.2], [5])
    assert (schedule(0), schedule(5)) == (0.1, 0.2)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(schedule)
