"""Bugs that other libraries had in line searches and L-BFGS."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx


def test_in_groups_value_fn_gets_all_parameters():
    """Each group searches with the others at rest (optax#1649)."""

    def loss(w):
        return jnp.sum((w["a"] - w["b"]) ** 2) + jnp.sum(jnp.cosh(w["b"]))

    descent = gx.chain(gx.scale(-1.0), gx.scale_by_zoom_linesearch(20))
    w = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([0.5, 1.5])}
    value, grad = jax.value_and_grad(loss)(w)
    extra = {"value": value, "grad": grad, "value_fn": loss}
    tx = gx.masked(descent, {"a": True, "b": False})
    u, state = tx.update(grad, tx.init(w), w, **extra)
    np.testing.assert_array_equal(u["b"], grad["b"])
    alone = loss({"a": w["a"] + u["a"], "b": w["b"]})
    np.testing.assert_allclose(state.inner_state[1].value, alone, rtol=1e-6)
    assert alone < value and state.inner_state[1].grad["b"] is None
    both = gx.partition({"a": descent, "b": descent}, {"a": "a", "b": "b"})
    new, _ = jax.jit(lambda w, s: both.step(grad, s, w, **extra))(w, both.init(w))
    np.testing.assert_allclose(new["a"], w["a"] + u["a"], rtol=1e-5)
    assert loss({"a": w["a"], "b": new["b"]}) < value


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["positive", "negative"])
def test_tolerances_at_their_edges(sign):
    """A rise of 2 from |f| = 16: what is allowed is rtol |f| + atol, for any sign of f.

    The relative tolerance had the wrong sign in Optax once (commit de46234a), and still makes the
    condition harder where f is negative.
    """
    loss, w = (lambda w: 16 * sign + w), jnp.float32(0.0)
    for tolerance, accepted in ((2.0, True), (1.875, False)):
        for given in ({"atol": tolerance}, {"rtol": tolerance / 16}):
            tx = gx.scale_by_backtracking_linesearch(0, 0.0, **given)
            extra = {"value": loss(w), "grad": jnp.float32(1.0), "value_fn": loss}
            u, state = tx.update(jnp.float32(2.0), tx.init(w), w, **extra)
            assert bool(u == 2) is accepted
            assert state.info.num_linesearch_steps == 1


@pytest.mark.parametrize("dtype", ["float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_low_precision(dtype):
    """optax#1108: the same dtypes and one trace; the loss falls to what rounding allows."""
    loss = lambda w: jnp.sum(jnp.square(w.astype("float32") - jnp.array([0.5, -0.25])))  # noqa: E731
    tx, w, traces = gx.lbfgs(memory_size=2), jnp.array([3.0, 1.0], dtype), []

    @jax.jit
    def step(w, state):
        traces.append(1)
        value, grad = jax.value_and_grad(loss)(w)
        return tx.step(grad, state, w, value=value, grad=grad, value_fn=loss)

    state = tx.init(w)
    kinds = jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state)
    for _ in range(6):
        w, state = step(w, state)
    assert len(traces) == 1 and w.dtype == dtype and loss(w) < 1e-4
    assert jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state) == kinds


def test_complex_parameters():
    """optax#1141: |z|^2 falls from 1 + 1j in every step; the gradient goes in conjugated."""
    loss = lambda z: jnp.sum(jnp.real(z) ** 2 + jnp.imag(z) ** 2)  # noqa: E731
    tx, z = gx.lbfgs(memory_size=2), jnp.array([1 + 1j, 0.5 - 2j])
    value_and_grad = gx.value_and_grad_from_state(loss)

    @jax.jit
    def step(z, state):
        value, grad = value_and_grad(z, state=state)
        grad = jnp.conj(grad)
        return tx.step(grad, state, z, value=value, grad=grad, value_fn=loss)

    state, values = tx.init(z), [loss(z)]
    for _ in range(3):
        z, state = step(z, state)
        values.append(state[2].value)
    assert values[1] < values[0] and values[3] < 1e-8


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_memory_is_wide(dtype):
    """optax#1108, commit 557cb19d: one trace, one dtype, and gradients of 300 do not overflow."""
    tx, w = gx.scale_by_lbfgs(2), {"w": jnp.ones(3, dtype)}
    state, update = tx.init(w), jax.jit(tx.update)
    kinds = jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state)
    for scale in (300, 200, 0, 0):
        u, state = update({"w": scale * jnp.ones(3, dtype)}, state, w)
        assert u["w"].dtype == dtype and bool(jnp.isfinite(u["w"]).all())
        assert jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state) == kinds
        w = {"w": w["w"] - jnp.asarray(0.5, dtype)}
    assert state.diff_params_memory["w"].dtype == state.weights_memory.dtype == "float32"
    assert state.params["w"].dtype == dtype and update._cache_size() <= 1


def test_numbers_of_structure_stay_out_of_the_state():
    """optax#412: memory_size is no hyperparameter that a schedule or a tracer may set."""
    tx, w = gx.inject_hyperparams(gx.lbfgs)(learning_rate=0.1, linesearch=None), jnp.ones(2)
    state = jax.jit(tx.init)(w)
    assert set(state.hyperparams) == {"learning_rate"}
    np.testing.assert_allclose(tx.update(w / 4, state, w)[0], -0.1 * w / 4, rtol=1e-6)


def test_loss_never_rises():
    """optax#1201: with few trials in float32, on a valley that is narrow and far away."""
    loss = lambda w: 1e3 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2  # noqa: E731
    tx, w = gx.lbfgs(linesearch=gx.scale_by_zoom_linesearch(3)), jnp.array([-3.0, 4.0])

    @jax.jit
    def run(w):
        def step(at, _):
            w, state = at
            value, grad = jax.value_and_grad(loss)(w)
            return tx.step(grad, state, w, value=value, grad=grad, value_fn=loss), value

        return jax.lax.scan(step, (w, tx.init(w)), length=60)[1]

    values = np.asarray(run(w))
    assert np.all(np.diff(values) <= 2e-6 * np.abs(values[1:])) and values[-1] < 1e-3 * values[0]
