"""States have Optax's classes, fields and nesting, but for the table of reasons.

Every line of tests/cases whose constructor Optax has too is compared, so what is new there is
compared without a line here.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
import pytest

import gradtx
from tests.cases import CASES
from tests.optax_deviations import STATE_CLASSES, STATES
from tests.peers.twins import SHARED, built_by_optax, theirs

PARAMS = {"w": jnp.ones((3, 4)), "b": jnp.ones(5), "s": jnp.ones(())}


def structure(state):
    """Return a state as nested (class, fields) and containers, its arrays as dtype and shape.

    What every mask of Optax brings is taken away: a parameter without a state has None here, and
    a rule with a mask is wrapped in nothing.
    """
    kind = type(state).__name__
    if state is None or kind == "MaskedNode":
        return None
    if kind == "MaskedState" and isinstance(state.inner_state, tuple) and not state.inner_state:
        return structure(state.inner_state)
    if hasattr(state, "_fields"):
        return kind, {name: structure(getattr(state, name)) for name in state._fields}
    if isinstance(state, dict):
        return {key: structure(x) for key, x in state.items()}
    if isinstance(state, (tuple, list)):
        return [structure(x) for x in state]
    return f"{state.dtype}{list(state.shape)}" if hasattr(state, "shape") else repr(state)


@functools.cache
def pair_of_structures(name):
    """Return the structures of both libraries' states for a line of tests/cases."""
    tx = CASES[name].make()
    with jax.numpy_dtype_promotion("standard"):
        try:
            expected = structure(built_by_optax(tx).init(PARAMS))
        except (TypeError, ValueError) as error:  # arguments that Optax does not take
            expected = f"{type(error).__name__}: {error}"
    return structure(tx.init(PARAMS)), expected


@pytest.mark.parametrize("name", SHARED)
def test_state(name):
    if name in STATES or name.split(" / ")[0] in STATES:
        return
    ours, expected = pair_of_structures(name)
    assert ours == expected


@pytest.mark.parametrize("name", STATES)
def test_every_row_is_needed(name):
    """A name stands for all lines of its constructor, a line for itself."""
    assert STATES[name]
    lines = [line for line in SHARED if name in (line, line.split(" / ")[0])]
    pairs = [pair_of_structures(line) for line in lines]
    assert any(ours != expected for ours, expected in pairs), "its states are Optax's: take it out"


def is_state_class(thing):
    """Say whether a public thing is a class with fields."""
    return inspect.isclass(thing) and hasattr(thing, "_fields")


CLASSES = sorted(
    name
    for name, thing in inspect.getmembers(gradtx)
    if is_state_class(thing) and is_state_class(theirs(name))
)


@pytest.mark.parametrize("name", CLASSES)
def test_fields_of_state_classes(name):
    """Also those that no line reaches: what wrappers hold."""
    ours, expected = getattr(gradtx, name)._fields, theirs(name)._fields
    assert (ours != expected) == (name in STATE_CLASSES), (ours, expected)


def test_every_class_row_has_a_reason():
    assert set(STATE_CLASSES) <= set(CLASSES)
    assert all(STATE_CLASSES.values())
