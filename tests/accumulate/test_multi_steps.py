"""Accumulation as Optax has it: k micro-steps are one step, and a bad micro-step is no step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.array([1.0, 2.0]), "b": jnp.zeros(3)}


def gradients(t, dtype=None):
    """Return other gradients for each micro-step."""
    return jax.tree.map(lambda p: jnp.sin(p + t).astype(dtype or p.dtype), PARAMS)


def equal(a, b):
    """Assert that two trees have the same values."""
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("jit", [False, True])
def test_k_micro_steps_are_one_step_on_the_mean(jit):
    """Weight decay, clipping and bias correction see the steps, not the micro-steps."""
    inner = gx.chain(gx.clip_by_global_norm(0.5), gx.adamw(0.1, weight_decay=0.1))
    tx = gx.MultiSteps(inner, 3)
    update = jax.jit(tx.update) if jit else tx.update
    step = jax.jit(tx.step) if jit else tx.step
    params = stepped = expected = PARAMS
    state = other = tx.init(PARAMS)
    inner_state = inner.init(PARAMS)
    for t in range(6):
        updates, state = update(gradients(t), state, params)
        params = gx.apply_updates(params, updates)
        stepped, other = step(gradients(t), other, stepped)
        equal(params, stepped)
        assert tx.has_updated(state) == (t % 3 == 2)
        if t % 3 == 2:
            mean = jax.tree.map(
                lambda *g: sum(g) / 3, gradients(t - 2), gradients(t - 1), gradients(t)
            )
            updates, inner_state = inner.update(mean, inner_state, expected)
            expected = gx.apply_updates(expected, updates)
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), params, expected)
    assert (state.mini_step, state.gradient_step) == (0, 2)


def test_the_sum_instead_of_the_mean():
    tx = gx.MultiSteps(gx.scale(1.0), 2, use_grad_mean=False)
    _, state = tx.update(gradients(0), tx.init(PARAMS))
    updates, _ = tx.update(gradients(1), state)
    equal(updates, jax.tree.map(jnp.add, gradients(0), gradients(1)))


def test_the_number_of_micro_steps_follows_the_steps():
    tx = gx.MultiSteps(gx.sgd(0.1), lambda step: jnp.where(step < 2, 1, 3))
    state, counts = tx.init(PARAMS), []
    update = jax.jit(tx.update)
    for t in range(8):
        _, state = update(gradients(t), state)
        counts.append(int(state.gradient_step))
    assert counts == [1, 2, 2, 2, 3, 3, 3, 4]


def test_narrow_gradients_are_summed_in_float32():
    """256 + 1 is 256 in bfloat16."""
    tx = gx.MultiSteps(gx.scale(1.0), 2, use_grad_mean=False)
    params = {"w": jnp.zeros(1)}
    state = tx.init(params)
    for value in (256.0, 1.0):
        updates, state = tx.update({"w": jnp.array([value], jnp.bfloat16)}, state, params)
        assert updates["w"].dtype == jnp.bfloat16
    assert state.acc_grads["w"] == 257.0
    narrow = gx.MultiSteps(gx.scale(1.0), 2, accumulator_dtype="bfloat16").init(params)
    assert narrow.acc_grads["w"].dtype == jnp.bfloat16


def test_a_skipped_micro_step_is_none():
    tx = gx.MultiSteps(gx.scale(1.0), 2, should_skip_update_fn=gx.skip_not_finite)
    bad = gradients(0) | {"b": jnp.array([1.0, jnp.nan, jnp.inf])}
    update, state = jax.jit(tx.update), tx.init(PARAMS)
    assert state.skip_state == {"should_skip": False, "num_not_finite": 0}
    _, state = update(gradients(0), state)
    updates, after = update(bad, state)
    assert after.skip_state == {"should_skip": True, "num_not_finite": 2}
    assert not any(np.any(u) for u in jax.tree.leaves(updates))
    equal(after._replace(skip_state=None), state._replace(skip_state=None))
    updates, _ = update(gradients(1), after)
    mean = jax.tree.map(lambda a, b: a + (b - a) / 2, gradients(0), gradients(1))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), updates, mean)


def test_micro_steps_that_are_too_large_are_skipped():
    skip = functools.partial(gx.skip_large_updates, max_squared_norm=10.0)
    tx = gx.MultiSteps(gx.scale(1.0), 1, should_skip_update_fn=skip)
    for size, skipped in ((1.0, False), (3.0, True), (jnp.nan, True)):
        updates, state = tx.update({"w": jnp.array([1.0, size])}, tx.init({"w": jnp.zeros(2)}))
        assert state.skip_state["should_skip"] == skipped
        assert bool(jnp.any(updates["w"] != 0)) != skipped


def test_the_inner_transformation_runs_once_a_step():
    calls = []

    def update(updates, state, params=None):
        calls.append(1)
        return updates, state

    tx = gx.MultiSteps((lambda params: (), update), 3)
    state = tx.init(PARAMS)
    for t in range(6):
        _, state = tx.update(gradients(t), state)
        assert len(calls) == (t + 1) // 3


def test_a_micro_step_by_step_needs_no_memory_and_changes_one_buffer():
    """Not even a copy: parameters and inner state pass through the branch as they are."""
    params = {f"w{i}": jnp.zeros((128, 128)) for i in range(4)}
    tx = gx.MultiSteps(gx.adamw(0.1), 4)

    def train(params, state, gradients):
        return tx.step(gradients, state, params)

    state = jax.eval_shape(tx.init, params)
    lowered = jax.jit(train, donate_argnums=(0, 1)).lower(params, state, params)
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 10_000


def test_the_methods_that_optax_has():
    inner = gx.sgd(0.1)
    tx = gx.MultiSteps(inner, np.int64(2))
    assert tx.inner_opt == inner
    assert tx.gradient_transformation() is tx
    assert gx.chain(tx).update is not None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gx.MultiSteps(gx.sgd(0.1), 0), ValueError, "must be at least 1, but is 0"),
        (lambda: gx.MultiSteps(gx.sgd(0.1), 1.5), TypeError, "must be an integer or a function"),
        (lambda: gx.MultiSteps(gx.sgd(0.1), "2"), TypeError, "must be an integer or a function"),
        (lambda: gx.MultiSteps(gx.sgd, 2), TypeError, "Was a constructor not called"),
        (
            lambda: gx.MultiSteps(gx.sgd(0.1), 2, should_skip_update_fn=True),
            TypeError,
            r"`should_skip_update_fn` must be a function \(updates, gradient_step, params\)",
        ),
        (
            lambda: gx.MultiSteps(gx.sgd(0.1), 2, should_skip_update_fn=lambda *a: (1, ())),
            TypeError,
            "must return one boolean and a tree, but the first is int 1",
        ),
        (
            lambda: gx.MultiSteps(gx.sgd(0.1), lambda step: jnp.ones(2)),
            TypeError,
            r"must return one number of micro-steps, but returned float32\[2\]",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        start_and_step(make)


def start_and_step(make):
    """Make a transformation and take a step."""
    tx = make()
    tx.update(gradients(0), tx.init(PARAMS))
