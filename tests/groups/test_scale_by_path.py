"""Multipliers by path."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"head": {"w": jnp.ones(2), "b": jnp.ones(2)}, "embed": jnp.ones(2), "none": None}


def test_the_first_rule_counts_and_others_stay():
    tx = gx.scale_by_path(("*/b", 0), ("head/*", 10.0))
    updates, state = tx.update(PARAMS, tx.init(PARAMS))
    np.testing.assert_array_equal(updates["head"]["b"], 0.0)
    np.testing.assert_array_equal(updates["head"]["w"], 10.0)
    np.testing.assert_array_equal(updates["embed"], 1.0)
    assert state == gx.EmptyState()
    assert gx.from_config(json.loads(json.dumps(gx.to_config(tx)))) == tx
    assert repr(tx) == "scale_by_path(('*/b', 0), ('head/*', 10.0))"


def test_inside_of_groups_a_rule_may_be_for_leaves_elsewhere():
    multiplied = gx.chain(gx.sgd(1.0), gx.scale_by_path(("embed", 2.0), ("head/*", 3.0)))
    tx = gx.groups(("embed", multiplied), ("*", multiplied))
    params, _ = tx.step(PARAMS, tx.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(params["embed"], -1.0)
    np.testing.assert_array_equal(params["head"]["w"], -2.0)


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ((), ValueError, "at least one rule is needed"),
        ((("*",),), TypeError, r"a rule must be \(pattern, number\)"),
        ((("*", lambda t: 1.0),), TypeError, "must be a number that is known, but is function"),
        ((("*", jnp.inf),), ValueError, "must be finite, but is inf"),
        (((3, 1.0),), TypeError, "a pattern must be a string"),
        ((("heed/*", 1.0),), ValueError, r"matches no path. Did you mean 'head/\*'"),
        ((("head/*", 1.0), ("*/b", 2.0)), ValueError, "those that it matches, 'head/b', have"),
    ],
)
def test_mistakes(rules, error, message):
    with pytest.raises(error, match=message):
        gx.scale_by_path(*rules).init(PARAMS)


def test_rules_that_are_all_for_other_groups_raise():
    inside = gx.chain(gx.sgd(1.0), gx.scale_by_path(("head/*", 3.0), ("*/b", 2.0)))
    tx = gx.groups(("embed", inside), ("*", gx.sgd(1.0)))
    with pytest.raises(ValueError, match=r"none of its rules matches .* here: 'head/b', 'head/w'"):
        tx.init(PARAMS)
    gx.groups(("*", gx.sgd(1.0)), ("rest", "*", inside)).init(PARAMS)  # without any leaf
