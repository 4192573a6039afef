"""Every constructor that Optax has too takes Optax's arguments, but for the table of deviations."""

import inspect

import optax
import optax.contrib
import pytest

import gradtx
from tests.optax_deviations import ABSENT, DEVIATIONS, REQUIRED


def theirs(name):
    """Return Optax's constructor of that name, or None."""
    return getattr(optax, name, None) or getattr(optax.contrib, name, None)


SHARED = sorted(
    name
    for name, thing in vars(gradtx).items()
    if inspect.isfunction(thing)
    and inspect.signature(thing).return_annotation is gradtx.GradientTransformation
    and callable(theirs(name))
    and name not in ("chain", "named_chain")  # take any number of parts
)


def written(default):
    """Return a default as one can compare it: functions, and what they made, by their names."""
    update = getattr(default, "update", None)
    if description := getattr(default, "description", None):
        return f"{description.name}()"
    if inspect.isfunction(update):
        return update.__qualname__.split(".")[0] + "()"
    return default if default is REQUIRED else getattr(default, "__name__", default)


def parameters(function):
    """Return {argument: (default, whether it is positional)}."""
    return {
        p.name: (written(p.default), p.kind is not p.KEYWORD_ONLY)
        for p in inspect.signature(function).parameters.values()
    }


@pytest.mark.parametrize("name", SHARED)
def test_defaults(name):
    optaxs, ours = parameters(theirs(name)), parameters(getattr(gradtx, name))
    found = {
        argument: (default, ours[argument][0] if argument in ours else ABSENT)
        for argument, (default, _) in optaxs.items()
        if argument not in ours or ours[argument][0] != default
    }
    table = DEVIATIONS.get(name, {})
    expected = {k: row[:2] for k, row in table.items() if row[0] is not ABSENT}
    assert found == expected


@pytest.mark.parametrize("name", SHARED)
def test_positions(name):
    """What can be passed by position in Optax can be here, in the same places."""
    table = DEVIATIONS.get(name, {})
    optaxs, ours = (
        [k for k, (_, positional) in parameters(f).items() if positional and k not in table]
        for f in (theirs(name), getattr(gradtx, name))
    )
    assert ours == optaxs


@pytest.mark.parametrize("name", sorted(DEVIATIONS))
def test_every_row_has_a_reason(name):
    assert name in SHARED
    assert all(reason for _, _, reason in DEVIATIONS[name].values())
