"""State that survives a checkpoint, a change of recipe, a jump to a step, a reset by path."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import at_step, export, reset, resize, restore
from tests.state.filled import filled

PARAMS = {"layer0": {"w": jnp.ones((2, 2))}, "layer1": {"w": jnp.ones((2, 2))}}


def test_a_saved_state_survives_a_change_of_recipe():
    """Adding clipping or a schedule shifts every position; names stay where they are.

    flax#4423 and #1550 (states lose their types in a checkpoint), ferminet#105 (the type changed),
    orbax#487 (restore with partial knowledge), maxtext#4343 (state was silently reset on resume),
    levanter#852 and #865 (states of partitions), torch#1489 (names, not ids).
    """
    old, new = gx.adam(0.1), gx.chain(gx.clip(1.0), gx.adam(gx.linear_schedule(0.1, 0.0, 10)))
    state = filled(old, PARAMS)
    # The problem: one more array, and no position that says which.
    assert len(jax.tree.leaves(new.init(PARAMS))) == len(jax.tree.leaves(state)) + 1
    saved = export(old, state)
    assert "scale_by_adam/mu/layer0/w" in saved
    with pytest.raises(ValueError, match="were not saved: scale_by_learning_rate/count"):
        restore(new, PARAMS, saved)  # never a silent reset
    restored, report = restore(new, PARAMS, saved, missing="init", counts="saved")
    np.testing.assert_array_equal(restored[1][0].mu["layer0"]["w"], state[0].mu["layer0"]["w"])
    assert (int(restored[1][0].count), int(restored[1][1].count)) == (3, 3)
    assert report.counted == {"scale_by_learning_rate/count": 3}


def test_a_reordered_model_of_equal_shapes_is_not_mixed_up():
    """Both layers have one shape, so that positions would fit and be wrong.

    torch#1489, torch#134107: optimizers that know parameters by their order.
    """
    tx = gx.adam(0.1)
    saved = export(tx, filled(tx, [PARAMS["layer0"], PARAMS["layer1"]]))
    swapped = {"b": PARAMS["layer0"], "a": PARAMS["layer1"]}
    state, _ = restore(tx, swapped, saved, rename={"0": "b", "1": "a"})
    np.testing.assert_array_equal(state[0].mu["b"]["w"], saved["scale_by_adam/mu/0/w"])


def test_all_counts_move_to_a_step():
    """Adam and its schedule count apart; a restart with one of them at 0 restarts the warm-up.

    optax#415, #1036 (how to restore the scheduler's count), S5#11, skrl#245.
    """
    tx = gx.inject_hyperparams(gx.adamw)(gx.warmup_cosine_decay_schedule(0.0, 0.1, 10, 100))
    state = at_step(tx, tx.init(PARAMS), 50)
    counts = [int(x) for name, x in export(tx, state).items() if name.endswith("/count")]
    assert counts == [50, 50, 50]
    _, state = tx.update(PARAMS, state, PARAMS)
    rate = gx.warmup_cosine_decay_schedule(0.0, 0.1, 10, 100)(50)
    np.testing.assert_allclose(state.hyperparams["learning_rate"], rate, rtol=1e-6)


def test_a_part_of_the_state_is_reset_by_path():
    """Also inside partitions, whose states are nested three deep.

    optax#1371 (reset optimizers in a PartitionState), #1036, #932.
    """
    labels = {"layer0": "slow", "layer1": "fast"}
    tx = gx.partition({"slow": gx.adam(1e-4), "fast": gx.adam(1e-3)}, labels)
    old = filled(tx, PARAMS)
    state = reset(tx, old, PARAMS, where="layer1/*")
    moments = state.inner_states["fast"].inner_state[0].mu["layer1"]["w"]
    np.testing.assert_array_equal(moments, np.zeros((2, 2)))
    for x, y in zip(*map(jax.tree.leaves, (state, old)), strict=True):
        assert x.shape == y.shape and x.dtype == y.dtype
    np.testing.assert_array_equal(
        state.inner_states["slow"].inner_state[0].mu["layer0"]["w"],
        old.inner_states["slow"].inner_state[0].mu["layer0"]["w"],
    )


def test_new_neurons_leave_the_moments_of_the_old_ones():
    """A layer grows during training (optax#932 and #1371 ask for it)."""
    tx = gx.adam(0.1)
    old = filled(tx, PARAMS)
    wider = PARAMS | {"layer1": {"w": jnp.ones((2, 3))}}
    state, report = resize(tx, old, PARAMS, wider)
    np.testing.assert_array_equal(state[0].mu["layer1"]["w"][:, :2], old[0].mu["layer1"]["w"])
    assert set(report.grown) == {"scale_by_adam/mu/layer1/w", "scale_by_adam/nu/layer1/w"}
