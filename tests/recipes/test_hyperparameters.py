"""What users asked for in vain: hyperparameters as data, sweeps, one program for all values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.linspace(-1, 1, 8).reshape(2, 4), "b": jnp.ones(3)}


def grads_of(params):
    """Return a gradient."""
    return jax.tree.map(lambda p: jnp.sin(3 * p) + 1, params)


def test_hyperparameters_as_ordinary_data():
    """optax#1414, optax#1532: narrow parameters round b2 to 1, and the numbers change.

    optax#412, optax#1: integers are traced. optax#1373: functions are taken for schedules.
    """
    params = jax.tree.map(lambda p: p.astype("bfloat16"), PARAMS)
    plain = gx.adamw(1e-2, mask=lambda p: jax.tree.map(lambda x: x.ndim == 2, p))
    tx = gx.tunable(plain)
    state, expected = tx.init(params), plain.init(params)
    step, other = jax.jit(tx.step), jax.jit(plain.step)
    ours = theirs = params
    for _ in range(10):
        ours, state = step(grads_of(ours), state, ours)
        theirs, expected = other(grads_of(theirs), expected, theirs)
    pairs = jax.tree.leaves((ours, state.inner_state)), jax.tree.leaves((theirs, expected))
    for x, y in zip(*pairs, strict=True):
        np.testing.assert_array_equal(np.asarray(x, float), np.asarray(y, float))

    matrices = {"w": jnp.ones((130, 130))}
    factored = gx.tunable(gx.adafactor(0.1, min_dim_size_to_factor=128))
    jax.jit(factored.init)(matrices)  # an integer decides about shapes and is not traced

    state = gx.set_hyperparams(tx, state, learning_rate=0.0, weight_decay=0.0)
    rested, state = step(grads_of(ours), state, ours)
    np.testing.assert_array_equal(np.asarray(rested["w"], float), np.asarray(ours["w"], float))
    with pytest.raises(ValueError, match="no number `lr`"):
        gx.set_hyperparams(tx, state, lr=0.1)


def test_what_is_set_is_not_overwritten():
    """optax#197, optax#516: to set what is scheduled, without the schedule overwriting it."""
    tx = gx.tunable(gx.sgd(gx.schedules.linear_schedule(1.0, 0.0, 10)))
    state = gx.set_hyperparams(tx, tx.init(PARAMS), learning_rate=0.25)
    updates, state = tx.update(PARAMS, state, PARAMS)
    np.testing.assert_array_equal(updates["w"], -0.25 * PARAMS["w"])
    state = gx.release_hyperparams(tx, state)
    assert float(gx.hyperparams(tx, state)["learning_rate"]) == np.float32(0.9)


def test_sweeps_in_one_program():
    """optax#932, pytorch/functorch#782: several runs with other numbers, one compilation."""
    tx = gx.tunable(gx.adam(0.1))
    params, states = gx.sweep(tx, PARAMS, learning_rate=[0.1, 0.01], b2=[0.999, 0.9])
    step = jax.jit(jax.vmap(lambda p, s: tx.step(grads_of(p), s, p)))
    for _ in range(5):
        params, states = step(params, states)
    assert step._cache_size() <= 1
    for run, (rate, b2) in enumerate([(0.1, 0.999), (0.01, 0.9)]):
        single = gx.adam(rate, b2=b2)
        one, state = PARAMS, single.init(PARAMS)
        for _ in range(5):
            one, state = single.step(grads_of(one), state, one)
        np.testing.assert_allclose(params["w"][run], one["w"], rtol=1e-5)


@functools.lru_cache
def program(rate):
    """Return the program of an update."""
    tx = gx.tunable(gx.adam(rate))
    return jax.jit(tx.update).lower(PARAMS, tx.init(PARAMS), PARAMS).as_text()


def test_no_surprise_retracing():
    """optax#577: a program per learning rate; optax#1440: weak types compile a second time."""
    assert program(1e-3) == program(0.5)
    tx, traces = gx.tunable(gx.adam(0.1)), []

    @jax.jit
    def step(params, state):
        traces.append(0)
        return tx.step(grads_of(params), state, params)

    params, state = step(PARAMS, tx.init(PARAMS))
    for rate in (1, 0.5, np.float64(0.1), jnp.asarray(0.2)):
        params, state = step(params, gx.set_hyperparams(tx, state, learning_rate=rate))
    assert len(traces) == 1
