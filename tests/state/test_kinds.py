"""A state of another transformation, or what holds a state, is refused at once."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

import gradtx as gx
from gradtx.state import at_step, export, reset, resize, restore
from tests.state.filled import filled

PARAMS = {"a": {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}, "c": jnp.ones(2)}
OTHERS = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))


@pytest.mark.parametrize(
    ("tx", "message"),
    [
        (gx.sgd(0.1), "scale_by_learning_rate: its state must be an EmptyState"),
        (gx.chain(gx.clip_by_global_norm(1.0), gx.lion(0.1)), "must be a ScaleByLionState, but is"),
        (gx.guard(OTHERS), "guard: its state must be a GuardState, but is a tuple"),
        (gx.tunable(OTHERS), "tunable: its state must be a TunableState"),
        (gx.groups(("x", "a/*", OTHERS), ("y", "*", OTHERS)), "names of the trained groups"),
        (gx.lbfgs(), "its state must be a"),
    ],
)
def test_a_state_of_another_transformation_is_refused(tx, message):
    """Or a checkpoint would have nothing in it, or Adam's moments under Lion's name."""
    state = filled(OTHERS, PARAMS)
    for call in (
        lambda: export(tx, state),
        lambda: reset(tx, state, PARAMS),
        lambda: at_step(tx, state, 5),
        lambda: resize(tx, state, PARAMS, PARAMS),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_states_of_wrappers_are_told_apart():
    state = filled(gx.accumulate(gx.adam(0.1), 2), PARAMS)
    with pytest.raises(ValueError, match="guard: its state must be a GuardState, but is an"):
        export(gx.guard(gx.adam(0.1)), state)


def test_what_holds_a_state_is_not_taken_for_it():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class TrainState:
        params: "Unresolved"  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
        opt_state: "Unresolved"  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    tx = gx.with_ema(gx.tunable(gx.adam(0.1)), 0.9)
    held = TrainState(PARAMS, tx.init(PARAMS))
    for call in (
        lambda: export(tx, held),
        lambda: reset(tx, held, PARAMS),
        lambda: at_step(tx, held, 5),
        lambda: gx.hyperparams(tx, held),
        lambda: gx.set_hyperparams(tx, held, b1=0.8),
    ):
        with pytest.raises(TypeError, match=r"`state` is a TrainState.* in its `opt_state`: give"):
            call()
    with pytest.raises((TypeError, ValueError), match=r"TrainState.*`opt_state`"):
        tx.eval_params(held, PARAMS)
    with pytest.raises((TypeError, ValueError), match=r"TrainState.*`opt_state`"):
        tx.update(PARAMS, held, PARAMS)
    with pytest.raises(TypeError, match=r"`like` must be a state\. The state is in"):
        restore(tx, PARAMS, export(tx, held.opt_state), like=held)
