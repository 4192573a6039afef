"""A number over all groups from inside one of them: whose gradients it is over, and when not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core.body import run
from gradtx._core.flow import Flow

GRADIENTS = {"a": jnp.array([3.0]), "b": jnp.array([4.0]), "c": jnp.array([12.0])}
LABELS = {"a": "a", "b": "b", "c": "c"}


def clip(scope=None):
    """Return clipping to norm 1."""
    return gx.clip_by_global_norm(1.0, scope=scope)


def updates_of(tx):
    """Return the updates of the first step as numbers by name; by `step` they are the same."""
    state = tx.init(GRADIENTS)
    updates, _ = tx.update(GRADIENTS, state, GRADIENTS)
    stepped, _ = tx.step(GRADIENTS, state, GRADIENTS)
    for name, u in updates.items():
        np.testing.assert_allclose(stepped[name], GRADIENTS[name] + u, rtol=1e-6)
    return {name: float(u[0]) for name, u in updates.items()}


def check(tx, a, b, c):
    """Assert the norms by which the gradients of a, b and c were divided; 0 where one is frozen."""
    updates = updates_of(tx)
    for name, norm in (("a", a), ("b", b), ("c", c)):
        expected = float(GRADIENTS[name][0]) / norm if norm else 0.0
        np.testing.assert_allclose(updates[name], expected, rtol=1e-6)


def test_in_groups_it_is_over_all_trained_groups():
    check(gx.groups(("a", clip()), ("*", clip())), 13, 13, 13)
    check(gx.groups(("a", clip()), ("b", gx.identity()), ("c", None)), 5, 1, 0)
    check(gx.groups(("a", clip("group")), ("*", clip())), 3, 13, 13)
    check(gx.groups(("a|b", gx.chain(clip(), gx.scale(1.0))), ("*", gx.scale(1.0))), 13, 13, 1)


def test_in_partition_and_masked_it_is_over_the_group():
    check(gx.partition(dict.fromkeys("abc", clip()), LABELS), 3, 4, 12)
    check(gx.partition(dict.fromkeys("abc", clip("all")), LABELS), 13, 13, 13)
    check(gx.masked(clip(), {"a": True, "b": True, "c": False}), 5, 5, 1)
    check(gx.masked(clip("all"), {"a": True, "b": True, "c": False}), 13, 13, 1)


def test_trainable_leaves_out_what_is_frozen():
    check(gx.trainable(clip(), "a|b"), 5, 5, 0)
    check(gx.trainable(gx.chain(gx.scale(1.0), clip()), "a|b"), 5, 5, 0)
    expected = np.hypot(3, 12)
    for inside in (gx.trainable(clip(), "a"), gx.chain(gx.groups(("a", clip()), ("b", None)))):
        check(gx.groups(("a|b", inside), ("c", clip())), expected, 0, expected)


def test_what_counts_is_whose_gradient_is_taken_not_which_parameter_rests():
    behind = gx.chain(gx.trainable(gx.identity(), "a"), gx.add_decayed_weights(0.0))
    norm = np.hypot(3, 12)
    check(gx.groups(("a|b", behind), ("c", clip())), 1, 0, norm)
    check(gx.groups(("a", gx.set_to_zero()), ("*", clip())), 0, 13, 13)


def test_nested():
    pairs = gx.groups(("a", clip()), ("b", clip()))
    check(gx.groups(("a|b", pairs), ("c", clip())), 13, 13, 13)
    check(gx.groups(("a|b", gx.chain(pairs, gx.scale(1.0))), ("c", None)), 5, 5, 0)
    check(gx.masked(pairs, {"a": True, "b": True, "c": False}), 5, 5, 1)
    everywhere = gx.groups(("a", clip("all")), ("b", clip()))
    check(gx.masked(everywhere, {"a": True, "b": True, "c": False}), 13, 5, 1)
    inner = gx.partition({"a": clip(), "b": clip("all")}, {"a": "a", "b": "b", "c": "a"})
    check(gx.groups(("a|b", inner), ("c", clip())), 3, 13, 13)
    check(gx.trainable(gx.chain(gx.scale(2.0), gx.scale(0.5), pairs), "a|b"), 5, 5, 0)


@pytest.mark.parametrize(
    "inside",
    [
        lambda tx: gx.apply_if_finite(tx, 3),
        lambda tx: gx.conditionally_transform(tx, lambda count: count < 5),
        gx.flatten,
        gx.split_real_and_imaginary,
        lambda tx: gx.parallel(tx, gx.set_to_zero(), merge=gx.add),
        lambda tx: gx.chain(gx.chain(tx), gx.scale(1.0)),
        lambda tx: gx.named_chain(("clip", tx)),
    ],
)
def test_inside_of_wrappers_in_a_group(inside):
    check(gx.groups(("a|b", inside(clip())), ("c", clip())), 13, 13, 13)


def test_groups_inside_of_wrappers():
    tx = gx.groups(("a", clip()), ("*", clip()))
    check(gx.apply_if_finite(tx, 3), 13, 13, 13)
    check(gx.chain(gx.accumulate(tx, 1)), 13, 13, 13)
    doubled = gx.chain(gx.scale(2.0), tx)
    check(doubled, 13, 13, 13)


def test_compiled_and_over_many_steps():
    tx = gx.groups(("a", clip()), ("b", gx.apply_if_finite(clip(), 3)), ("c", clip("group")))

    @jax.jit
    def three(params, state):
        def step(carry, _):
            return tx.step(GRADIENTS, carry[1], carry[0]), None

        return jax.lax.scan(step, (params, state), None, length=3)[0][0]

    after = three(GRADIENTS, tx.init(GRADIENTS))
    for name, norm in (("a", 13), ("b", 13), ("c", 12)):
        np.testing.assert_allclose(after[name], GRADIENTS[name] * (1 + 3 / norm), rtol=1e-6)


def test_complex_and_narrow_gradients():
    gradients = {"a": jnp.array([3.0 + 4.0j]), "b": jnp.array([12.0], jnp.float16)}
    for tx in (clip(), gx.split_real_and_imaginary(clip())):
        grouped = gx.groups(("a", tx), ("*", clip()))
        updates, _ = grouped.update(gradients, grouped.init(gradients), gradients)
        np.testing.assert_allclose(updates["a"], (3 + 4j) / 13, rtol=1e-6)
        np.testing.assert_allclose(updates["b"], 12 / 13, rtol=1e-3)
        assert updates["b"].dtype == jnp.float16


@pytest.mark.parametrize(
    "chained",
    [
        lambda: gx.chain(gx.scale(2.0), clip()),
        lambda: gx.chain(gx.normalize_by_update_norm(), clip()),
        lambda: gx.flatten(gx.chain(gx.scale(2.0), clip())),
        lambda: gx.split_real_and_imaginary(gx.chain(gx.scale(2.0), clip())),
        lambda: gx.chain(gx.flatten(gx.scale(2.0)), clip()),
        lambda: gx.accumulate(clip(), 2),
        lambda: gx.apply_if_finite(gx.chain(gx.scale(2.0), clip()), 3),
        lambda: gx.chain(gx.scale(2.0), gx.trainable(clip(), "a")),
    ],
)
def test_after_something_else_in_its_group_it_cannot_be_over_all(chained):
    message = r"in the group 'a\|b' its number is one over all groups, so it must come first"
    tx = gx.groups(("a|b", chained()), ("c", gx.identity()))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tx.update, GRADIENTS, tx.init(GRADIENTS), GRADIENTS)


def test_after_something_else_it_may_be_over_the_group():
    tx = gx.groups(("a|b", gx.chain(gx.scale(2.0), clip("group"))), ("c", gx.identity()))
    check(tx, 5, 5, 1)
    changed = gx.chain(gx.masked(gx.scale(2.0), {"a": True, "b": False, "c": False}), clip())
    tx = gx.groups(("a", changed), ("*", gx.identity()))
    with pytest.raises(ValueError, match="must come first there"):
        tx.update(GRADIENTS, tx.init(GRADIENTS))


def test_a_change_between_nested_groups_is_seen():
    """The inner neighbour was changed by the outer group, the leaf itself was not."""
    inner = gx.groups(("a", clip()), ("b", clip()))
    changed = gx.masked(gx.scale(2.0), {"a": False, "b": True, "c": False})
    tx = gx.groups(("a|b", gx.chain(changed, inner)), ("c", clip()))
    with pytest.raises(ValueError, match=r"in the group 'a\|b/a' its number is one over all"):
        tx.update(GRADIENTS, tx.init(GRADIENTS))
    tx = gx.groups(("a|b", gx.chain(changed, inner)), ("c", None))
    assert updates_of(tx)["c"] == 0


def test_scope():
    with pytest.raises(ValueError, match=r"`scope` must be \"all\", \"group\" or None, but is 'al"):
        gx.clip_by_global_norm(1.0, scope="al")
    assert clip("all") != clip()
    for scope in (None, "all", "group"):
        check(clip(scope), 13, 13, 13)
        check(gx.accumulate(clip(scope), 1), 13, 13, 13)


def test_each_group_says_its_own_factor():
    tx = gx.groups(("a", clip()), ("rest", "*", gx.trainable(clip("group"), "b")))
    flow = Flow("test", GRADIENTS, GRADIENTS, {})
    flow.reports = []
    run(tx.update.body, flow, tx.init(GRADIENTS))
    assert [(x.name, x.group) for x in flow.reports] == [
        ("clip_scale", ("a",)),
        ("clip_scale", ("rest",)),
    ]
    np.testing.assert_allclose([x.value for x in flow.reports], [1 / 5, 1 / 4], rtol=1e-6)


@pytest.mark.parametrize(
    "around",
    [
        gx.guard,
        gx.tunable,
        lambda tx: gx.with_ema(tx, 0.9),
        lambda tx: gx.with_metrics(tx, "grad_norm"),
    ],
)
def test_what_is_frozen_inside_a_wrapper_counts_for_nobody(around):
    """Of two clips over all groups, both go by the same norm."""
    frozen_b = gx.groups(("b", None), ("*", clip()))
    check(gx.groups(("a|b", around(frozen_b)), ("*", clip())), np.hypot(3, 12), 0, np.hypot(3, 12))
