"""Branches of the same gradient, merged: fused where all of them are leafwise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core.stage import FusedStage

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3) - 2, "b": jnp.array([0.5, 0.0, -3.0])}


def run(tx, steps=3, grads=PARAMS):
    """Return the updates and state after some steps."""
    state = tx.init(PARAMS)
    for t in range(steps):
        g = jax.tree.map(lambda x, t=t: x * (t + 1), grads)
        updates, state = tx.update(g, state, PARAMS)
    return updates, state


def test_momentum_over_rms_is_adam():
    parts = gx.parallel(gx.ema(0.9), gx.root_mean_square(0.999), merge=gx.divide)
    got, want = run(parts)[0], run(gx.scale_by_adam(eps=1e-8))[0]
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_leafwise_branches_fuse_with_the_chain():
    inner = gx.parallel(gx.trace(0.9), gx.chain(gx.scale(2.0), gx.trace(0.5)), merge=gx.add)
    tx = gx.chain(gx.scale(0.5), inner, gx.scale(3.0))
    (stage,) = tx.update.body.plan.stages
    assert isinstance(stage, FusedStage)
    assert len(stage.segments) == 1
    updates, state = run(tx, steps=1)
    np.testing.assert_allclose(updates["w"], 3 * (0.5 + 1.0) * PARAMS["w"])
    assert [type(s).__name__ for s in state] == ["EmptyState", "tuple", "EmptyState"]
    assert [type(s).__name__ for s in state[1]] == ["TraceState", "tuple"]


def test_whole_tree_branch():
    tx = gx.chain(
        gx.scale(2.0),
        gx.parallel(gx.clip_by_global_norm(1.0), gx.scale(10.0), merge=gx.add),
        gx.scale(0.5),
    )
    assert len(tx.update.body.plan.stages) == 3
    updates, _ = run(tx, steps=1)
    norm = 2 * np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(PARAMS)))
    want = 0.5 * (2 / norm + 20) * PARAMS["w"]
    np.testing.assert_allclose(updates["w"], want, rtol=1e-6)


def test_branches_within_branches():
    inner = gx.parallel(gx.scale(2.0), gx.scale(3.0), merge=gx.multiply)
    tx = gx.parallel(inner, gx.identity(), gx.parallel(gx.scale(5.0), merge=gx.add), merge=gx.add)
    updates, state = run(tx, steps=1)
    np.testing.assert_allclose(updates["w"], 6 * PARAMS["w"] ** 2 + 6 * PARAMS["w"])
    assert len(state) == 3
    assert len(state[0]) == 2


@pytest.mark.parametrize("whole_tree", [False, True])
def test_leaves_that_are_no_arrays_pass(whole_tree):
    first = gx.clip_by_global_norm(1e9) if whole_tree else gx.scale(1.0)
    tx = gx.parallel(first, gx.scale(1.0), merge=gx.add)
    params = {"w": jnp.ones(2), "none": None, "i": jnp.arange(2), "z": jnp.ones(2, jnp.bfloat16)}
    updates, _ = tx.update(params, tx.init(params), params)
    assert updates["none"] is None
    np.testing.assert_array_equal(updates["i"], params["i"])
    np.testing.assert_array_equal(updates["w"], 2 * params["w"])
    assert updates["z"].dtype == jnp.bfloat16


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least one branch"):
        gx.parallel(merge=gx.add)
    with pytest.raises(TypeError, match="`merge` must be a function of arrays, but is 'sum'"):
        gx.parallel(gx.scale(1.0), merge="sum")
    with pytest.raises(TypeError, match="every part must be a transformation"):
        gx.parallel(gx.scale, gx.scale(1.0), merge=gx.add)


def test_merge_may_be_a_closure():
    for factor in (1.0, 2.0):
        tx = gx.parallel(gx.identity(), merge=lambda a, factor=factor: factor * a)
        np.testing.assert_allclose(run(tx, steps=1)[0]["b"], factor * PARAMS["b"])


def double(updates, params):
    return jax.tree.map(lambda x: 2 * x, updates)


@pytest.mark.parametrize(
    "branches",
    [(gx.chain(), gx.clip_by_global_norm(10.0)), (gx.stateless(double), gx.trace(0.9))],
    ids=["clip", "pair"],
)
@pytest.mark.parametrize("merge", [gx.add, gx.multiply, gx.divide])
def test_branches_of_the_whole_tree_merge_in_the_dtype_of_the_arithmetic(branches, merge):
    grads = {"w": jnp.full(3, 1.5, jnp.bfloat16)}
    tx = gx.parallel(*branches, merge=merge)
    updates, _ = tx.update(grads, tx.init(grads))
    first = 3.0 if "stateless" in repr(tx) else 1.5
    assert updates["w"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        updates["w"], jnp.full(3, merge(jnp.float32(first), jnp.float32(1.5))).astype(jnp.bfloat16)
    )


def test_whole_tree_merge_is_traced_once_per_shape():
    traces = []

    def merge(a, b):
        traces.append(a.shape)
        return a + b

    tx = gx.parallel(gx.identity(), gx.clip_by_global_norm(1.0), merge=merge)
    grads = {f"w{i}": jnp.ones(3) for i in range(5)}
    state = tx.init(grads)
    for _ in range(3):
        tx.update(grads, state)
    assert traces == [(3,)]


@pytest.mark.parametrize("merge", [gx.add, gx.multiply, gx.divide])
def test_real_and_complex_branches_merge(merge):
    grads = {"w": jnp.array([3 + 4j, 1j], jnp.complex64)}
    tx = gx.parallel(gx.identity(), gx.infinity_norm(), merge=merge)
    updates, _ = tx.update(grads, tx.init(grads))
    g = np.asarray(grads["w"])
    want = {"add": g + abs(g), "multiply": g * abs(g), "divide": g / abs(g)}[merge.__name__]
    np.testing.assert_allclose(updates["w"], want, rtol=1e-6)


def test_state_dtype_reaches_branches_of_the_whole_tree():
    tx = gx.parallel(gx.clip_by_global_norm(1.0), gx.trace(0.9), merge=gx.add)
    stored = gx.with_state_dtype(tx, trace="bfloat16")
    state = stored.init({"w": jnp.ones(3)})
    assert [x.dtype for x in jax.tree.leaves(state)] == [jnp.bfloat16]
    assert str(stored).splitlines()[:2] == [
        "with_state_dtype(trace='bfloat16')",
        "└── parallel(merge=add)",
    ]
