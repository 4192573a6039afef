"""Noise: its size, what it depends on, and its keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

PARAMS = {"a": jnp.zeros((64, 128)), "b": jnp.zeros((64, 128))}


def noise_of(tx, steps=1, params=PARAMS):
    """Return what is added to zero gradients at the last of some steps."""
    state, update = tx.init(params), jax.jit(tx.update)
    for _ in range(steps):
        u, state = update(jax.tree.map(jnp.zeros_like, params), state)
    return u


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_variance_falls_with_the_step(steps):
    u = noise_of(gradtx.add_noise(0.3, 0.7, 0), steps)
    for n in jax.tree.leaves(u):
        assert float(jnp.var(n)) == pytest.approx(0.3 / steps**0.7, rel=0.05)
        assert float(jnp.mean(n)) == pytest.approx(0.0, abs=0.05)


def test_complex_noise_has_the_variance_in_both_parts_together():
    u = noise_of(gradtx.add_noise(1.0, 0.0, 0), params={"w": jnp.zeros((64, 128), jnp.complex64)})
    assert float(jnp.mean(jnp.abs(u["w"]) ** 2)) == pytest.approx(1.0, rel=0.05)


def test_leaves_steps_and_keys_have_noise_of_their_own():
    tx = gradtx.add_noise(1.0, 0.0, 0)
    seen = [noise_of(tx)["a"], noise_of(tx)["b"], noise_of(tx, 2)["a"]]
    seen.append(noise_of(gradtx.add_noise(1.0, 0.0, 1))["a"])
    for i, x in enumerate(seen):
        for y in seen[:i]:
            assert abs(float(jnp.mean(x * y))) < 0.05


def test_noise_of_a_leaf_does_not_depend_on_the_others():
    tx = gradtx.add_noise(1.0, 0.0, 0)
    alone = noise_of(tx, params={"b": PARAMS["b"]})["b"]
    assert np.array_equal(noise_of(tx)["b"], alone)


def test_noise_is_the_same_when_sharded(mesh):
    sharding = jax.NamedSharding(mesh, jax.P("data", "model"))
    sharded = jax.tree.map(lambda p: jax.device_put(p, sharding), PARAMS)
    tx = gradtx.add_noise(1.0, 0.5, 5)
    for x, y in zip(
        jax.tree.leaves(noise_of(tx, 2)),
        jax.tree.leaves(noise_of(tx, 2, params=sharded)),
        strict=True,
    ):
        np.testing.assert_allclose(x, y, rtol=1e-6)


def test_ways_to_give_a_key():
    ways = [
        gradtx.add_noise(1.0, 0.0, 7),
        gradtx.add_noise(1.0, 0.0, seed=7),
        gradtx.add_noise(1.0, 0.0, np.int64(7)),
        gradtx.add_noise(1.0, 0.0, jax.random.key(7)),
        gradtx.add_noise(1.0, 0.0, jax.random.PRNGKey(7)),
    ]
    first, *others = [noise_of(tx)["a"] for tx in ways]
    for other in others:
        assert np.array_equal(first, other)
    assert np.array_equal(
        noise_of(gradtx.add_noise(1.0, 0.0))["a"], noise_of(gradtx.add_noise(1.0, 0.0, 0))["a"]
    )


def test_key_and_seed_exclude_each_other():
    with pytest.raises(ValueError, match="only one of `key` and `seed`"):
        gradtx.add_noise(1.0, 0.0, 1, seed=2)


@pytest.mark.parametrize("key", [1.5, "a", True, jnp.zeros(3)])
def test_what_is_no_key(key):
    with pytest.raises(TypeError, match=r"`key` must be one key of jax\.random or an integer"):
        gradtx.add_noise(1.0, 0.0, key)


def test_state_counts():
    state = gradtx.add_noise(1.0, 0.0, 3).init(PARAMS)
    assert int(state.count) == 0
    assert jnp.issubdtype(state.rng_key.dtype, jax.dtypes.prng_key)
