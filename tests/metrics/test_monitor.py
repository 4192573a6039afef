"""Measurements of the updates on their way through a chain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.array([3.0, 4.0]), "n": jnp.arange(2)}
GRADS = {"w": jnp.array([3.0, 4.0]), "n": None}


def large(updates):
    """Return whether the norm is above 1, and the largest entry."""
    return {"above": gx.tree.norm(updates) > 1, "largest": gx.tree.max(updates)}


def test_what_is_seen_depends_on_the_place():
    tx = gx.chain(
        gx.snapshot("gradient", gx.tree.norm),
        gx.scale(-0.1),
        gx.snapshot("step", gx.tree.norm),
        gx.snapshot("all", large),
    )
    update = jax.jit(lambda s: tx.update(GRADS, s, PARAMS))
    u, state = update(tx.init(PARAMS))
    np.testing.assert_allclose(u["w"], [-0.3, -0.4], rtol=1e-6)
    assert float(state[0].measurement["gradient"]) == pytest.approx(5.0)
    assert float(state[2].measurement["step"]) == pytest.approx(0.5)
    assert state[3].measurement["all"]["above"].dtype == bool
    assert float(state[3].measurement["all"]["largest"]) == pytest.approx(-0.3)


def test_measures_see_the_dtypes_of_the_gradients_and_no_others():
    seen = []

    def spy(updates):
        seen.append(jax.tree.map(lambda x: x.dtype.name, updates))
        return 0.0

    params = {"h": jnp.ones(2, jnp.bfloat16), "n": jnp.arange(2)}
    tx = gx.chain(gx.scale(2.0), gx.monitor({"spy": spy}))
    tx.update({"h": jnp.ones(2, jnp.bfloat16), "n": None}, tx.init(params), params)
    assert seen == [{"h": "bfloat16", "n": None}] * 2


def test_monitor_averages_and_measures():
    tx = gx.monitor({"norm": gx.tree.norm, "share": gx.measure_with_ema(small, 0.9)})
    state, shares = tx.init(PARAMS), []
    assert float(state.measurements["share"]) == 0.0
    update = jax.jit(lambda g, s: tx.update(g, s)[1])
    v = 0.0
    for t, scale in enumerate([1.0, 0.1, 0.1, 1.0], 1):
        state = update({"w": scale * GRADS["w"], "n": None}, state)
        v = 0.9 * v + 0.1 * (scale < 0.5)
        shares.append(v / (1 - 0.9**t))
        assert float(state.measurements["share"]) == pytest.approx(shares[-1], rel=1e-5)
        assert float(state.measurements["norm"]) == pytest.approx(5 * scale)
    assert int(state.measure_states[1][1].count) == 4


def small(updates):
    """Return whether the norm is below 1."""
    return gx.tree.norm(updates) < 1


def test_any_transformation_may_measure():
    """One that needs an extra argument, and a pair of functions that returns a number."""

    def counted(updates, state, params=None, *, value):
        return value * state, state + 1

    measures = {
        "pair": (lambda params: jnp.zeros([]), counted),
        "polyak": gx.scale_by_polyak(),
        "trace": gx.trace(0.5),
    }
    tx = gx.monitor(measures)
    state = tx.init(PARAMS)
    assert set(state.measurements) == {"trace"}
    for _ in range(2):
        _, state = tx.update(GRADS, state, PARAMS, value=2.0)
    assert float(state.measurements["pair"]) == 2.0
    np.testing.assert_allclose(state.measurements["trace"]["w"], 1.5 * GRADS["w"])
    assert state.measurements["trace"]["n"] is None


def test_state_goes_through_scan_and_keeps_its_types():
    """A Python number, a weak type and another dtype than at the start."""
    tx = gx.chain(
        gx.snapshot("number", lambda u: 1.0),
        gx.snapshot("first", lambda u: u["w"][0]),
        gx.monitor({"flag": small, "mean": gx.measure_with_ema(gx.tree.norm, 0.9)}),
    )
    params = {"w": jnp.ones(2, jnp.bfloat16)}
    grads = {"w": jnp.ones((3, 2))}  # wider than the parameters
    state, _ = jax.lax.scan(lambda s, g: (tx.update(g, s)[1], None), tx.init(params), grads)
    assert not any(x.weak_type for x in jax.tree.leaves(state))


def test_measurements_are_in_buffers_of_their_own():
    w = jnp.ones(2)
    tx = gx.chain(gx.snapshot("all", lambda u: u), gx.monitor({"all": lambda u: u}))
    state = tx.init(w)
    step = jax.jit(tx.step, donate_argnums=(1, 2))
    w, state = step(jnp.ones(2), state, w)
    step(jnp.ones(2), state, w)
    g = jnp.ones(2)
    _, state = tx.update(g, tx.init(g), g)
    jax.jit(lambda s: s, donate_argnums=0)(state)
    np.testing.assert_array_equal(g, [1.0, 1.0])


def test_in_a_chain_the_average_is_what_comes_out():
    tx = gx.chain(gx.measure_with_ema(gx.tree.norm, 0.9), gx.scale(2.0))
    u, _ = tx.update(GRADS, tx.init(PARAMS))
    assert float(u) == pytest.approx(10.0)


def test_abstract_parameters_give_an_abstract_state():
    tx = gx.chain(
        gx.snapshot("all", large), gx.monitor({"a": large, "b": gx.measure_with_ema(small, 0.9)})
    )
    shapes, made = tx.init(jax.eval_shape(lambda: PARAMS)), tx.init(PARAMS)
    assert jax.tree.structure(shapes) == jax.tree.structure(made)
    for x, y in zip(jax.tree.leaves(shapes), jax.tree.leaves(made), strict=True):
        assert isinstance(x, jax.ShapeDtypeStruct)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)


def test_dtype_change_reaches_measures():
    tx = gx.with_state_dtype(gx.monitor({"n": small, "t": gx.trace(0.9)}), trace="bfloat16")
    assert tx.init(PARAMS).measure_states[1].trace["w"].dtype == jnp.bfloat16


def test_messages():
    tx = gx.snapshot("n", lambda u: jnp.ones(2) if u["w"].dtype == jnp.float32 else 0.0)
    with pytest.raises(ValueError, match=r"snapshot: the measurement 'n' must keep its structure"):
        tx.update({"w": jnp.ones(2, jnp.bfloat16)}, tx.init({"w": jnp.ones(2)}))
    with pytest.raises(ValueError, match="snapshot: its state must be a SnapshotState"):
        tx.update(GRADS, gx.EmptyState())
    with pytest.raises(TypeError, match="monitor: `measures` must be a mapping from names"):
        gx.monitor([small])
    with pytest.raises(TypeError, match="monitor: the measure 'n' must be a function of the upd"):
        gx.monitor({"n": 3})
    with pytest.raises(TypeError, match="monitor: every part must be a transformation"):
        gx.monitor({"n": (small,)})
    with pytest.raises(TypeError, match="monitor: the name of a measurement must be a string"):
        gx.monitor({3: small})
    with pytest.raises(TypeError, match="snapshot: the name of a measurement must be a string"):
        gx.snapshot(small, "n")
    for measure in (gx.tree.norm(GRADS), gx.scale(1.0)):
        with pytest.raises(TypeError, match="snapshot: `measure` must be a function"):
            gx.snapshot("n", measure)
        with pytest.raises(TypeError, match="measure_with_ema: `measure` must be a function"):
            gx.measure_with_ema(measure, 0.9)
