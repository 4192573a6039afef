"""Derivatives through unrolled updates: finite everywhere, zero gradients included."""

import jax
import jax.numpy as jnp
import pytest

import gradtx as gx
from tests.cases import CASES
from tests.cases.optimizers import OPTIMIZERS
from tests.contract.test_hyperparameters import numbers_of, rebuilt

PARAMS = {"w": jnp.linspace(-1, 1, 8).reshape(2, 4), "b": jnp.zeros(3)}

MANY_STEPS = 50
GROWING = {"gauss_newton_bartlett_estimator"}  # p + p^2 squares itself until it is infinite

# Reverse mode cannot go back through a loop whose end is decided on the way.
SEARCHES = {
    "lbfgs",
    "scale_by_lbfgs",
    "scale_by_backtracking_linesearch",
    "scale_by_zoom_linesearch",
}
SHOWN = ("adamw", "scale_by_belief", "clip_by_global_norm", "noisy_sgd", "schedule_free")

# A chain is differentiated link by link, so named optimizers have what their rules have.
REST = [
    name
    for name in CASES
    if " / " not in name and name not in (*SHOWN, *SEARCHES) and name not in OPTIMIZERS
]


def moved(tx, options, gradients, params, state):
    """Return the parameters and the state after a step."""
    given, examples = options.get("extras") or {}, options.get("examples")
    if examples is not None:
        gradients = gx.tree.batch_shape(gradients, (examples,))
    extras = given(params) if callable(given) else given
    updates, state = tx.update(gradients, state, params, **extras)
    return gx.apply_updates(params, updates), state


def outcome(tx, options, params, scales):
    """Return a sum over the parameters after as many steps as there are scales of gradients."""
    state = tx.init(params)
    for scale in scales:
        gradients = jax.tree.map(lambda p, s=scale: s * p, PARAMS)
        params, state = moved(tx, options, gradients, params, state)
    return sum(jnp.sum(p) for p in jax.tree.leaves(params))


def check(name):
    """The derivatives by all numbers, the first parameters and each gradient are finite."""
    tx, options = CASES[name].make(), CASES[name].options

    @jax.jit
    @jax.grad
    def slopes(variables):
        numbers, params, scales = variables
        return outcome(rebuilt(tx, numbers) if numbers else tx, options, params, scales)

    for scales in ([0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, -1.0, 0.5]):
        found = slopes((numbers_of(tx), PARAMS, [jnp.float32(s) for s in scales]))
        for path, slope in jax.tree.leaves_with_path(found):
            where = jax.tree_util.keystr(path)
            assert bool(jnp.all(jnp.isfinite(slope))), f"{where} is {slope} at {scales}"


def check_long(name):
    """They are finite over many steps, too, where an entry stays at the zero of its gradient."""
    tx, options = CASES[name].make(), CASES[name].options
    start = {"w": jnp.array([[1.0, 0.0], [0.5, 0.0]]), "b": jnp.zeros(3)}

    @jax.jit
    @jax.grad
    def slopes(variables):
        numbers, params = variables
        used = rebuilt(tx, numbers) if numbers else tx

        def move(carry, _):
            params, state = carry
            gradients = jax.tree.map(lambda p: -0.1 * p, params)  # many add their updates
            return moved(used, options, gradients, params, state), None

        carry = params, used.init(params)
        (params, _), _ = jax.lax.scan(move, carry, length=MANY_STEPS)
        return sum(jnp.sum(p) for p in jax.tree.leaves(params))

    for path, slope in jax.tree.leaves_with_path(slopes((numbers_of(tx), start))):
        where = jax.tree_util.keystr(path)
        assert bool(jnp.all(jnp.isfinite(slope))), f"{where} is {slope}"


@pytest.mark.parametrize("name", SHOWN)
def test_derivatives_are_finite(name):
    check(name)


@pytest.mark.parametrize("name", ["scale_by_adam", "scale_by_factored_rms"])
def test_derivatives_over_many_steps_are_finite(name):
    check_long(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", REST)
def test_derivatives_of_the_rest_are_finite(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in (*SHOWN, *REST) if name not in GROWING])
def test_derivatives_of_the_rest_over_many_steps_are_finite(name):
    check_long(name)
