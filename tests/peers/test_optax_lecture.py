"""The lecture family against Optax: signatures, and trajectories where the rules agree."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.testing import gradient_sequence, run_steps
from tests.optax_deviations import ABSENT, DEVIATIONS

NAMES = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "add_decayed_weights",
    "amsgrad",
    "ema",
    "nadam",
    "nadamw",
    "rmsprop",
    "scale",
    "scale_by_adadelta",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_amsgrad",
    "scale_by_learning_rate",
    "scale_by_rms",
    "scale_by_rss",
    "scale_by_schedule",
    "scale_by_stddev",
    "sgd",
    "trace",
]


def defaults(function):
    """Return {argument: default} in order; positional first, then keyword-only."""
    return {p.name: p.default for p in inspect.signature(function).parameters.values()}


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_optaxs_but_for_the_table(name):
    theirs, ours = defaults(getattr(optax, name)), defaults(getattr(gradtx, name))
    table = DEVIATIONS.get(name, {})
    found = {
        argument: (theirs[argument], ours.get(argument, ABSENT))
        for argument in theirs
        if argument not in ours or ours[argument] != theirs[argument]
    }
    assert found == {argument: row[:2] for argument, row in table.items()}
    positional = [
        [p.name for p in inspect.signature(f).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        for f in (getattr(optax, name), getattr(gradtx, name))
    ]
    assert positional[0] == positional[1]


def falling(count):
    return 0.1 / (1 + jnp.asarray(count).astype(float))


# Name, and arguments under which both mean the same.
CASES = [
    ("adadelta", {"learning_rate": 0.7, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.3}),
    ("adagrad", {"learning_rate": falling, "initial_accumulator_value": 0.3, "eps": 1e-4}),
    ("adam", {"learning_rate": 0.1, "b1": 0.8, "b2": 0.95, "eps": 1e-4, "eps_root": 1e-5}),
    ("adam", {"learning_rate": falling, "nesterov": True}),
    ("adamax", {"learning_rate": 0.1, "b1": 0.8, "b2": 0.95, "eps": 1e-3}),
    ("adamaxw", {"learning_rate": 0.1, "eps": 1e-3, "weight_decay": 0.3}),
    ("adamw", {"learning_rate": 0.1, "weight_decay": falling}),
    ("amsgrad", {"learning_rate": 0.1, "bias_correction_mu": False, "bias_correction_nu": False}),
    ("ema", {"decay": 0.8}),
    ("nadam", {"learning_rate": 0.1, "b1": 0.8, "b2": 0.95}),
    ("nadamw", {"learning_rate": 0.1, "weight_decay": 0.3}),
    ("rmsprop", {"learning_rate": falling, "decay": 0.8, "momentum": 0.7, "nesterov": True}),
    ("rmsprop", {"learning_rate": 0.1, "initial_scale": 0.4, "eps_in_sqrt": False}),
    ("rmsprop", {"learning_rate": 0.1, "initial_scale": 0.4, "centered": True, "eps": 1e-3}),
    ("sgd", {"learning_rate": falling, "momentum": 0.7}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.7, "nesterov": True}),
    ("sgd", {"learning_rate": 0.1}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_trajectory_is_optaxs(name, arguments, x64):
    gradients = [jnp.asarray(g) for g in gradient_sequence()]
    start = jnp.ones((3, 4))
    ours = run_steps(getattr(gradtx, name)(**arguments), start, gradients)
    with jax.numpy_dtype_promotion("standard"):
        theirs = run_steps(getattr(optax, name)(**arguments), start, gradients)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)
