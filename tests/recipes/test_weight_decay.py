"""Weight decay that means one documented thing, whatever the optimizer calls or couples."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {
    "dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
    "norm": {"scale": jnp.ones(2)},
}
ZEROS = {
    "dense": {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)},
    "norm": {"scale": jnp.zeros(2)},
}


def shrunk(tx, steps=1):
    """Return what is left of a weight of 1, of a bias and of a scale, without gradients."""
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(steps):
        params, state = tx.step(ZEROS, state, params)
    dense, norm = params["dense"], params["norm"]
    return [float(x.ravel()[0]) for x in (dense["kernel"], dense["bias"], norm["scale"])]


@pytest.mark.parametrize(
    "make", [gx.adamw, gx.lion, gx.lars, gx.adafactor, gx.novograd, gx.rmsprop, gx.prodigy]
)
def test_one_value_means_the_same_for_all(make):
    """optax#1635, #1290, #1291, #186, #1426 and #417; NVIDIA/apex#1849; apple/axlearn#218.

    The same number is tied to the learning rate in one, passes through the moments in another and
    stands alone in a third; and the argument for the mask has two names.
    """
    where = gx.excluding(gx.norms_biases_embeddings)
    decay = gx.decay(0.1, coupling="independent", where=where)
    left, bias, scale = shrunk(make(1e-3, weight_decay=decay), steps=2)
    assert left == pytest.approx(0.81, rel=1e-6)
    assert bias == scale == 1


def test_tuning_the_learning_rate_leaves_the_decay():
    """optax#292: in the paper the decay is multiplied by the schedule, not by the learning rate."""
    paper = gx.decay(0.1, coupling="schedule")
    for rate in (1e-1, 1e-4):
        assert shrunk(gx.adamw(rate, weight_decay=paper))[0] == pytest.approx(0.9, rel=1e-6)
        tied = shrunk(gx.adamw(rate, weight_decay=0.1))[0]
        assert tied == pytest.approx(1 - 0.1 * rate, rel=1e-6)


def test_decay_may_follow_a_schedule_of_its_own():
    """optax#1426."""
    decay = gx.decay(gx.schedules.linear_schedule(0.2, 0.0, 2), coupling="independent")
    left = shrunk(gx.adamw(1e-3, weight_decay=decay), steps=3)[0]
    assert left == pytest.approx(0.8 * 0.9, rel=1e-6)


def test_number_of_another_library_is_converted():
    assert gx.decay_from("torch.AdamW", 0.01) == gx.decay(0.01, coupling="learning_rate", peak=None)
    np.testing.assert_allclose(
        shrunk(gx.sgd(0.5, weight_decay=gx.decay_from("torch.SGD", 0.1)))[0], 0.95, rtol=1e-6
    )
