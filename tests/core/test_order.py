"""What may stand behind an accumulation in a chain, and what is refused there."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

TWO = gx.accumulate(gx.identity(), 2)


@pytest.mark.parametrize(
    ("behind", "what"),
    [
        (gx.adamw(0.1), "`adamw` stands behind `accumulate`, so that its `scale_by_adam` would "),
        (gx.trace(0.9), "`trace` stands behind `accumulate`, so that it would move its state"),
        (gx.sgd(lambda count: 0.1), "its `scale_by_learning_rate` would advance its schedule"),
        (gx.add_decayed_weights(0.1), "would pull the parameters at every micro-step"),
        (gx.add_noise(0.1, 0.0, 1), "would draw noise"),
        (gx.guard(gx.adam(0.1)), r"Put it inside: accumulate\(chain\(..., guard\(...\)\), every\)"),
    ],
)
def test_what_moves_by_itself_is_refused(behind, what):
    with pytest.raises(ValueError, match=f"^chain: .*{what}"):
        gx.chain(gx.clip(1.0), gx.guard(TWO), behind)
    with pytest.raises(ValueError, match=f"^named_chain: .*{what}"):
        gx.named_chain(("mean", TWO), ("rest", behind))
    gx.chain(behind, TWO)
    gx.chain(gx.MultiSteps(gx.identity(), 2), behind)  # as in Optax, whatever comes of it


def test_what_makes_nothing_of_nothing_may_stand_there():
    tx = gx.chain(TWO, gx.clip_by_global_norm(1.0), gx.sgd(0.5), gx.keep_params_nonnegative())
    params = jnp.ones(1)
    state, seen = tx.init(params), []
    for g in (3.0, 5.0):
        params, state = tx.step(jnp.array([g]), state, params)
        seen.append(float(params[0]))
    np.testing.assert_allclose(seen, [1.0, 0.5])
