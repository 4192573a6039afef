"""Groups by path: who gets which rule, what is frozen, what it costs, what a mistake is told."""

import collections
import json
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

import gradtx as gx
from tests.core.test_paths import PARAMS as MIXED
from tests.sharding import runs
from tests.sharding.test_sharded import run_like_one_device, shard_map_like_one_device

PARAMS = {
    "embed": jnp.full((3, 2), 1.0),
    "head": {"w": jnp.full((2, 2), 3.0), "b": jnp.full(2, 4.0)},
}
GRADIENTS = jax.tree.map(lambda p: p / 2, PARAMS)
RULES = (("embed", None), ("*/b", gx.sgd(0.1, 0.9)), ("rest", "*", gx.adamw(0.1)))


def run(tx, steps=2, params=PARAMS):
    """Return the parameters after some steps by update, and by step, and the state."""
    stepped, state = params, tx.init(params)
    other = state
    for t in range(steps):
        gradients = jax.tree.map(lambda p, t=t: p * (0.5 + t), PARAMS)
        updates, state = tx.update(gradients, state, params)
        params = gx.apply_updates(params, updates)
        stepped, other = tx.step(gradients, other, stepped)
    equal(state, other)
    return params, stepped, state


def equal(a, b):
    """Assert that two trees have the same values."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_each_group_is_its_optimizer_on_its_leaves():
    params, stepped, state = run(gx.groups(*RULES))
    equal(params, stepped)
    equal(params["embed"], PARAMS["embed"])
    for name, group, alone in (("w", "rest", RULES[2][2]), ("b", "*/b", RULES[1][1])):
        expected, inner = PARAMS["head"][name], alone.init(PARAMS["head"][name])
        for t in range(2):
            gradient = PARAMS["head"][name] * (0.5 + t)
            expected, inner = alone.step(gradient, inner, expected)
        np.testing.assert_array_equal(params["head"][name], expected)
        equal(jax.tree.leaves(state[group]), jax.tree.leaves(inner))


def test_the_state_has_plain_trees_by_name_and_nothing_for_what_is_frozen():
    state = gx.groups(*RULES).init(PARAMS)
    assert list(state) == ["*/b", "rest"]
    mu = state["rest"][0].mu
    assert mu["embed"] is None
    assert mu["head"]["b"] is None
    assert mu["head"]["w"].shape == (2, 2)
    assert sum(x.size for x in jax.tree.leaves(state)) == 2 + 2 * 4 + 1


def test_a_frozen_parameter_is_the_same_buffer_and_its_update_zero():
    tx = gx.groups(*RULES)
    updates, state = tx.update(GRADIENTS, tx.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(updates["embed"], jnp.zeros((3, 2)))
    params, _ = tx.step(GRADIENTS, state, PARAMS)
    assert params["embed"] is PARAMS["embed"]
    chained = gx.chain(gx.scale(2.0), gx.trainable(gx.sgd(0.1), "head/*"))
    params, _ = chained.step(GRADIENTS, chained.init(PARAMS), PARAMS)
    assert params["embed"] is PARAMS["embed"]


def test_a_frozen_parameter_is_the_same_buffer_under_jit():
    """With donation nothing is copied; without it `jit` copies whatever goes in and comes out."""
    tx, params = gx.groups(*RULES), jax.tree.map(jnp.copy, PARAMS)
    state, buffer = tx.init(params), params["embed"].unsafe_buffer_pointer()
    step = jax.jit(tx.step, donate_argnums=(1, 2))
    text = step.lower(GRADIENTS, state, params).compile().as_text()
    assert re.findall(r"= f32\[3,2\]\S* ([a-z]+)", text) == ["parameter"]
    params, _ = step(GRADIENTS, state, params)
    assert params["embed"].unsafe_buffer_pointer() == buffer


def test_trainable_has_the_state_of_what_is_inside():
    tx = gx.trainable(gx.adam(0.1), "head/*")
    params, stepped, state = run(tx)
    equal(params, stepped)
    alone = gx.adam(0.1)
    expected, inner = PARAMS["head"], alone.init(PARAMS["head"])
    for t in range(2):
        gradients = jax.tree.map(lambda p, t=t: p * (0.5 + t), PARAMS["head"])
        expected, inner = alone.step(gradients, inner, expected)
    equal(params["head"], expected)
    equal(jax.tree.leaves(state), jax.tree.leaves(inner))
    assert type(state) is type(alone.init(PARAMS))


def test_every_kind_of_tree_and_of_pattern():
    tx = gx.groups(
        ("functions", lambda path, leaf: leaf.shape == (5, 2), None),
        (re.compile("norm"), gx.sgd(0.1)),
        (("pair/*", "dense/bias"), gx.sgd(0.2)),
        ("*", gx.sgd(0.3)),
    )
    ones = jax.tree.map(lambda p: jnp.ones_like(p) if gx_trains(p) else None, MIXED)
    params, _ = tx.step(ones, tx.init(MIXED), MIXED)
    moved = jax.tree.map(lambda p, q: p - q if gx_trains(p) else 0, MIXED, params)
    assert not np.any(moved["embed"])
    np.testing.assert_allclose(moved["blocks"][11]["norm"]["scale"], 0.1, rtol=1e-6)
    np.testing.assert_allclose(moved["dense"].bias, 0.2, rtol=1e-6)
    np.testing.assert_allclose(moved["module"].weight, 0.3, rtol=1e-6)
    assert params["module"].activation is jnp.tanh
    assert params["steps"] is MIXED["steps"]
    assert params["pair"].right is None


def gx_trains(leaf):
    """Return whether a leaf is an array of real numbers."""
    return jnp.issubdtype(getattr(leaf, "dtype", int), jnp.inexact)


def test_gradients_may_be_none_where_a_group_is_frozen():
    tx = gx.groups(*RULES)
    gradients = GRADIENTS | {"embed": None}
    updates, _ = tx.update(gradients, tx.init(PARAMS), PARAMS)
    assert updates["embed"] is None


def test_groups_inside_groups_and_trainable():
    inner = gx.groups(("*/w", gx.scale(2.0)), ("*", gx.scale(3.0)))
    tx = gx.chain(gx.groups(("head/*", inner), ("*", gx.trainable(gx.scale(5.0), "embed"))))
    params, stepped, state = run(tx, 1)
    equal(params, stepped)
    np.testing.assert_array_equal(params["head"]["w"], 3 + 2 * 1.5)
    np.testing.assert_array_equal(params["head"]["b"], 4 + 3 * 2.0)
    np.testing.assert_array_equal(params["embed"], 1 + 5 * 0.5)
    assert list(state[0]["head/*"]) == ["*/w", "*"]


def test_points_and_steps_not_taken():
    ahead = gx.groups(("embed", gx.nesterov_lookahead(0.1, 0.9)), ("*", gx.sgd(0.1)))
    state = ahead.init(PARAMS)
    params, state = ahead.step(GRADIENTS, state, PARAMS)
    point = ahead.grad_params(state, params)
    assert not np.array_equal(point["embed"], params["embed"])
    equal(point["head"], params["head"])
    guarded = gx.groups(("embed", gx.apply_if_finite(gx.sgd(0.1), 3)), ("*", gx.sgd(0.1)))
    bad = GRADIENTS | {"embed": GRADIENTS["embed"] * jnp.nan}
    params, _ = guarded.step(bad, guarded.init(PARAMS), PARAMS)
    equal(params["embed"], PARAMS["embed"])
    assert np.all(params["head"]["w"] < PARAMS["head"]["w"])


def costs(step, *arguments):
    """Return flops, bytes, temporaries and operations of a compiled step."""
    compiled = jax.jit(step).lower(*arguments).compile()
    cost = compiled.cost_analysis()
    operations = collections.Counter(re.findall(r"= \S+ ([a-z\-]+)\(", compiled.as_text()))
    temporaries = compiled.memory_analysis().temp_size_in_bytes
    return cost["flops"], cost["bytes accessed"], temporaries, operations


def test_groups_cost_what_a_partition_by_hand_costs():
    """Two transformations applied to two subtrees by hand compile to the same operations."""
    params = {f"layer{i}": {"w": jnp.ones((32, 32)), "b": jnp.ones(32)} for i in range(3)}
    biases, weights = gx.sgd(0.1, 0.9), gx.adamw(1e-3)
    tx = gx.groups(("*/b", biases), ("*", weights))

    def parts(tree):
        return [{k: v[name] for k, v in tree.items()} for name in "bw"]

    def by_hand(gradients, states, params):
        rows = zip((biases, weights), parts(gradients), states, parts(params), strict=True)
        (b, b_state), (w, w_state) = (alone.step(*row) for alone, *row in rows)
        return {k: {"b": b[k], "w": w[k]} for k in params}, (b_state, w_state)

    states = tuple(a.init(p) for a, p in zip((biases, weights), parts(params), strict=True))
    assert costs(tx.step, params, tx.init(params), params) == costs(by_hand, params, states, params)


def test_a_norm_over_all_groups_is_taken_once():
    """The compiler merges the norms of the groups: what remains are a few scalars."""
    params = {f"layer{i}": {"w": jnp.ones((32, 32)), "b": jnp.ones(32)} for i in range(2)}
    clip, inside = gx.clip_by_global_norm(1.0), (gx.sgd(0.1, 0.9), gx.sgd(0.2))
    before = gx.chain(clip, gx.groups(("*/b", inside[0]), ("*", inside[1])))
    within = gx.groups(("*/b", gx.chain(clip, inside[0])), ("*", gx.chain(clip, inside[1])))
    one = costs(before.step, params, before.init(params), params)
    two = costs(within.step, params, within.init(params), params)
    assert two[0] - one[0] < 32
    assert two[1] - one[1] < 512


def test_it_is_a_value_and_prints():
    tx = gx.groups(*RULES)
    assert tx == gx.groups(*RULES)
    assert tx != gx.groups(*RULES[1:])
    assert hash(tx) == hash(gx.groups(*RULES))
    assert pickle.loads(pickle.dumps(tx)) == tx
    with_expression = gx.groups((re.compile("b$"), None), ("*", gx.sgd(0.1)))
    for value in (tx, with_expression, gx.trainable(gx.sgd(0.1), "head/*")):
        assert gx.from_config(json.loads(json.dumps(gx.to_config(value)))) == value
    assert str(with_expression) == (
        "groups\n├── b$: frozen\n└── *: sgd(learning_rate=0.1)\n    ├── identity()\n"
        "    └── scale_by_learning_rate(learning_rate=0.1)"
    )
    assert "└── rest ('*'): adamw" in str(tx)


NAMES = "'embed', 'head/b', 'head/w'"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: gx.groups(("*/bais", None), ("*", gx.sgd(0.1))),
            ValueError,
            rf"groups: the pattern '\*/bais' matches no path\. The paths are {NAMES}\.",
        ),
        (
            lambda: gx.groups(("head", None), ("*", gx.sgd(0.1))),
            ValueError,
            r"Did you mean 'head/\*'\?",
        ),
        (
            lambda: gx.groups(("*", None), ("*/b", gx.sgd(0.1))),
            ValueError,
            r"the rule '\*/b' has no parameter: those that it matches, 'head/b', have earlier one",
        ),
        (
            lambda: gx.groups((lambda path, leaf: False, None), ("*", gx.sgd(0.1))),
            ValueError,
            rf"matches nothing that is trained here. What is trained are {NAMES}",
        ),
        (
            lambda: gx.groups(("head/*", gx.sgd(0.1))),
            ValueError,
            r"groups: no rule matches 'embed'. Add a last rule \(\"\*\", transformation\)",
        ),
        (lambda: gx.trainable(gx.sgd(0.1), "lora/*"), ValueError, "trainable: the pattern 'lora/"),
        (lambda: gx.trainable(gx.sgd(0.1), 3), TypeError, "trainable: a pattern must be a string"),
        (lambda: gx.trainable(gx.sgd, "*"), TypeError, "Was a constructor not called"),
        (lambda: gx.groups(), ValueError, "at least one rule is needed"),
        (lambda: gx.groups(gx.sgd(0.1)), TypeError, "a rule must be"),
        (lambda: gx.groups(("*",)), TypeError, "a rule must be"),
        (lambda: gx.groups(("*", gx.sgd)), TypeError, "Was a constructor not called"),
        (lambda: gx.groups((3, gx.sgd(0.1))), TypeError, "groups: a pattern must be a string"),
        (lambda: gx.groups((1, "*", gx.sgd(0.1))), TypeError, "the name of a rule must be a str"),
        (
            lambda: gx.groups(("a", "head/*", None), ("a", "*", None)),
            ValueError,
            "two rules have the name 'a'. Give names",
        ),
    ],
)
def test_mistakes(make, error, message):
    with pytest.raises(error, match=message):
        make().init(PARAMS)


def test_a_last_rule_for_the_rest_may_have_nothing():
    tx = gx.groups(("embed|head/*", gx.sgd(0.1)), ("*", gx.adam(0.1)))
    params, stepped, _ = run(tx)
    equal(params, stepped)
    everything_rests = gx.groups(("*", None))
    assert everything_rests.init(PARAMS) == {}
    params, _ = everything_rests.step(GRADIENTS, {}, PARAMS)
    assert params["head"]["w"] is PARAMS["head"]["w"]


def test_a_state_of_other_groups_is_refused():
    tx = gx.groups(*RULES)
    with pytest.raises(ValueError, match=r"must be a dict with the names .* \['\*/b', 'rest'\]"):
        tx.update(GRADIENTS, {"rest": ()}, PARAMS)
    with pytest.raises(ValueError, match="but is tuple"):
        tx.update(GRADIENTS, (), PARAMS)


@gx.register
def has_two_axes(path, leaf):
    """Return whether a leaf is a matrix."""
    return len(leaf.shape) == 2


@pytest.mark.slow
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_on_many_devices(axis_type, monkeypatch):
    """State and steps are spread as those of the optimizers inside, and norms are over all."""
    clip = gx.clip_by_global_norm(1.0)
    rules = (has_two_axes, gx.chain(clip, gx.adamw(0.1))), ("odd", None)
    last = ("*", gx.chain(clip, gx.sgd(0.1, 0.9)))
    monkeypatch.setitem(runs.OPTIMIZERS, "groups", lambda: gx.groups(*rules, last))
    for mode in ("tensor and zero 2 x 4", "tensor and fsdp 2 x 4"):
        run_like_one_device("groups", runs.MODES[mode], axis_type, "float32", 3)
    shard_map_like_one_device("groups", runs.MODES[mode], "float32", 3)


@pytest.mark.parametrize(
    "around",
    [
        lambda tx: gx.accumulate(tx, 2),
        lambda tx: gx.MultiSteps(tx, 2),
        lambda tx: gx.loss_scaling(tx),
        lambda tx: gx.guard(tx, "zero_leaf"),
        lambda tx: gx.chain(gx.trace(0.9), tx),
    ],
    ids=["accumulate", "MultiSteps", "loss_scaling", "zero_leaf", "chain"],
)
def test_clip_over_all_groups_that_does_not_come_first(around):
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    tx = gx.groups(("a", around(gx.clip_by_global_norm(1.0))), ("b", gx.sgd(0.1)))
    for given in (params, jax.eval_shape(lambda: params)):
        with pytest.raises(ValueError, match=r"^clip_by_global_norm: in the group 'a' its number"):
            tx.init(given)
    gx.groups(("a", around(gx.clip_by_global_norm(1.0, scope="group"))), ("b", None)).init(params)
    gx.groups(("a", around(gx.clip_by_global_norm(1.0))), ("b", None)).init(params)
    gx.partition({"a": around(gx.clip_by_global_norm(1.0))}, "a").init(params)


@pytest.mark.parametrize(
    "inside",
    [
        gx.adamw(0.1, weight_decay=gx.decay(0.5, where="head/*")),
        gx.adamw(0.1, mask=gx.matching(re.compile("^head/"))),
        gx.masked(gx.sgd(0.1), gx.matching("head/w")),
    ],
)
@pytest.mark.parametrize("wrap", [lambda *rules: gx.groups(*rules), lambda rule, _: rule[1]])
def test_a_mask_for_leaves_of_other_groups_alone_raises(inside, wrap):
    params = {"embed": jnp.ones(2), "head": {"w": jnp.ones(2), "b": jnp.ones(2)}, "count": 3}
    tx = wrap(("embed", inside), ("head/*", gx.sgd(0.1)))
    if tx is inside:
        tx.init(params)
        tx = gx.trainable(inside, "embed")
    with pytest.raises(ValueError, match=r"nothing that is trained here: .*'head/w' belong to oth"):
        tx.init(params)


def test_masks_that_are_no_mistake_in_a_group():
    params = {"embed": jnp.ones(2), "head": {"w": jnp.ones(2), "b": jnp.ones(2)}, "count": 3}
    for mask in (
        gx.excluding("head/*"),
        gx.matching(("head/*", "embed")),
        gx.matching(lambda path, leaf: path.startswith("head")),
    ):
        gx.groups(("embed", gx.adamw(0.1, mask=mask)), ("head/*", gx.sgd(0.1))).init(params)
