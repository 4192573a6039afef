"""The table of cases is complete, and what it makes are values."""

import inspect
import json
import pickle

import jax
import jax.numpy as jnp
import pytest

import gradtx
import gradtx.schedules
from gradtx._core.describe import is_registered
from tests import cases
from tests.cases import CASES

# What it makes is described by another call, of what it returns.
MAKES_CONSTRUCTORS = {"inject_hyperparams"}


def public_constructors():
    """Return the names of the public functions that make a transformation, second names not."""
    return sorted(
        name
        for name, thing in inspect.getmembers(gradtx)
        if not name.startswith("_")
        and inspect.isfunction(thing)
        and thing.__name__ == name
        and inspect.signature(thing).return_annotation is gradtx.GradientTransformation
        and thing is not gradtx.lift
    )


@pytest.mark.parametrize("name", public_constructors())
def test_constructor_has_a_line(name):
    assert cases.constructors(name), f"give {name} a line in tests/cases"
    assert is_registered(getattr(gradtx, name)), f"decorate {name} with @transformation"


# They make masks, and values for the arguments of constructors.
MAKES_VALUES = ("multi_transform", "matching", "excluding", "spikes", "decay", "decay_from")


def test_registered_names_are_transformations_or_schedules():
    """A constructor without a return annotation would escape the table."""
    for name, thing in inspect.getmembers(gradtx):
        if not (inspect.isfunction(thing) and hasattr(thing, "__wrapped__")):
            continue
        is_schedule = inspect.unwrap(thing).__module__.startswith("gradtx.schedules")
        if is_registered(thing) and not is_schedule:
            known = {*public_constructors(), *MAKES_VALUES}
            assert name in known, f"annotate what {name} returns"


def test_lines_are_of_public_constructors():
    expected = {*public_constructors(), *MAKES_CONSTRUCTORS}
    assert {name.split(" / ")[0] for name in CASES} == expected


@pytest.mark.parametrize("name", CASES)
def test_line_makes_what_it_says(name):
    assert CASES[name].make().description.name.split("(")[0] == name.split(" / ")[0]


@pytest.mark.parametrize("name", CASES)
def test_value(name):
    """Every transformation compares, hashes, prints, pickles and goes through JSON by value."""
    tx, again = CASES[name].make(), CASES[name].make()
    if "bare pair" in name:
        return  # compares by identity; tests/core/test_foreign.py
    assert tx == again
    assert hash(tx) == hash(again)
    names = {**vars(gradtx.schedules), **vars(cases._inputs), **dict(inspect.getmembers(gradtx))}
    names["array"] = jnp.array
    assert eval(repr(tx), names) == tx
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert gradtx.from_config(json.loads(json.dumps(tx.to_config()))) == tx
    assert isinstance(jax.tree.map(lambda x: x, tx), gradtx.GradientTransformation)
    assert str(tx).startswith(name.split(" / ")[0])
