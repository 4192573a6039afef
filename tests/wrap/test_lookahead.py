"""Lookahead: the two loops of the paper as one, the slow parameters outside or in the state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.testing import check_formula, check_transformation, gradient_sequence

PARAMS = {"w": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.ones(2)}


def two_loops(w, gradients, lr, k, alpha):
    """Return (fast, slow) after each step of Algorithm 1 with gradient descent inside."""
    fast, slow, seen = w, w, []
    for t, g in enumerate(gradients, 1):
        fast = fast - lr * g
        if t % k == 0:
            slow = slow + alpha * (fast - slow)
            fast = slow
        seen.append((fast, slow))
    return seen


@pytest.mark.parametrize(("k", "alpha"), [(3, 0.5)])
def test_formula(k, alpha):
    def loop(w, gradients):
        return [fast for fast, _ in two_loops(w, gradients, 0.1, k, alpha)]

    check_formula(gx.lookahead(gx.sgd(0.1), k, alpha, slow_in_state=True), loop, steps=20)


@pytest.mark.parametrize("step", [False, True])
def test_pairs_follow_both_loops(step, x64):
    tx = gx.lookahead(gx.sgd(0.1), 3, 0.4)
    gradients = gradient_sequence((4,), 10)
    params = gx.LookaheadParams.init_synced({"w": jnp.ones(4), "n": jnp.arange(2)})
    state = tx.init(params)
    advance = jax.jit(tx.step if step else lambda g, s, p: by_update(tx, g, s, p))
    for g, (fast, slow) in zip(
        gradients, two_loops(np.ones(4), gradients, 0.1, 3, 0.4), strict=True
    ):
        params, state = advance({"w": jnp.asarray(g), "n": None}, state, params)
        assert type(params) is gx.LookaheadParams
        np.testing.assert_allclose(params.fast["w"], fast, rtol=1e-13)
        np.testing.assert_allclose(params.slow["w"], slow, rtol=1e-13)
        np.testing.assert_array_equal(params.slow["n"], [0, 1])


def by_update(tx, grads, state, params):
    """Return new parameters and state, by `update`."""
    updates, state = tx.update(grads, state, params)
    return gx.apply_updates(params, updates), state


@pytest.mark.slow
def test_both_ways_are_the_same():
    pair, alone = (
        gx.lookahead(gx.adam(0.1), 2, 0.5),
        gx.lookahead(gx.adam(0.1), 2, 0.5, slow_in_state=True),
    )
    both, params = gx.LookaheadParams.init_synced(PARAMS), PARAMS
    states = [pair.init(both), alone.init(params)]
    for _ in range(3):
        both, states[0] = pair.step(both.fast, states[0], both)
        params, states[1] = alone.step(params, states[1], params)
    jax.tree.map(np.testing.assert_array_equal, both.fast, params)
    jax.tree.map(np.testing.assert_array_equal, both.slow, states[1].slow)


def test_fast_and_slow_have_the_same_bits_where_they_meet():
    tx = gx.lookahead(gx.sgd(0.3), 1, 1 / 3)
    params = gx.LookaheadParams.init_synced(PARAMS)
    params, _ = tx.step(PARAMS, tx.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, params.fast, params.slow)


def test_slow_of_narrow_parameters_is_exact():
    """An eighth of the spacing of bfloat16 a step."""
    w = jnp.ones(4, jnp.bfloat16)
    tx = gx.lookahead(gx.sgd(2.0**-10), 1, 1.0, slow_in_state=True)
    state = tx.init(w)
    _, state = tx.step(w, state, w)
    assert state.slow.dtype == jnp.float32
    np.testing.assert_array_equal(state.slow, jnp.full(4, 1 - 2.0**-10))
    pair = gx.LookaheadParams.init_synced(w, slow_dtype="float32")
    assert (pair.fast.dtype, pair.slow.dtype) == (jnp.bfloat16, jnp.float32)
    pair, _ = gx.lookahead(gx.sgd(2.0**-10), 1, 1.0).step(w, tx.init(w), pair)
    np.testing.assert_array_equal(pair.slow, jnp.full(4, 1 - 2.0**-10))


@pytest.mark.parametrize("slow_in_state", [False, True])
def test_state_starts_anew_where_they_meet(slow_in_state):
    tx = gx.lookahead(gx.adam(0.1), 2, 0.5, reset_state=True, slow_in_state=slow_in_state)
    params = PARAMS if slow_in_state else gx.LookaheadParams.init_synced(PARAMS)
    first = state = tx.init(params)
    update = jax.jit(lambda s: tx.update(PARAMS, s, params)[1])
    state = update(state)
    assert int(state.fast_state[0].count) == 1
    state = update(state)
    jax.tree.map(np.testing.assert_array_equal, state.fast_state, first.fast_state)


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("by", ["step", "update"])
def test_around_an_accumulation_it_counts_steps(by, pair):
    """Outside and inside are the same bits, and a group is not forgotten where both meet."""
    make = functools.partial(gx.lookahead, sync_period=2, slow_step_size=0.5, slow_in_state=True)
    around = functools.partial(make, reset_state=True, slow_in_state=not pair)
    first = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    params = [gx.LookaheadParams.init_synced(first, slow_dtype="float32") if pair else first, first]
    txs = [around(gx.accumulate(gx.sgd(0.1), 3)), gx.accumulate(make(gx.sgd(0.1)), 3)]
    advance = [jax.jit(t.step if by == "step" else functools.partial(by_update, t)) for t in txs]
    states = [tx.init(p) for tx, p in zip(txs, params, strict=True)]
    for t in range(13):
        g = jax.tree.map(lambda p, t=t: jnp.sin(p + t), first)
        for i in range(2):
            params[i], states[i] = advance[i](g, states[i], params[i])
        fast = params[0].fast if pair else params[0]
        jax.tree.map(np.testing.assert_array_equal, fast, params[1])
        points = [tx.eval_params(s, p) for tx, s, p in zip(txs, states, params, strict=True)]
        if by == "step" or not pair:
            jax.tree.map(lambda a, b: np.testing.assert_array_equal(a.astype(b.dtype), b), *points)
    assert int(states[0].steps_since_sync) == 0


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda slow: slow(gx.guard(gx.sgd(0.1))),
        lambda slow: slow(gx.chain(gx.guard(gx.trace(0.0)), gx.scale(-0.1))),
        lambda slow: gx.chain(gx.guard(gx.identity()), slow(gx.sgd(0.1))),
    ],
)
def test_a_step_that_a_guard_leaves_out_is_none(make, jit):
    tx = make(lambda inner: gx.lookahead(inner, 2, 0.5, slow_in_state=True))
    step, params = jax.jit(tx.step) if jit else tx.step, {"w": jnp.ones(1)}
    state, seen = tx.init(params), []
    for g in (1.0, np.nan, np.nan, 1.0, 1.0):
        params, state = step({"w": jnp.full(1, g)}, state, params)
        seen.append((float(params["w"][0]), float(tx.eval_params(state, params)["w"][0])))
    np.testing.assert_allclose(seen, [(0.9, 1), (0.9, 1), (0.9, 1), (0.9, 0.9), (0.8, 0.9)])


@pytest.mark.parametrize("each", [False, True])
def test_groups_that_rest_alone(each):
    """Around groups all meet after two calls; with one in each a group that rests meets later."""
    slow = functools.partial(gx.lookahead, sync_period=2, slow_step_size=0.5, slow_in_state=True)
    inside, around = (slow, lambda tx: tx) if each else (lambda tx: tx, slow)
    tx = around(gx.groups(("a", inside(gx.guard(gx.sgd(0.1)))), ("*", inside(gx.sgd(0.1)))))
    params, seen = {"a": jnp.ones([]), "b": jnp.ones([])}, []
    state, step = tx.init(params), jax.jit(tx.step)
    for a in (1.0, np.nan, 1.0):
        params, state = step({"a": jnp.float32(a), "b": jnp.float32(1)}, state, params)
        evaluated = tx.eval_params(state, params)
        seen.append([float(tree[k]) for tree in (params, evaluated) for k in "ab"])
    second, third = ([0.95, 0.9, 0.95, 0.9], [0.85, 0.8, 0.95, 0.9])
    if each:
        second, third = ([0.9, 0.9, 1, 0.9], [0.9, 0.8, 0.9, 0.9])
    np.testing.assert_allclose(seen, [[0.9, 0.9, 1, 1], second, third], rtol=1e-6)


def test_around_sam_they_meet_where_it_descends():
    sam = gx.sam(gx.sgd(0.1), gx.sgd(0.5))
    tx = gx.lookahead(sam, 2, 0.5, slow_in_state=True)
    w, state = jnp.ones([]), tx.init(jnp.ones([]))
    for _ in range(4):
        w, state = tx.step(w, state, w)  # of w^2 / 2, so that a step takes 0.15 w
    np.testing.assert_allclose(w, 1 + 0.5 * (0.85**2 - 1), rtol=1e-6)
    with pytest.raises(ValueError, match="a transparent `sam` must not be in one of several group"):
        gx.lookahead(gx.groups(("a", sam), ("*", gx.sgd(0.1))), 2, 0.5)
    gx.lookahead(gx.partition({"a": gx.sgd(0.1)}, "a"), 2, 0.5)


def test_gradients_of_the_pair_will_do():
    tx = gx.lookahead(gx.sgd(0.1), 2, 0.5)
    params = gx.LookaheadParams.init_synced(PARAMS)
    grads = gx.LookaheadParams(PARAMS, gx.tree.zeros_like(PARAMS))
    alone, _ = tx.update(grads.fast, tx.init(params), params)
    pair, _ = tx.update(grads, tx.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, pair, alone)


def test_in_a_chain_what_stands_before_it_sees_the_fast_gradients():
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.lookahead(gx.sgd(1.0), 5, 0.5))
    params = gx.LookaheadParams.init_synced(PARAMS)
    updates, _ = tx.update(PARAMS, tx.init(params), params)
    assert float(gx.tree.norm(updates.fast)) == pytest.approx(1.0)
    assert float(gx.tree.norm(updates.slow)) == 0


@pytest.mark.slow
def test_extra_arguments_and_dtype_changes_reach_what_it_wraps():
    tx = gx.lookahead(gx.scale_by_polyak(), 2, 0.5)
    params = gx.LookaheadParams.init_synced(PARAMS)
    updates, _ = tx.update(PARAMS, tx.init(params), params, value=0.0)
    assert float(gx.tree.norm(updates.fast)) == 0
    narrow = gx.with_state_dtype(gx.lookahead(gx.adam(0.1), 2, 0.5), mu="bfloat16")
    assert narrow.init(params).fast_state[0].mu["w"].dtype == jnp.bfloat16


@pytest.mark.slow
def test_contract_of_pairs():
    """The checks whose trees are given; the others are made with the slow ones in the state."""
    params = gx.LookaheadParams.init_synced({"w": PARAMS["w"], "h": jnp.ones(3, jnp.bfloat16)})
    check_transformation(
        gx.lookahead(gx.trace(0.9), 2, 0.5),
        params=params,
        checks=("state", "jit", "abstract", "donation", "resume", "step", "dtypes", "zero"),
    )


def test_abstract_pairs():
    shapes = jax.eval_shape(lambda: gx.LookaheadParams.init_synced(PARAMS))
    for slow_in_state in (False, True):
        tx = gx.lookahead(gx.adam(0.1), 2, 0.5, slow_in_state=slow_in_state)
        state = tx.init(shapes.fast if slow_in_state else shapes)
        assert all(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(state))


def test_messages():
    tx, params = gx.lookahead(gx.sgd(0.1), 2, 0.5), gx.LookaheadParams.init_synced(PARAMS)
    state = tx.init(PARAMS)  # the fast parameters alone will do
    with pytest.raises(
        TypeError, match=r"must be LookaheadParams, but are dict.*init_synced\(para"
    ):
        tx.update(PARAMS, state, PARAMS)
    with pytest.raises(ValueError, match="lookahead needs the parameters"):
        tx.update(PARAMS, state)
    with pytest.raises(ValueError, match="must be a LookaheadState, but is a tuple"):
        tx.update(PARAMS, (), params)
    inside = gx.lookahead(gx.sgd(0.1), 2, 0.5, slow_in_state=True)
    with pytest.raises(ValueError, match="with `slow_in_state` the state must hold the slow param"):
        inside.update(PARAMS, state, PARAMS)
    with pytest.raises(ValueError, match=r"`sync_period` must be an integer in \[1, inf\)"):
        gx.lookahead(gx.sgd(0.1), 0, 0.5)
    with pytest.raises(TypeError, match="lookahead: every part must be a transformation"):
        gx.lookahead(gx.sgd, 2, 0.5)
