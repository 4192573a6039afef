"""The same transformation a second time, built by Optax from what its description tells."""

import inspect
import warnings

import optax
import optax.contrib
import optax.transforms

import gradtx
from tests.cases import CASES


def theirs(name):
    """Return what Optax has by that name, or None."""
    for module in (optax, optax.contrib, optax.transforms):
        if name in dir(module):
            return getattr(module, name)
    return None


def built_by_optax(tx):
    """Return Optax's transformation of the same arguments, or None if it has no such one.

    An argument that is None here by default is left to Optax: None stands for its default there.
    """
    description = tx.description
    if description.name.startswith("inject_hyperparams("):
        given = {name: in_optax(value) for name, value in description.arguments.items()}
        factory = optax.inject_hyperparams(given["inner_factory"], given["static_args"])
        return factory(*given["args"], **given["kwargs"])
    constructor = theirs(description.name)
    if constructor is None:
        return None
    parameters, known = description.signature.parameters, inspect.signature(constructor).parameters
    parts, named = [], {}
    for name, value in description.arguments.items():
        if parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            parts += [in_optax(part) for part in value]
        elif parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            named |= {k: in_optax(v) for k, v in value.items()}
        elif name in known and not (value is None and parameters[name].default is None):
            named[name] = in_optax(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return constructor(*parts, **named)


def in_optax(value):
    """Return an argument with what Optax has of its transformations and functions."""
    if isinstance(value, gradtx.GradientTransformation):
        return (value.description and built_by_optax(value)) or value
    if isinstance(value, dict):
        return {key: in_optax(x) for key, x in value.items()}
    if type(value) in (tuple, list):
        return type(value)(in_optax(x) for x in value)
    is_ours = inspect.isfunction(value) and getattr(gradtx, value.__name__, None) is value
    return theirs(value.__name__) if is_ours else value


def own_arguments(tx):
    """Return what a transformation and its parts were given that only gradtx knows."""
    description, found = tx.description, []
    if description is None or theirs(description.name) is None:
        return found
    known = inspect.signature(theirs(description.name)).parameters
    for name, value in description.arguments.items():
        default = description.signature.parameters[name].default
        parts = value if isinstance(value, tuple) and not hasattr(value, "init") else (value,)
        for part in parts:
            if isinstance(part, gradtx.GradientTransformation):
                found += own_arguments(part)
        is_new = name not in known and default is not inspect.Parameter.empty and value != default
        if is_new or type(value) is type(gradtx.decay(0.0)):
            found.append(name)
    return found


# The lines of tests/cases whose constructor Optax has too.
SHARED = [name for name in CASES if theirs(name.split(" / ")[0]) and "bare pair" not in name]
