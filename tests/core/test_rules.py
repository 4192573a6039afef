"""What a rule may declare: state, shared numbers, whole-tree numbers, randomness, extras."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.numerics import abs2, average, safe_increment
from gradtx.typing import Count, Key, PerParam, PerParamReal, PerParamReduced, PerParamStack, Scalar

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3) - 2, "b": jnp.array([3.0, -4.0])}


def once(tx, grads=PARAMS, params=PARAMS, **extra):
    """Return the updates and state of one step."""
    return tx.update(grads, tx.init(params), params, **extra)


class Mean(NamedTuple):
    """Count, largest entry so far, mean."""

    count: Count
    largest: Scalar
    mean: PerParam


def _measured(g, state, p, h):
    return {"sum": jnp.sum(g), "largest": jnp.max(jnp.abs(g)), "mean_sum": jnp.sum(state.mean)}


def _concluded(totals, state, h):
    largest = jnp.maximum(state.largest, totals.largest)
    numbers = {"total": totals.sum, "top": largest, "mean_sum": totals.mean_sum}
    return numbers, state._replace(largest=largest)


def _accumulated(g, state, p, h):
    return state._replace(mean=average(state.mean, g, h.b, h.one_minus_b))


def _counted(state, h, extra):
    t = safe_increment(state.count)
    return {"t": t}, state._replace(count=t)


def _whole(g, state, p, h):
    return g * 0 + h.total + 10 * h.top + 100 * h.t + 1000 * h.mean_sum, state


WHOLE = gx.Rule(
    _whole,
    state=Mean,
    shared=_counted,
    accumulate=_accumulated,
    measure=_measured,
    conclude=_concluded,
    maxima=("largest",),
)


def test_measures_are_combined_over_the_tree():
    tx = gx.lift(WHOLE, b=gx.as_decay(0.5))
    updates, state = once(tx)
    total, top = 3 - 1, 4  # the sum of w is 3, of b -1
    want = total + 10 * top + 100 * 1 + 1000 * 0.5 * total
    for leaf in jax.tree.leaves(updates):
        np.testing.assert_allclose(leaf, np.full(leaf.shape, want), rtol=1e-6)
    assert state.count == 1
    assert state.largest == 4
    np.testing.assert_allclose(state.mean["b"], PARAMS["b"] / 2)
    # The largest entry is kept in the state: half the gradient does not lower it.
    smaller = jax.tree.map(lambda g: g / 2, PARAMS)
    updates, state = tx.update(smaller, state, PARAMS)
    assert state.largest == 4
    want = total / 2 + 10 * top + 100 * 2 + 1000 * 0.5 * total
    np.testing.assert_allclose(updates["b"], np.full(2, want), rtol=1e-6)


def test_measures_of_an_empty_tree_are_zero():
    _, state = once(gx.lift(WHOLE, b=gx.as_decay(0.5)), {}, {})
    assert state.largest == 0


def test_two_measuring_rules_in_one_chain():
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.scale(4.0), gx.clip_by_global_norm(2.0))
    updates, _ = once(tx)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(PARAMS)))
    np.testing.assert_allclose(updates["b"], PARAMS["b"] * 2 / norm, rtol=1e-6)


def test_measure_needs_conclude():
    with pytest.raises(TypeError, match="`measure` and `conclude` belong together"):
        gx.Rule(_whole, state=Mean, measure=_measured)


class Stored(NamedTuple):
    """One field of each kind that belongs to a parameter."""

    real: PerParamReal
    window: PerParamStack
    rows: PerParamReduced


def _started(p, h):
    return {
        "real": jnp.full(p.shape, h.start, abs2(p).dtype),
        "window": jnp.zeros((3, *p.shape), p.dtype),
        "rows": jnp.sum(abs2(p), axis=-1, keepdims=True),
    }


def _pass(g, state, p, h):
    return g * state.real, state


def test_init_gives_each_field_its_start():
    tx = gx.lift(gx.Rule(_pass, state=Stored, init=_started), start=None, static={"start": 2.0})
    params = {"c": jnp.array([3 + 4j, 1j]), "w": jnp.ones((2, 3), jnp.bfloat16)}
    state = tx.init(params)
    assert state.real["c"].dtype == jnp.float32
    assert state.real["w"].dtype == jnp.float32
    assert state.window["w"].shape == (3, 2, 3)
    np.testing.assert_allclose(state.rows["c"], [26.0])
    np.testing.assert_allclose(state.rows["w"], [[3.0], [3.0]])


def test_init_of_a_field_that_does_not_exist():
    rule = gx.Rule(_pass, state=Mean, init=lambda p, h: {"median": p})
    with pytest.raises(TypeError, match=r"init returned \['median'\], no field of its state"):
        gx.lift(rule).init(PARAMS)


def test_field_without_a_natural_start():
    with pytest.raises(TypeError, match="kind 'stack' has no natural start: give an `init`"):
        gx.lift(gx.Rule(_pass, state=Stored)).init(PARAMS)


class Dice(NamedTuple):
    """A key."""

    rng_key: Key


def _split(state, h, extra):
    key, now = jax.random.split(state.rng_key)
    return {"key": now}, state._replace(rng_key=key)


def _noisy(g, state, p, h):
    return jax.random.normal(h.key, g.shape, g.dtype), state


NOISY = gx.Rule(_noisy, state=Dice, shared=_split, random=True)


def noise(seed=0):
    return gx.lift(NOISY, start={"rng_key": jax.random.key(seed)})


def test_every_leaf_and_step_has_its_own_key():
    params = {"a": jnp.zeros(4), "b": jnp.zeros(4)}
    tx = noise()
    first, state = once(tx, params, params)
    second, _ = tx.update(params, state, params)
    drawn = [first["a"], first["b"], second["a"], second["b"]]
    assert len({np.asarray(x).tobytes() for x in drawn}) == 4


def test_noise_belongs_to_the_path():
    """Another leaf beside it, or another order, does not change what a leaf draws."""
    one, _ = once(noise(), {"b": jnp.zeros(4)}, {"b": jnp.zeros(4)})
    params = {"a": jnp.zeros(2), "b": jnp.zeros(4)}
    two, _ = once(noise(), params, params)
    np.testing.assert_array_equal(one["b"], two["b"])


def test_start_value_is_copied():
    """The caller may donate the state and still use the key."""
    key = jax.random.key(1)
    tx = gx.lift(NOISY, start={"rng_key": key})
    state = tx.init(PARAMS)
    jax.jit(tx.update, donate_argnums=1)(PARAMS, state, PARAMS)
    jax.random.normal(key)


class Nothing(NamedTuple):
    """A count, so that schedules and extras have somewhere to go."""

    count: Count


def _from_extra(state, h, extra):
    return {"factor": extra.value * h.rate}, state._replace(count=safe_increment(state.count))


def _scaled(g, state, p, h):
    return h.factor * g, state


SCALED = gx.Rule(_scaled, state=Nothing, shared=_from_extra, extras=("value",))


@pytest.mark.parametrize("value", [2.0, np.float32(2), jnp.float32(2), 2, jnp.bfloat16(2)])
def test_extra_argument_may_be_any_number(value):
    updates, _ = once(gx.lift(SCALED, rate=0.5), value=value)
    np.testing.assert_array_equal(updates["b"], PARAMS["b"])


def test_extra_argument_with_a_default_may_be_left_out():
    rule = gx.Rule(
        _scaled, state=Nothing, shared=_from_extra, extras=("value",), defaults=(("value", 4.0),)
    )
    for extra, factor in (({}, 2.0), ({"value": 6.0}, 3.0)):
        updates, _ = once(gx.lift(rule, rate=0.5), **extra)
        np.testing.assert_array_equal(updates["b"], factor * PARAMS["b"])


def test_schedules_see_0_first():
    seen = []

    def rate(count):
        seen.append(int(count))
        return 1.0

    tx = gx.lift(SCALED, rate=rate)
    _, state = once(tx, value=1.0)
    tx.update(PARAMS, state, PARAMS, value=1.0)
    assert seen == [0, 1]


class TwoCounts(NamedTuple):
    """A count of all steps and one that a user may set back."""

    count: Count
    age: Count


def _both_on(state, h, extra):
    return {"factor": h.rate}, TwoCounts(state.count + 1, state.age + 1)


def test_schedules_follow_the_clock_of_the_rule():
    rule = gx.Rule(_scaled, state=TwoCounts, shared=_both_on, clock="age")
    tx = gx.lift(rule, rate=lambda count: 1.0 + count.astype(float))
    _, state = once(tx)
    for age, factor in ((state.age, 2.0), (jnp.int32(0), 1.0)):
        updates, _ = tx.update(PARAMS, state._replace(age=age), PARAMS)
        np.testing.assert_array_equal(updates["b"], factor * PARAMS["b"])


def test_schedule_needs_a_count():
    with pytest.raises(TypeError, match="the schedule `rate` needs a field `count` in the state"):
        gx.lift(gx.Rule(_scaled), rate=lambda count: 1.0)


def test_numbers_may_not_be_flags():
    with pytest.raises(TypeError, match="`nesterov` must be a number; give True in `static`"):
        gx.lift(gx.Rule(_scaled), nesterov=True)


def test_decay_keeps_its_digits():
    """In float32, 1 - b2 computed from b2 would be 1.4e-3 off."""

    def complement(g, state, p, h):
        return g * h.one_minus_b, state

    tx = gx.lift(gx.Rule(complement), b=gx.as_decay(0.99999))
    updates, _ = once(tx, {"w": jnp.ones(1)}, None)
    np.testing.assert_allclose(updates["w"], [1e-5], rtol=1e-6)


def test_count_saturates():
    tx = gx.scale_by_adam()
    state = tx.init(PARAMS)
    largest = jnp.int32(2**31 - 1)
    updates, state = tx.update(PARAMS, state._replace(count=largest), PARAMS)
    assert state.count == largest
    assert np.isfinite(updates["w"]).all()


class SteppedState(NamedTuple):
    count: Count


def keyed(state, h, extra):
    return {"key": jax.random.key(7)}, state._replace(count=state.count + 1)


def measured(g, state, p, h):
    return {"rate": h.rate + 0 * jnp.sum(g)}


def concluded(totals, state, h):
    return {"seen": totals.rate, "concluded": h.rate}, state


def noisy_rates(g, state, p, h):
    drawn = jax.random.uniform(h.key)
    return g * 0 + h.rate + 100 * h.seen + 10_000 * h.concluded + 0.25 * jnp.sign(drawn), state


def test_measuring_rule_sees_one_value_of_its_schedule_and_its_key():
    rule = gx.Rule(
        noisy_rates,
        state=SteppedState,
        shared=keyed,
        measure=measured,
        conclude=concluded,
        random=True,
    )
    tx = gx.lift(rule, rate=lambda count: 10.0 + count.astype(float))
    params = {"w": jnp.ones(2)}
    state = tx.init(params)
    for step in range(2):
        updates, state = tx.update(params, state)
        rate = 10.0 + step
        np.testing.assert_allclose(updates["w"], rate * 10_101 + 0.25, rtol=1e-6)


def test_count_counts_by_itself():
    tx = gx.lift(gx.Rule(passed_on, state=SteppedState))
    state = tx.init({"w": jnp.ones(2)})
    for _ in range(3):
        _, state = tx.update({"w": jnp.ones(2)}, state)
    assert state.count == 3


def passed_on(g, state, p, h):
    return g, state


@dataclasses.dataclass(frozen=True)
class Factor:
    value: float


def times_factor(g, state, p, h):
    return h.factor.value * g, state._replace(seen=state.seen + h.factor.value)


class FactorState(NamedTuple):
    seen: PerParam


def test_rule_is_told_of_its_leaf():
    """`where` may hold more than whether: then the rule reads it, and None leaves a leaf out."""
    rule = gx.Rule(times_factor, state=FactorState, per_leaf="factor")
    params = {"a": jnp.ones(2), "b": (jnp.ones(2), jnp.ones(3)), "c": jnp.ones(2), "d": None}
    given = {"a": Factor(2.0), "b": Factor(3.0), "c": None, "d": None}
    for where in (given, lambda tree: given):
        tx = gx.chain(gx.lift(rule, where=where), gx.scale(10.0))
        updates, state = tx.update(params, tx.init(params))
        assert [float(u[0]) for u in jax.tree.leaves(updates)] == [20.0, 30.0, 30.0, 10.0]
        assert state[0].seen["c"] is None
        assert float(state[0].seen["b"][1][0]) == 3.0
