"""Random numbers that two parts of a chain would share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx


def test_one_key_for_two_is_refused():
    noise = gx.add_noise(0.3, 0.0, key=1)
    with pytest.raises(ValueError, match=r"^chain: `add_noise` and `add_noise` have the same key"):
        gx.chain(noise, gx.sgd(0.1), gx.add_noise(0.1, 0.0, seed=1))
    with pytest.raises(ValueError, match=r"^named_chain: .* Give one of them another key"):
        gx.named_chain(("a", gx.add_noise(0.3, 0.0)), ("b", gx.noisy_sgd(0.1)))


def test_two_keys_draw_independent_numbers():
    tx = gx.chain(*(gx.add_noise(0.3, 0.0, key=k) for k in (1, 2)))
    u, _ = tx.update(jnp.zeros(100_000), tx.init(jnp.zeros(100_000)))
    np.testing.assert_allclose(jnp.var(u), 0.6, rtol=0.02)


def test_groups_may_share_a_key():
    params = {"a": jnp.ones(3), "b": jnp.ones(3)}
    parts = [gx.masked(gx.add_noise(0.3, 0.0), {k: k == own for k in params}) for own in params]
    tx = gx.chain(*parts)
    u, _ = jax.jit(tx.update)(params, tx.init(params))
    assert not np.allclose(u["a"], u["b"])
