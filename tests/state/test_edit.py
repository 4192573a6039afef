"""Parts of a state started anew, counts set, states carried to other shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import at_step, export, reset, resize, restore
from gradtx.testing import gradients_like
from tests.state.filled import filled

PARAMS = {"a": {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}, "c": jnp.ones(2)}
ADAM = gx.adamw(0.1)


def same(left, right):
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(x, y)


def test_reset_starts_matching_parameters_anew_and_keeps_the_rest():
    tx = gx.with_ema(ADAM, 0.9)
    old = filled(tx, PARAMS)
    new = reset(tx, old, PARAMS, "a/*", counts=False)
    fresh = export(tx, tx.init(PARAMS))
    for name, x in export(tx, new).items():
        same(x, fresh[name] if "/a/" in name else export(tx, old)[name])
    assert jax.tree.structure(new) == jax.tree.structure(old)


def test_reset_of_all_with_counts_is_init():
    new = reset(ADAM, filled(ADAM, PARAMS), PARAMS, counts=True)
    same(new, ADAM.init(PARAMS))
    with pytest.raises(ValueError, match="counts=True needs a pattern that matches all") as error:
        reset(ADAM, filled(ADAM, PARAMS), PARAMS, "a/*", counts=True)
    assert "but these are for others, too: scale_by_adam/count." in str(error.value)
    tx = gx.sgd(gx.linear_schedule(1.0, 0.0, 10))
    same(reset(tx, filled(tx, PARAMS), PARAMS, counts=True), tx.init(PARAMS))


def test_counts_of_a_group_are_reset_with_it():
    """Also that of its schedule, and what else corrects its moments; the rest goes on."""
    rate = gx.linear_schedule(1.0, 0.0, 10)
    tx = gx.with_ema(gx.groups(("old", "a/*", gx.adam(rate)), ("new", "c", gx.nadam(rate))), 0.9)
    state = filled(tx, PARAMS)
    before, fresh = export(tx, state), export(tx, tx.init(PARAMS))
    now = export(tx, reset(tx, state, PARAMS, "c", counts=True))
    changed = {name for name, x in now.items() if not np.array_equal(x, before[name])}
    of_new = {name for name in before if name.startswith("new/")}
    assert changed == of_new | {"with_ema/average/c"}
    for name in changed:
        same(now[name], fresh[name])
    assert [int(x) for name, x in now.items() if name[-5:] == "count"] == [3, 0, 0, 3, 3]


def test_counts_of_a_group_without_moments_are_reset_with_it():
    rate = gx.linear_schedule(1.0, 0.0, 10)
    tx = gx.named_chain(
        ("opt", gx.groups(("old", "a/*", gx.adam(0.1)), ("new", "c", gx.sgd(rate)))),
        ("last", gx.scale_by_schedule(rate)),
    )
    now = export(tx, reset(tx, filled(tx, PARAMS), PARAMS, "c", counts=True))
    assert {name: int(x) for name, x in now.items() if name.endswith("count")} == {
        "opt/old/scale_by_adam/count": 3,
        "opt/new/scale_by_learning_rate/count": 0,
        "last/scale_by_schedule/count": 3,
    }


def test_counts_of_masked_moments_are_reset_with_them():
    tx = gx.chain(gx.masked(gx.scale_by_adam(), gx.matching("c")), gx.scale(-0.1))
    state = reset(tx, filled(tx, PARAMS), PARAMS, "c", counts=True)
    same(state, tx.init(PARAMS))


def test_reset_refuses_a_pattern_that_matches_nothing():
    with pytest.raises(ValueError, match=r"'a/x' matches no path"):
        reset(ADAM, filled(ADAM, PARAMS), PARAMS, "a/x")


def test_first_updates_after_a_reset_are_as_large_as_the_page_says():
    tx = gx.scale_by_adam()
    state = filled(tx, PARAMS)._replace(count=jnp.int32(10_000))
    with pytest.warns(UserWarning, match="goes on at 10000 beside scale_by_adam/mu/c") as warned:
        state = reset(tx, state, PARAMS, "c")
    assert warned[0].filename == __file__ and "counts=False" in str(warned[0].message)
    step, sizes = jax.jit(tx.update), []
    for _ in range(40):
        updates, state = step(gradients_like(PARAMS, 7), state, PARAMS)
        sizes.append(float(np.abs(updates["c"][0])))
    assert sizes[0] == pytest.approx(0.1 / np.sqrt(0.001), rel=1e-3)
    assert np.argmax(sizes) == 11 and sizes[11] == pytest.approx(6.6, rel=0.01)
    assert sizes[39] == pytest.approx(5, rel=0.01)


def test_reset_of_a_pair_of_parameters_goes_by_the_fast_ones():
    tx = gx.lookahead(gx.trace(0.9), 2, 0.5)
    pair = gx.LookaheadParams.init_synced(PARAMS)
    fast = jax.tree.map(jnp.ones_like, PARAMS)
    state = tx.init(pair)._replace(fast_state=gx.TraceState(fast))
    new = reset(tx, state, pair, "fast/a/*").fast_state.trace
    assert not np.any(new["a"]["w"]) and np.all(new["c"])
    tx = gx.lookahead(gx.adam(0.1), 2, 0.5)
    state = reset(tx, filled(tx, pair), pair, "fast/*", counts=True)
    assert int(export(tx, state)["scale_by_adam/count"]) == 0


def test_groups_are_reset_with_their_counts():
    tx = gx.partition({"x": gx.adam(0.1), "y": gx.adam(0.1)}, {"a": "x", "c": "y"})
    old = filled(tx, PARAMS)
    state = reset(tx, old, PARAMS, "c")
    assert not np.any(state.inner_states["y"].inner_state[0].mu["c"])
    same(state.inner_states["x"], old.inner_states["x"])


SCHEDULED = gx.chain(
    gx.adamw(gx.linear_schedule(1.0, 0.0, 10), weight_decay=0.1), gx.add_noise(0.1, 0.5, key=1)
)


@pytest.mark.parametrize(
    "tx",
    [
        SCHEDULED,
        gx.MultiSteps(SCHEDULED, 2),
        gx.inject_hyperparams(gx.adam)(gx.linear_schedule(1.0, 0.0, 10)),
        gx.scale_by_ademamix(),
        gx.tunable(gx.sgd(gx.linear_schedule(1.0, 0.0, 10))),
    ],
)
def test_jump_sets_every_count_of_steps_and_nothing_else(tx):
    state = tx.init(PARAMS)
    before, now = export(tx, state), export(tx, at_step(tx, state, 7))
    for name, x in now.items():
        counts = name.rsplit("/", 1)[-1] in ("count", "gradient_step", "count_m2")
        same(x, 7 if counts else before[name])
        assert x.dtype == before[name].dtype


def test_jump_is_where_steps_lead():
    """Rules whose state is their counts are then where 2 steps would have brought them."""
    tx = gx.chain(gx.scale_by_schedule(lambda n: n / 10), gx.add_decayed_weights(lambda n: 0.1))
    state = tx.init(PARAMS)
    for _ in range(2):
        _, state = tx.update(PARAMS, state, PARAMS)
    same(at_step(tx, tx.init(PARAMS), 2), state)


def test_jump_under_jit_and_for_some_names():
    set_to = jax.jit(lambda state, n: at_step(SCHEDULED, state, n))
    assert int(set_to(SCHEDULED.init(PARAMS), 5)[1].count) == 5
    tx = gx.adamw(gx.linear_schedule(1.0, 0.0, 10))
    state = at_step(tx, tx.init(PARAMS), 5, where="scale_by_learning_rate/*")
    assert (int(state[0].count), int(state[2].count)) == (0, 5)
    with pytest.raises(ValueError, match="matches no path"):
        at_step(tx, state, 5, where="scale_by_adm/*")


def test_jump_sets_counts_that_differ():
    """Outside of an accumulation micro-steps are counted; micro-steps themselves stay."""
    tx = gx.chain(gx.add_noise(0.1, 0.5, key=1), gx.MultiSteps(gx.adam(0.1), 2))
    state = tx.init(PARAMS)
    for _ in range(3):
        _, state = tx.update(PARAMS, state, PARAMS)
    moved = export(tx, at_step(tx, state, 10))
    counts = ("add_noise/count", "MultiSteps/gradient_step", "scale_by_adam/count")
    assert [int(moved[name]) for name in counts] == [10, 10, 10]
    assert int(moved["MultiSteps/mini_step"]) == 1


def test_jump_leaves_counts_of_calls_unless_named():
    tx = gx.conditionally_mask(gx.adam(0.1), lambda count: count % 2 == 0)
    state = tx.init(PARAMS)
    for _ in range(3):
        _, state = tx.update(PARAMS, state, PARAMS)
    moved = at_step(tx, state, 10)
    assert (int(moved.step), int(moved.inner_state[0].count)) == (3, 10)
    named = at_step(tx, state, 10, where="conditionally_mask/step")
    assert (int(named.step), int(named.inner_state[0].count)) == (10, 2)
    with pytest.raises(ValueError, match="matches no path"):
        at_step(tx, state, 10, where="*/step")


def test_jump_after_skipped_steps():
    tx = gx.apply_if_finite(gx.with_ema(gx.adam(gx.linear_schedule(1.0, 0.0, 10)), 0.9), 3)
    state = tx.init(PARAMS)
    for g in (1.0, jnp.nan):
        _, state = tx.update(jax.tree.map(lambda p, g=g: p * 0 + g, PARAMS), state, PARAMS)
    moved = export(tx, at_step(tx, state, 5))
    assert {int(x) for name, x in moved.items() if name.endswith("/count")} == {5}
    assert int(moved["apply_if_finite/total_notfinite"]) == 1


def test_jump_where_nothing_counts_steps_changes_nothing():
    state = filled(gx.trace(0.9), PARAMS)
    same(at_step(gx.trace(0.9), state, 3), state)
    same(at_step(gx.sgd(0.1), gx.sgd(0.1).init(PARAMS), 3), gx.sgd(0.1).init(PARAMS))


def test_jump_refuses_what_has_no_answer():
    with pytest.raises(ValueError, match="nothing in the state counts an optimizer's steps"):
        at_step(gx.trace(0.9), gx.trace(0.9).init(PARAMS), 3, where="*/count")
    with pytest.raises(TypeError, match=r"must be an integer, but is 1\.5"):
        at_step(ADAM, ADAM.init(PARAMS), 1.5)
    with pytest.raises(ValueError, match="must be in"):
        at_step(ADAM, ADAM.init(PARAMS), -1)


def test_resize_keeps_what_fits():
    tx = gx.with_ema(ADAM, 0.9)
    old = filled(tx, PARAMS)
    wider = {"a": {"w": jnp.full((3, 4), 2.0), "b": jnp.full(4, 2.0)}, "d": jnp.ones(1)}
    state, report = resize(tx, old, PARAMS, wider)
    mu, average = state.inner_state[0].mu, state.average
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(wider))
    same(mu["a"]["w"][:, :2], old.inner_state[0].mu["a"]["w"])
    same(mu["a"]["w"][:, 2:], np.zeros((3, 2)))
    same(average["a"]["b"], jnp.concatenate([old.average["a"]["b"], jnp.full(2, 2.0)]))
    assert int(state.count) == 3
    assert report.grown["scale_by_adam/mu/a/w"] == ((3, 2), (3, 4))
    assert set(report.missing) == {
        f"{x}/d" for x in ("with_ema/average", "scale_by_adam/mu", "scale_by_adam/nu")
    }
    assert len(report.extra) == 3 and all(name.endswith("/c") for name in report.extra)
    tx.update(wider, state, wider)


def test_resize_to_the_same_is_the_identity_in_any_order():
    old = filled(ADAM, PARAMS)
    state, report = resize(ADAM, old, PARAMS, dict(reversed(PARAMS.items())))
    assert report.exact
    same(state, old)


def test_resize_starts_anew_what_shrank_and_what_has_other_axes():
    tx = gx.adafactor(0.1, 2)
    old = {"w": jnp.ones((4, 6)), "v": jnp.ones(5)}
    new = {"w": jnp.ones((8, 6)), "v": jnp.ones(3)}
    state, report = resize(tx, filled(tx, old), old, new)
    fresh = tx.init(new)
    same(state[0].v_row, fresh[0].v_row)  # the longest axis is another one now
    same(state[0].v, fresh[0].v)
    assert {"scale_by_factored_rms/v_row/w", "scale_by_factored_rms/v/v"} <= set(report.reshaped)


def test_resize_of_one_vector_goes_by_all_parameters():
    """Two parameters of exchanged shapes make a vector of the same length."""
    tx, old = gx.flatten(gx.trace(0.9)), {"a": jnp.ones(2), "b": jnp.ones(3)}
    _, report = resize(tx, filled(tx, old), old, {"a": jnp.ones(3), "b": jnp.ones(2)})
    assert list(report.reshaped) == ["trace/trace"]


def test_resize_refuses_other_old_parameters():
    with pytest.raises(ValueError, match="`old_params` has no such parameter"):
        resize(ADAM, filled(ADAM, PARAMS), {"x": jnp.ones(2)}, PARAMS)


@pytest.mark.parametrize("around", [gx.guard, gx.loss_scaling])
def test_calls_that_a_guard_counts_are_no_steps(around):
    """After a skipped step the others still agree on how many there were."""
    params = {"w": jnp.ones(2)}
    tx = around(gx.adam(0.1))
    state = tx.init(params)
    for g in (1.0, jnp.nan, 1.0):
        _, state = tx.step({"w": jnp.full(2, g)}, state, params)
    moved = at_step(tx, state, 7)
    assert (int(moved.count), int(moved.inner_state[0].count)) == (3, 7)
    scheduled = around(gx.adam(gx.cosine_decay_schedule(0.1, 100)))
    saved = export(tx, state)
    _, report = restore(scheduled, params, saved, missing="init", counts="saved")
    assert report.counted == {"scale_by_learning_rate/count": 2}


def test_resize_tells_swapped_parameters():
    wider = PARAMS | {"c": jnp.ones(5)}
    with pytest.raises(ValueError, match=r"mu/c has shape \(2,\).*\(5,\) in `old_params`.*swapped"):
        resize(ADAM, filled(ADAM, PARAMS), wider, PARAMS)
    with pytest.raises(ValueError, match="Are they those that the state was made for"):
        resize(ADAM, filled(ADAM, PARAMS), wider, wider)


def test_resize_starts_anew_what_has_another_number_of_axes():
    new = PARAMS | {"c": jnp.ones((2, 2))}
    state, report = resize(ADAM, filled(ADAM, PARAMS), PARAMS, new)
    same(state[0].mu["c"], np.zeros((2, 2)))
    assert report.reshaped["scale_by_adam/mu/c"] == ((2,), (2, 2))
