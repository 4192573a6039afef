"""A body that is run or not: what is said and measured in the branch comes out of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core.choice import update_if
from gradtx._core.flow import Flow

GRADIENTS = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}


def said_if(wanted):
    """Return (names and groups, values, whether they are of this step) of what a body said."""
    tx = gx.groups(("a", gx.clip_by_global_norm(1.0)), ("*", gx.sgd(0.5)))
    names = []

    def said(wanted):
        flow = Flow("test", GRADIENTS, GRADIENTS, {})
        flow.reports = []
        update_if(wanted, tx.update.body, flow, tx.init(GRADIENTS), otherwise="zero")
        names[:] = [(x.name, x.group) for x in flow.reports]
        return [x.value for x in flow.reports], [x.when for x in flow.reports]

    numbers = jax.jit(said)(wanted) if isinstance(wanted, jax.Array) else said(wanted)
    return names, *(np.asarray(x) for x in numbers)


@pytest.mark.parametrize("wanted", [True, False, jnp.array(True), jnp.array(False)])
def test_what_a_body_says_is_told_whether_it_runs_or_not(wanted):
    names, values, when = said_if(wanted)
    assert names == [("clip_scale", ("a",)), ("learning_rate", ("*",))]
    np.testing.assert_array_equal(when, [bool(wanted)] * 2)
    if wanted:
        np.testing.assert_allclose(values, [0.2, 0.5], rtol=1e-6)


def test_of_many_numbers_with_one_name_each_keeps_its_place():
    """Names sort "#10" before "#2": what comes out of a branch must not go by that."""
    clips = gx.chain(*(gx.clip_by_global_norm(1 / i) for i in range(1, 13)))
    tx = gx.with_metrics(gx.with_metrics(gx.guard(clips), "clip_scale"), "clip_scale")
    _, state = tx.update(GRADIENTS, tx.init(GRADIENTS))
    for i in range(2, 13):
        np.testing.assert_allclose(state.values[f"clip_scale#{i}"], (i - 1) / i, rtol=1e-6)


@pytest.mark.parametrize("compiled", [True, False])
def test_parameters_have_their_sizes_where_they_rest(compiled):
    tx = gx.groups(("a", gx.guard(gx.sgd(0.5))), ("*", gx.sgd(0.5)))
    tx = gx.with_metrics(tx, "update_norm", "param_norm")
    update = jax.jit(tx.update) if compiled else tx.update
    broken = {"a": jnp.array([jnp.nan]), "b": jnp.array([4.0])}
    for gradients, moved in ((GRADIENTS, 2.5), (broken, 2.0)):
        _, state = update(gradients, tx.init(GRADIENTS), GRADIENTS)
        numbers = gx.metrics(state)
        np.testing.assert_allclose(numbers["param_norm"], 5.0, rtol=1e-6)
        np.testing.assert_allclose(numbers["update_norm"], moved, rtol=1e-6)
