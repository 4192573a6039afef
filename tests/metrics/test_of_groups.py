"""Metrics of groups: their names, their parts, groups that sit a step out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from tests.metrics.test_metrics import GRADS, PARAMS, floats, size


def test_two_groups_of_one_name():
    params = {"x": {"y": jnp.ones(1), "z": jnp.ones(1)}, "w": jnp.ones(1)}
    sgd = gx.sgd(0.1)
    inside = gx.groups(("y", "*/y", sgd), ("z", "*", sgd))
    tx = gx.groups(("x", "x/*", inside), ("x/y", "*", sgd))
    with pytest.raises(ValueError, match=r"numbers of 'x/y': \['x', 'y'\] and \['x/y'\]"):
        gx.with_metrics(tx, "grad_norm", per_group=True).init(params)
    gx.with_metrics(tx, "grad_norm").init(params)
    twice = gx.partition({1: sgd, "1": sgd}, {"x": 1, "w": "1"})
    with pytest.raises(ValueError, match=r"numbers of '1'"):
        gx.with_metrics(twice, "grad_norm", per_group=True).init(params)


@pytest.mark.parametrize("name", ["update", "step"])
@pytest.mark.parametrize("wrap", [jax.jit, lambda f: f])
def test_parameters_of_a_group_that_sits_out_still_have_their_size(name, wrap):
    """One group's step is skipped, the other's is taken: the norm is over both."""
    inner = gx.groups(("w", gx.guard(gx.adam(0.1))), ("b", gx.sgd(0.5)))
    tx = gx.with_metrics(inner, "param_norm", "update_ratio", "skipped_steps", per_group=True)
    grads = GRADS | {"w": GRADS["w"].at[0, 0].set(jnp.nan)}
    _, state = wrap(getattr(tx, name))(grads, tx.init(PARAMS), PARAMS)
    now = floats(state)
    np.testing.assert_allclose(now["param_norm"], size(PARAMS), rtol=1e-6)
    np.testing.assert_allclose(now["param_norm/w"], size(PARAMS["w"]), rtol=1e-6)
    np.testing.assert_allclose(now["update_ratio"], 6 / size(PARAMS), rtol=1e-6)
    assert now["update_ratio/w"] == 0
    assert now["skipped_steps"] == 0


def test_a_group_has_the_numbers_of_those_inside_it():
    inside = gx.groups(("b", "*/b", gx.sgd(0.5)), ("w", "*", gx.adam(0.1)))
    params = {"x": PARAMS, "y": jnp.array([1.0])}
    grads = {"x": GRADS, "y": jnp.array([84.0])}
    for name in ("y", "x/z"):  # the second only looks like that of a group inside the first
        tx = gx.groups(("x", "x/*", inside), (name, "*", gx.sgd(1.0)))
        tx = gx.with_metrics(tx, "grad_norm", "update_norm", per_group=True)
        _, state = tx.update(grads, tx.init(params), params)
        now = floats(state)
        assert (now["grad_norm/x"], now["grad_norm/x/b"]) == (13, 12)
        assert (now["grad_norm/x/w"], now[f"grad_norm/{name}"]) == (5, 84)
        np.testing.assert_allclose(now["update_norm/x"], np.hypot(6, 0.1 * np.sqrt(2)), rtol=1e-5)
