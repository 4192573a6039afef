"""Parameters for evaluation by one call, kept cheaply and right under accumulation and guards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.testing import gradient_sequence

GRADIENTS = [jnp.asarray(g, jnp.float32) for g in gradient_sequence((3,), 8)]


def trained(tx, params, gradients=GRADIENTS):
    """Return parameters and state after some steps."""
    state = tx.init(params)
    for g in gradients:
        params, state = tx.step(g, state, params)
    return params, state


@pytest.mark.parametrize(
    "make",
    [
        lambda: gx.with_ema(gx.adamw(0.1), 0.9),
        lambda: gx.chain(gx.clip(1.0), gx.schedule_free_sgd(0.1)),
        lambda: gx.lookahead(gx.sgd(0.1), 3, 0.5, slow_in_state=True),
    ],
    ids=["ema", "schedule-free", "lookahead"],
)
def test_one_call_for_every_optimizer(make):
    """optax#1010; nadir#61; algorithmic-efficiency#809: a helper for each method, or none."""
    tx = make()
    params, state = trained(tx, jnp.ones(3))
    assert np.any(tx.eval_params(state, params) != params)
    plain = gx.adamw(0.1)
    assert plain.eval_params(plain.init(params), params) is params


def test_average_counts_steps_and_not_micro_batches():
    """F5-TTS#631: the average was moved at every micro-batch."""
    tx = gx.with_ema(gx.MultiSteps(gx.sgd(0.1), 4), 0.5)
    _, state = trained(tx, jnp.ones(3))
    assert int(state.count) == 2


def test_average_is_of_use_from_the_first_step():
    """pytorch-image-models#1182: uncorrected, the start stays in for 1 / (1 - decay) steps."""
    params, state = trained(gx.with_ema(gx.sgd(0.1), 0.9999), jnp.full(3, 100.0), GRADIENTS[:1])
    tx = gx.with_ema(gx.sgd(0.1), 0.9999)
    np.testing.assert_array_equal(tx.eval_params(state, params), params)


def test_average_works_when_compiled_and_costs_one_copy_of_what_is_trained():
    """keras#18949: no effect under jit; marin#3670: an unused average doubled the memory."""
    tx = gx.with_ema(gx.chain(gx.sgd(0.1), gx.freeze({"w": False, "still": True})), 0.5)
    params = {"w": jnp.ones(3), "still": jnp.ones(1000)}
    state = tx.init(params)
    assert sum(x.size for x in jax.tree.leaves(state.average)) == 3
    step = jax.jit(tx.step, donate_argnums=(1, 2))
    for g in GRADIENTS[:2]:
        params, state = step({"w": g, "still": jnp.ones(1000)}, state, params)
    expected = 1 - 0.1 * (GRADIENTS[0] + GRADIENTS[1] * 2 / 3)
    np.testing.assert_allclose(tx.eval_params(state, params)["w"], expected, rtol=1e-6)


def test_narrow_parameters_keep_a_wide_average():
    """schedule-free's caveats on weights cached in 16 bits."""
    tx = gx.with_ema(gx.sgd(1e-3), 0.99)
    state = tx.init(jnp.ones(3, jnp.bfloat16))
    assert state.average.dtype == jnp.float32
    assert tx.eval_params(state, jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16
