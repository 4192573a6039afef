"""Accumulation by weight: any micro-batches are one large batch, and inner sees steps only."""

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


def near(a, b, rtol=1e-6):
    """Assert that two trees agree to rounding."""
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=1e-7), a, b)


def weighted_mean(weights, dtype=float):
    """Return the mean of the gradients 0, 1, ... in NumPy, in float64."""

    def mean(*g):
        return np.average(np.stack([np.asarray(x, dtype) for x in g]), axis=0, weights=weights)

    return jax.tree.map(mean, *(gradients(t) for t in range(len(weights))))


@pytest.mark.parametrize("jit", [False, True])
def test_the_weighted_mean_against_numpy(jit):
    weights = [3.0, 0.5, 120.0, 7.0]
    tx = gx.accumulate(gx.scale(1.0), 4)
    update = jax.jit(tx.update) if jit else tx.update
    state = tx.init(PARAMS)
    for t, weight in enumerate(weights):
        updates, state = update(gradients(t), state, PARAMS, weight=weight)
        assert t == 3 or not any(np.any(u) for u in jax.tree.leaves(updates))
    near(updates, weighted_mean(weights))
    assert (state.micro_step, state.count, state.weight) == (0, 1, 0.0)


def test_without_weights_each_counts_the_same_as_in_multi_steps():
    txs = [gx.accumulate(gx.adamw(0.1), 3), gx.MultiSteps(gx.adamw(0.1), 3)]
    params, states = [PARAMS] * 2, [tx.init(PARAMS) for tx in txs]
    for t in range(6):
        for i, tx in enumerate(txs):
            params[i], states[i] = tx.step(gradients(t), states[i], params[i])
        jax.tree.map(np.testing.assert_array_equal, *params)


def test_weight_0_leaves_no_trace_of_its_gradient():
    """It takes its turn; a group of nothing else is no step; the next starts anew."""
    bad = jax.tree.map(lambda p: jnp.full_like(p, jnp.nan), PARAMS)
    tx = gx.accumulate(gx.scale_by_adam(), 3)
    update, state = jax.jit(tx.update), tx.init(PARAMS)
    for t, weight in enumerate([0.0, 2.0, 0.0]):
        given = bad if weight == 0 else gradients(t)
        updates, state = update(
            given, state, PARAMS, weight=weight, value=jnp.nan if weight == 0 else 5.0
        )
    near(updates, gx.scale_by_adam().update(gradients(1), gx.scale_by_adam().init(PARAMS))[0])
    assert state.value == 5.0
    before = state
    for _ in range(3):
        updates, state = update(bad, state, PARAMS, weight=0.0, value=jnp.nan)
        assert not any(np.any(u) for u in jax.tree.leaves(updates))
    jax.tree.map(np.testing.assert_array_equal, state, before)


@pytest.mark.parametrize("jit", [False, True])
def test_flush_steps_now(jit):
    tx = gx.accumulate(gx.scale(1.0), 4)
    update, state = jax.jit(tx.update) if jit else tx.update, tx.init(PARAMS)
    _, state = update(gradients(0), state, weight=2.0, flush=False)
    updates, state = update(gradients(1), state, weight=6.0, flush=True)
    near(updates, weighted_mean([2.0, 6.0]))
    assert (state.micro_step, state.count, state.weight) == (0, 1, 0.0)
    nothing = jax.tree.map(jnp.zeros_like, PARAMS)
    _, state = update(nothing, state, weight=0.0, flush=True)
    assert state.count == 1
    _, state = update(gradients(0), state, weight=1.0, flush=False)
    updates, state = update(nothing, state, weight=0.0, flush=True)
    near(updates, gradients(0))
    assert state.count == 2


def test_the_number_of_micro_steps_follows_the_steps():
    tx = gx.accumulate(gx.sgd(0.1), lambda step: jnp.where(step < 2, 1, 3))
    state, counts = tx.init(PARAMS), []
    update = jax.jit(tx.update)
    for t in range(8):
        _, state = update(gradients(t), state)
        counts.append(int(state.count))
    assert counts == [1, 2, 2, 2, 3, 3, 3, 4]


def test_inner_sees_the_mean_value_and_the_whole_weight():
    seen = []

    def update(updates, state, params=None, *, value, weight, grad, other):
        seen.append((float(value), float(weight), grad, other))
        return updates, state

    tx = gx.accumulate((lambda params: (), update), 2)
    state = tx.init(PARAMS)
    for t, (weight, value) in enumerate([(1, 4.0), (3, 8.0)]):
        g = gradients(t)
        _, state = tx.update(g, state, weight=weight, value=value, grad=g, other=t)
    ((value, weight, grad, other),) = seen
    assert (value, weight, other) == (7.0, 4.0, 1)
    near(grad, weighted_mean([1, 3]))


