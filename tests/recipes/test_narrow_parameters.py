"""Parameters in bfloat16: updates that were lost, and the ways to keep them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

STEPS, SIZE = 1000, 1e-3


def after(tx, w, steps=STEPS):
    """Return a weight after steps of one size."""
    g = jnp.full(w.shape, -SIZE)

    def one(_, carry):
        return tx.step(g, carry[1], carry[0])

    return jax.jit(lambda w: jax.lax.fori_loop(0, steps, one, (w, tx.init(w)))[0])(w)


def test_small_updates_are_lost_when_rounded_to_nearest():
    """1 + 1e-3 is 1 in bfloat16, however often (torch#120376, bnb#1165, torchdistx#52)."""
    w = jnp.ones(2000, jnp.bfloat16)
    assert bool(jnp.all(gx.apply_updates(w, jnp.full(2000, SIZE)) == 1))
    assert bool(jnp.all(after(gx.sgd(1.0), w) == 1))


@pytest.mark.parametrize("method", ["stochastic", "kahan", "split"])
def test_and_are_not_with_any_of_the_three(method):
    w = after(gx.with_rounding(gx.sgd(1.0), method), jnp.ones(2000, jnp.bfloat16))
    assert abs(np.mean(np.asarray(w, float)) - 2.0) < (0.04 if method == "kahan" else 0.01)


def fit(tx, dtype):
    """Return the loss of a small regression after training."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(64, 16)), jnp.float32)
    y = x @ jnp.asarray(rng.normal(size=16), jnp.float32)

    def loss(w):
        return jnp.mean((x @ w.astype("float32") - y) ** 2)

    def one(_, carry):
        w, state = carry
        return tx.step(jax.grad(loss)(w), state, w)

    w = jnp.ones(16, dtype)
    w, _ = jax.jit(lambda: jax.lax.fori_loop(0, 3000, one, (w, tx.init(w))))()
    return float(loss(w))


def test_training_gets_as_far_as_in_float32_rounded_once():
    """Rounded to nearest it stops where steps are below half a spacing; split does not."""
    wide = fit(gx.adam(1e-3), "float32")
    assert fit(gx.with_rounding(gx.adam(1e-3), "split"), "bfloat16") < 1.1 * wide
    assert fit(gx.adam(1e-3), "bfloat16") > 10 * wide


def test_sharded_and_whole_have_the_same_bits(mesh):
    """Stochastic rounding broke where parameters were sharded (ao#2296)."""
    tx = gx.with_rounding(gx.sgd(1.0), "stochastic", seed=1)
    params = {"w": jnp.ones((8, 16), jnp.bfloat16)}
    spec = jax.sharding.PartitionSpec("data", "model")
    placed = jax.device_put(params, jax.sharding.NamedSharding(mesh, spec))
    results = []
    for p in (params, placed):
        step, state = jax.jit(tx.step), tx.init(p)
        for _ in range(3):
            p, state = step(jax.tree.map(lambda x: jnp.full_like(x, -SIZE), p), state, p)
        results.append(np.asarray(p["w"], float))
    np.testing.assert_array_equal(*results)
    assert 0 < np.mean(results[0] != 1) < 1
