"""Tests of gradtx/plot/_trajectory.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx import plot
from gradtx.testing.problems import toy


def test_gradient_descent_on_the_toy_problem_in_closed_form():
    problem, rate, steps = toy(), 0.3, 7
    path = plot.trajectory(gx.sgd(rate), problem.function, problem.start, steps)
    t = np.arange(steps + 1)[:, None]
    expected = np.asarray(problem.start) * (1.0 - rate * np.array([0.2, 4.0])) ** t
    assert path.shape == (steps + 1, 2)
    np.testing.assert_allclose(path, expected, rtol=1e-5)


def test_vmap_over_the_learning_rate():
    problem = toy()

    def last(rate):
        return plot.trajectory(gx.adam(rate), problem.function, problem.start, 5)[-1]

    rates = jnp.asarray([0.01, 0.1])
    together = jax.jit(jax.vmap(last))(rates)
    np.testing.assert_allclose(together, [last(0.01), last(0.1)], rtol=1e-5)


def test_value_and_function_reach_the_optimizer():
    seen = {}

    class Spy:
        def init(self, params):
            return ()

        def step(self, grads, state, params, **extra):
            seen.update(extra)
            return params - 0.1 * grads, state

    def function(x):
        return jnp.sum(x**2)

    plot.trajectory(Spy(), function, (1.0, 2.0), 1)
    assert seen["value_fn"] is function and seen["value"].shape == () and seen["grad"].shape == (2,)


def test_start_in_whole_numbers():
    assert plot.trajectory(gx.sgd(0.1), toy().function, (3, 4), 1).dtype == jnp.float32


@pytest.mark.parametrize(
    ("start", "steps", "message"),
    [
        ((1.0, 2.0), 0, "`steps` must be at least 1, but is 0"),
        (1.0, 3, r"`start` must be one point of shape \(n,\), but has shape \(\)."),
    ],
)
def test_errors(start, steps, message):
    with pytest.raises(ValueError, match=message):
        plot.trajectory(gx.sgd(0.1), toy().function, start, steps)
