"""A guard around an accumulation: a gradient that is skipped still ends its group."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

NAN = np.nan
PARAMS = {"w": jnp.zeros(2)}


def path(tx, *calls, jit=True, update=False):
    """Return the first entry of w after each of (gradient, weight, whether it is the last)."""

    def call(params, state, g, weight, flush):
        g, extra = {"w": jnp.full(2, 1.0) * g}, {"weight": weight, "flush": flush}
        if not update:
            return tx.step(g, state, params, **extra)
        updates, state = tx.update(g, state, params, **extra)
        return gx.apply_updates(params, updates), state

    call = jax.jit(call) if jit else call
    params, state, seen = PARAMS, tx.init(PARAMS), []
    for g, weight, flush in calls:
        params, state = call(params, state, g, weight, flush)
        seen.append(float(params["w"][0]))
    return seen, state


CALLS = ((1.0, 1.0, False), (NAN, 3.0, True), (5.0, 1.0, False), (7.0, 3.0, True))


@pytest.mark.parametrize(("jit", "update"), [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize("wrapper", [gx.guard, functools.partial(gx.loss_scaling, initial=1.0)])
def test_the_group_ends_with_what_was_gathered(wrapper, jit, update):
    tx = wrapper(gx.accumulate(gx.sgd(1.0), 4))
    seen, state = path(tx, *CALLS, jit=jit, update=update)
    assert seen == [0.0, -1.0, -1.0, -7.5]
    assert (int(state.nonfinite), int(state.inner_state.count)) == (1, 2)


def test_without_anything_gathered_there_is_no_step():
    tx = gx.guard(gx.accumulate(gx.sgd(1.0), 4))
    seen, state = path(tx, (NAN, 1.0, True), (3.0, 1.0, True))
    assert seen == [0.0, -3.0]
    assert int(state.inner_state.count) == 1


def test_what_stands_between_sees_a_zero_and_no_nan():
    tx = gx.guard(gx.chain(gx.trace(0.5), gx.accumulate(gx.sgd(1.0), 4)))
    seen, _ = path(tx, *CALLS)
    np.testing.assert_allclose(seen, [0.0, -1.0, -1.0, -1 - (5.25 + 3 * 9.625) / 4])


def test_a_run_that_was_stopped_stays_stopped():
    tx = gx.guard(gx.accumulate(gx.sgd(1.0), 4), give_up_after=1, callback=False)
    seen, _ = path(tx, (1.0, 1.0, False), (NAN, 1.0, True), (1.0, 1.0, True))
    assert seen == [0.0, 0.0, 0.0]


def test_metrics_know_that_it_was_a_step():
    tx = gx.with_metrics(gx.guard(gx.accumulate(gx.sgd(1.0), 4)), "update_norm", "skipped_steps")
    _, state = path(tx, *CALLS[:2])
    assert {k: float(x) for k, x in gx.metrics(state).items()} == {
        "skipped_steps": 1.0,
        "update_norm": pytest.approx(np.sqrt(2)),
    }


def test_a_weight_that_is_none_is_still_refused():
    tx = gx.guard(gx.accumulate(gx.sgd(1.0), 4))
    with pytest.raises(ValueError, match="`weight` must be at least 0 and finite, but is -1"):
        jax.jit(lambda p: tx.step(PARAMS, tx.init(p), p, weight=-1.0, flush=True))(PARAMS)