def test_accumulations_nest():
    inner = gx.accumulate(gx.scale(1.0), 2)
    tx, weights = gx.accumulate(inner, 2), [1.0, 2.0, 3.0, 4.0]
    state = tx.init(PARAMS)
    for t, weight in enumerate(weights):
        updates, state = tx.update(gradients(t), state, weight=weight)
    near(updates, weighted_mean(weights))
    assert (state.count, state.inner_state.count) == (1, 1)


def test_a_step_is_taken_only_at_the_end():
    """What stands outside, here a count of steps, knows by `taken`."""
    tx = gx.with_rounding(gx.accumulate(gx.sgd(0.1), 3), "stochastic")
    step, state = jax.jit(tx.step), tx.init(PARAMS)
    for t in range(6):
        _, state = step(gradients(t), state, PARAMS)
        assert state.count == (t + 1) // 3


@pytest.mark.parametrize("by", ["step", "update"])
def test_a_group_that_a_guard_leaves_out_is_no_step(by):
    """Nor one in which another accumulation only adds up; `every` goes by steps, too."""
    tx = gx.accumulate(gx.guard(gx.adam(0.1)), lambda step: jnp.where(step < 1, 2, 1))
    call, state, counts = jax.jit(getattr(tx, by)), tx.init(PARAMS), []
    for bad in (0, 1, 0, 0, 0, 1, 0):
        g = jax.tree.map(lambda p, bad=bad: jnp.where(bad, jnp.nan, p), PARAMS)
        state = call(g, state, PARAMS)[1]
        counts.append(int(state.count))
    assert counts == [0, 0, 0, 1, 2, 2, 3]
    assert int(state.inner_state.inner_state[0].count) == 3
    nested = gx.accumulate(gx.accumulate(gx.sgd(0.1), 2), 2)
    state = nested.init(PARAMS)
    for t in range(4):
        assert (state.count, state.inner_state.count) == (0, 0)
        _, state = getattr(nested, by)(gradients(t), state, PARAMS)
    assert (state.count, state.inner_state.count) == (1, 1)


def test_narrow_gradients_are_added_in_float32():
    params = {"w": jnp.zeros(1)}
    tx = gx.accumulate(gx.scale(1.0), 300)
    state = tx.init(params)
    step = jax.jit(tx.update)
    for value in [256.0] * 8 + [1.0] * 8:
        _, state = step({"w": jnp.array([value], jnp.bfloat16)}, state, params)
    assert abs(state.acc_grads["w"][0] - 128.5) < 1e-4
    narrow = gx.accumulate(gx.scale(1.0), 2, dtype="bfloat16").init(params)
    assert narrow.acc_grads["w"].dtype == jnp.bfloat16


@pytest.mark.slow
def test_a_thousand_micro_steps_lose_no_more_than_rounding(rng):
    """A running mean is as exact as a sum; in bfloat16 a thousandth of a change is lost."""
    g = rng.normal(1.0, 1.0, (1000, 50)).astype(np.float32)
    weights = rng.integers(1, 500, 1000)
    exact = np.average(g.astype(float), axis=0, weights=weights)
    errors = {}
    for dtype in ("float32", "bfloat16"):
        tx = gx.accumulate(gx.scale(1.0), 1001, dtype=dtype)

        def one(state, given, tx=tx):
            return tx.update(given[0], state, weight=given[1])[1], None

        state = jax.lax.scan(one, tx.init(jnp.zeros(50)), (g, weights))[0]
        errors[dtype] = np.max(np.abs(np.asarray(state.acc_grads, float) - exact))
    assert errors["float32"] < 2e-6
    assert 1e-3 < errors["bfloat16"] < 0.3


@pytest.mark.parametrize("extra", [(), ("weight",)])
def test_a_micro_step_by_step_needs_no_memory_and_changes_one_buffer(extra):
    params = {f"w{i}": jnp.zeros((128, 128)) for i in range(4)}
    tx = gx.accumulate(gx.adamw(0.1), 4)

    def train(params, state, gradients, *numbers):
        return tx.step(gradients, state, params, **dict(zip(extra, numbers, strict=True)))

    state = jax.eval_shape(tx.init, params)
    lowered = jax.jit(train, donate_argnums=(0, 1)).lower(
        params, state, params, *[1.0] * len(extra)
    )
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 10_000


