"""Guards, as the recipe has them: each user's problem, and that it is gone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.ones(3), "b": jnp.zeros(2)}
ONES = jax.tree.map(jnp.ones_like, PARAMS)


def trained(tx, gradients, losses=None):
    """Return (params, state) after a loop of compiled steps."""
    step = jax.jit(lambda p, s, g, v: tx.step(g, s, p, value=v))
    params, state = PARAMS, tx.init(PARAMS)
    for g, loss in zip(gradients, losses or [1.0] * len(gradients), strict=True):
        params, state = step(params, state, g, loss)
    return params, state


def bad(value):
    """Return gradients of which one leaf is broken."""
    return ONES | {"b": jnp.array([1.0, value])}


@pytest.mark.parametrize("value", [np.nan, pytest.param(np.inf, marks=pytest.mark.slow)])
def test_one_bad_leaf_poisons_the_moments_without_a_guard(value):
    """optax#828, pytorch#46849, flax#1671: clipping passes it on, and nan stays in the moments."""
    inner = gx.chain(gx.clip_by_global_norm(1.0), gx.adam(0.1))
    params, _ = trained(inner, [ONES, bad(value), ONES])
    assert np.isnan(params["b"]).any()
    params, state = trained(gx.guard(inner), [ONES, bad(value), ONES])
    expected, _ = trained(inner, [ONES, ONES])
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    assert (state.nonfinite, state.streak) == (1, 0)


def test_a_run_that_is_frozen_says_so():
    """optax#1746, deepspeedai/DeepSpeed#8415: all steps skipped, and the run looks healthy."""
    frozen, _ = trained(gx.guard(gx.sgd(0.1)), [bad(np.inf)] * 6)
    jax.tree.map(np.testing.assert_array_equal, frozen, PARAMS)
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"last of 3 bad ones in a row.*\['b'\]"):
        jax.block_until_ready(trained(gx.guard(gx.sgd(0.1), give_up_after=3), [bad(np.inf)] * 6))


def test_an_inf_in_one_micro_batch():
    """optax#828: inside an accumulator that is cleared by a product with 0 it stays for ever."""
    tx = gx.guard(gx.MultiSteps(gx.sgd(1.0), 2))
    params, state = trained(tx, [ONES, bad(np.inf), ONES, ONES, ONES])
    np.testing.assert_array_equal(params["b"], [-2, -2])
    assert state.nonfinite == 1


def test_a_spike_of_the_loss_is_skipped():
    """apple/axlearn#297, stanford-crfm/levanter#973: one broken batch throws a long run back."""
    losses = [2.0, 1.9, 2.1, 2.0, 30.0, 1.9]
    large = jax.tree.map(lambda g: 100 * g, ONES)
    gradients = [ONES] * 4 + [large, ONES]
    tx = gx.guard(gx.sgd(0.1), spikes=gx.spikes(window=8))
    params, state = trained(tx, gradients, losses)
    expected, _ = trained(gx.sgd(0.1), [ONES] * 5)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    assert (state.spikes, state.nonfinite, state.count) == (1, 0, 6)


@pytest.mark.slow
def test_without_spikes_it_is_the_bare_optimizer():
    """allenai/OLMo-core#317: the skipping Adam never counted, and stepped 2.2 times too far."""
    gradients = [jax.tree.map(lambda g, t=t: t * g, ONES) for t in (1.0, 2.0, 1.5)]
    params, _ = trained(gx.guard(gx.adam(0.1), spikes=gx.spikes()), gradients)
    expected, _ = trained(gx.adam(0.1), gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, expected)
