"""Numbers that a state holds: what the report says where the recipe has others."""

import jax.numpy as jnp

import gradtx as gx
from gradtx.state import export, restore

PARAMS = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}


def test_numbers_of_the_file_that_the_recipe_has_otherwise_are_reported():
    old, new = gx.tunable(gx.adamw(0.1)), gx.tunable(gx.adamw(0.01, b1=0.8))
    file = export(old, old.init(PARAMS))
    b1, rate = restore(new, PARAMS, file)[1].hints
    assert b1.startswith("tunable/hyperparams/b1 is 0.9 as saved, 0.8 in the recipe: skip=")
    assert "learning_rate is 0.1 as saved, 0.01 in the recipe" in rate
    for hint in (b1, rate):  # each says how to take the other one
        skip = hint.split("skip='")[1].split("'")[0]
        hints = restore(new, PARAMS, file, skip=skip)[1].hints
        assert hints == tuple(x for x in (b1, rate) if x != hint)
    assert restore(old, PARAMS, file)[1].hints == ()
    old, new = (gx.inject_hyperparams(gx.adam)(x) for x in (0.1, 0.01))
    (hint,) = restore(new, PARAMS, export(old, old.init(PARAMS)))[1].hints
    assert "inject_hyperparams/hyperparams/learning_rate is 0.1 as saved, 0.01 in" in hint


def test_number_that_is_held_against_its_schedule_is_reported():
    tx = gx.tunable(gx.adam(gx.linear_schedule(0.1, 0.0, 10)))
    state = tx.init(PARAMS)
    assert restore(tx, PARAMS, export(tx, state))[1].hints == ()
    held = gx.set_hyperparams(tx, state, learning_rate=0.3)
    (hint,) = restore(tx, PARAMS, export(tx, held))[1].hints
    assert "learning_rate is held at 0.3 as saved" in hint
    assert "release_hyperparams(tx, state, 'learning_rate')" in hint