@pytest.mark.parametrize(
    "around",
    [
        gx.guard,
        gx.flatten,
        gx.split_real_and_imaginary,
        gx.with_metrics,
        lambda tx: gx.lookahead(tx, 2, 0.5, slow_in_state=True),
        lambda tx: gx.schedule_free(tx, 0.1),
        lambda tx: gx.masked(tx, {"w": True, "b": False}),
        lambda tx: gx.groups(("w", tx), ("*", gx.identity())),
    ],
)
def test_noise_inside_something_is_refused(around):
    tx = gx.chain(around(gx.add_noise(0.1, 0.0, 1)), gx.accumulate(gx.sgd(0.1), 2))
    with pytest.raises(ValueError, match="noise must be drawn once for a step, but add_noise"):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


@pytest.mark.parametrize("weight", [-5.0, np.nan])
def test_a_traced_weight_that_is_none_counts_as_zero(weight):
    """What cannot be refused while tracing is left out, and spoils nothing that follows."""
    tx = gx.accumulate(gx.sgd(1.0), 3)
    update, state = jax.jit(lambda g, s, w: tx.update(g, s, PARAMS, weight=w)), tx.init(PARAMS)
    weights = (1.0, weight, 3.0)
    for t, w in enumerate(weights):
        updates, state = update(gradients(t), state, jnp.float32(w))
    expected = jax.tree.map(lambda a, b: -(a + 3 * b) / 4, gradients(0), gradients(2))
    near(updates, expected)


def test_noise_at_each_micro_step_is_refused():
    of_examples = jax.tree.map(lambda p: p[None], PARAMS)
    private = gx.differentially_private_aggregate(1.0, 1.0, 1)
    for noise, given in ((gx.add_noise(0.1, 0.0, 1), PARAMS), (private, of_examples)):
        tx = gx.chain(noise, gx.accumulate(gx.sgd(0.1), 2))
        with pytest.raises(ValueError, match=r"noise must be drawn once for a step, but [ad]"):
            tx.update(given, tx.init(PARAMS), PARAMS)
    inside = gx.accumulate(gx.chain(gx.add_noise(0.1, 0.0, 1), gx.sgd(0.1)), 2)
    inside.update(PARAMS, inside.init(PARAMS), PARAMS)


@pytest.mark.parametrize(
    ("make", "extra", "error", "message"),
    [
        (lambda: gx.accumulate(gx.sgd(0.1), 0), {}, ValueError, "`every` must be at least 1"),
        (lambda: gx.accumulate(gx.sgd(0.1), 1.5), {}, TypeError, "`every` must be an integer or a"),
        (lambda: gx.accumulate(gx.sgd, 2), {}, TypeError, "Was a constructor not called"),
        (None, {"weight": -1}, ValueError, "`weight` must be at least 0 and finite, but is -1"),
        (
            None,
            {"weight": np.nan},
            ValueError,
            "`weight` must be at least 0 and finite, but is nan",
        ),
        (None, {"weight": jnp.ones(2)}, TypeError, r"`weight` must be one number.*float32\[2\]"),
        (None, {"weight": True}, TypeError, "`weight` must be one number, .* but is bool True"),
        (None, {"flush": 1}, TypeError, "`flush` must be one boolean.* but is int 1"),
        (None, {"value": jnp.ones(2)}, TypeError, r"`value` must be one number.*float32\[2\]"),
        (
            lambda: gx.accumulate(gx.sgd(0.1), lambda step: jnp.ones(2)),
            {},
            TypeError,
            r"`every` must return one number of micro-steps, but returned float32\[2\]",
        ),
        (
            lambda: gx.accumulate(gx.sgd(0.1), lambda step: 0),
            {},
            ValueError,
            "`every` must return at least 1, but returned 0",
        ),
        (
            lambda: gx.accumulate(gx.sgd(0.1), lambda step: 2.5),
            {},
            TypeError,
            "`every` must return an integer, but returned float 2.5",
        ),
    ],
)
def test_errors(make, extra, error, message):
    with pytest.raises(error, match=message):
        start_and_step(make or (lambda: gx.accumulate(gx.sgd(0.1), 2)), extra)


def start_and_step(make, extra):
    """Make a transformation and take a step."""
    tx = make()
    tx.update(gradients(0), tx.init(PARAMS), PARAMS, **extra)
