"""States inside states: every array is found once, and putting the same back changes nothing."""

import functools
import json

import jax
import numpy as np
import pytest

from gradtx.state import export
from gradtx.state._names import entries_of, is_array, named
from tests.cases import CASES

SHAPES = {"scalar": (), "layers": [{"w": (4, 3), "b": (3,)}], "five_axes": (1, 2, 1, 2, 1)}
PARAMS = jax.tree.map(
    lambda shape: jax.ShapeDtypeStruct(shape, "float32"),
    SHAPES,
    is_leaf=lambda x: isinstance(x, tuple),
)


@functools.cache  # for both tests
def first(name):
    """Return a transformation and its first state, whose arrays are all others."""
    tx = CASES[name].make()
    # Nothing is computed, so that all lines are cheap.
    state = tx.init(PARAMS)
    numbers = iter(range(10_000))
    return tx, jax.tree.map(lambda x: np.full(x.shape, next(numbers), np.float32), state)


def arrays(tree):
    return [x for x in jax.tree.leaves(tree) if is_array(x)]


def walked(body, state):
    """Return the arrays of a state, found by walking: its own ones, then those inside."""
    inside = body.inner_states(state)
    own = body.with_inner_states(state, [None] * len(inside)) if inside else state
    return arrays(own) + [x for part in inside for x in walked(part.body, part.state)]


def rebuilt(body, state):
    """Return a state put together again from the states inside it, all the way down."""
    inside = body.inner_states(state)
    states = [rebuilt(part.body, part.state) for part in inside]
    return body.with_inner_states(state, states) if inside else state


@pytest.mark.parametrize("name", CASES)
def test_walk_finds_every_array_once_and_gives_the_state_back(name):
    tx, state = first(name)
    body = tx.update.body
    expected = sorted(map(id, arrays(state)))
    assert sorted(map(id, walked(body, state))) == expected
    again = rebuilt(body, state)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    assert list(map(id, arrays(again))) == list(map(id, arrays(state)))


@pytest.mark.parametrize("name", CASES)
def test_names_are_unique_text_in_the_order_of_the_state(name):
    tx, state = first(name)
    found = export(tx, state)
    assert list(json.loads(json.dumps(dict.fromkeys(found)))) == list(found)
    entries = entries_of(named("test", tx.update.body, state))
    assert [id(entry.value) for entry in entries] == list(map(id, arrays(state)))
    assert len(found) == len(entries) + 1
    assert all("//" not in name and not name.startswith("/") for name in found)
