"""Scaling by a number, a schedule, a learning rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def halving(count):
    return 0.5**count


def scaled(factor):
    def loop(w, gradients):
        for t, g in enumerate(gradients):
            w = w + factor(t) * g
            yield w

    return loop


@pytest.mark.parametrize(
    ("tx", "factor"),
    [
        (gradtx.scale(-1.7), lambda t: -1.7),
        (
            gradtx.scale_by_schedule(lambda count: 0.3 / (1 + count.astype(float))),
            lambda t: 0.3 / (1 + t),
        ),
        (gradtx.scale_by_learning_rate(0.3), lambda t: -0.3),
        (gradtx.scale_by_learning_rate(0.3, flip_sign=False), lambda t: 0.3),
        (
            gradtx.scale_by_learning_rate(lambda count: 0.3 / (1 + count.astype(float))),
            lambda t: -0.3 / (1 + t),
        ),
    ],
)
def test_formula(tx, factor):
    check_formula(tx, scaled(factor))


def test_schedule_sees_zero_first():
    tx = gradtx.scale_by_learning_rate(lambda count: count.astype(jnp.float32))
    state = tx.init({"w": jnp.ones(2)})
    seen = []
    for _ in range(3):
        updates, state = tx.update({"w": jnp.ones(2)}, state)
        seen.append(float(updates["w"][0]))
    assert seen == [0.0, -1.0, -2.0]
    assert int(state.count) == 3


def test_state_is_empty_without_schedule():
    assert gradtx.scale_by_learning_rate(0.1).init({"w": jnp.ones(2)}) == gradtx.EmptyState()


def test_learning_rate_of_zero_moves_nothing():
    """A schedule may start there, and it may be traced."""

    def update(rate):
        tx = gradtx.adam(rate)
        params = {"w": jnp.ones(3)}
        return tx.update({"w": jnp.ones(3)}, tx.init(params), params)[0]["w"]

    np.testing.assert_array_equal(jax.jit(update)(0.0), np.zeros(3))


@pytest.mark.parametrize("rate", [0.5, np.float32(0.5), np.float64(0.5), jnp.float32(0.5)])
def test_kind_of_rate_leaves_dtype_alone(rate):
    tx = gradtx.scale_by_learning_rate(rate)
    params = {"w": jnp.ones(2, jnp.bfloat16)}
    updates, _ = tx.update(params, tx.init(params))
    assert updates["w"].dtype == jnp.bfloat16
    assert float(updates["w"][0]) == -0.5


def test_errors_name_what_is_wrong():
    with pytest.raises(
        ValueError, match=r"scale_by_learning_rate: `learning_rate` must be .* -0.1"
    ):
        gradtx.scale_by_learning_rate(-0.1)
    with pytest.raises(TypeError, match="scale_by_schedule: `step_size_fn` must be a function"):
        gradtx.scale_by_schedule(0.1)
    with pytest.raises(TypeError, match=r"scale: `step_size` must be .* is a function"):
        gradtx.scale(halving)
