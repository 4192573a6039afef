"""Gradient descent against its stochastic estimates, on one convex problem with a known minimum."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import gradtx as gx
from gradtx import plot

from .data import Split
from .networks import cross_entropy

PENALTY = 0.1  # of the squared norm, halved: makes the minimum unique and its value computable


class Curve(NamedTuple):
    """Progress of one method."""

    epochs: np.ndarray  # gradients of single images so far, over the number of images
    gap: np.ndarray  # value on the whole training set above the smallest possible


def run(train: Split, epochs: int, tick: Callable[[], None] = lambda: None) -> dict[str, Curve]:
    """Softmax regression on the digits with all, one and 32 images a step."""
    inputs, labels = train.images.reshape(len(train.labels), -1), train.labels
    examples = len(labels)
    lowest = _minimum(inputs, labels)
    # The steepest curvature of softmax regression is at most half that of least squares.
    steepest = np.linalg.eigvalsh(inputs.T @ inputs / examples)[-1] / 2 + PENALTY
    gd_rate, sgd_rate = 1.0 / steepest, 0.3 / steepest
    half = 10 / (3 * PENALTY * sgd_rate)  # steps until the falling rate is half of what it was
    falling = gx.inverse_time_schedule(sgd_rate, timescale=half)
    methods = {
        f"GD: all {examples} images a step, lr {gd_rate:.2g}": (examples, gd_rate),
        f"mini-batch SGD: 32 images a step, lr {sgd_rate:.2g}": (32, sgd_rate),
        f"SGD: one image a step, lr {sgd_rate:.2g}": (1, sgd_rate),
        f"SGD: one image a step, lr {sgd_rate:.2g} / (1 + t / {half:.0f})": (1, falling),
    }
    curves = {}
    for name, (batch_size, rate) in methods.items():
        curves[name] = _follow(gx.sgd(rate), batch_size, inputs, labels, epochs, lowest)
        tick()
    return curves


def figure(curves: dict[str, Curve]) -> Figure:
    """All methods in one plot: value above the minimum against passes over the data."""
    return plot.history(
        {"f − f* on the training set": {name: curve.gap for name, curve in curves.items()}},
        steps={name: curve.epochs for name, curve in curves.items()},
        log=("f − f* on the training set",),
        log_x=True,
        xlabel="passes over the training set (gradients of single images / number of images)",
    )


def _follow(tx, batch_size, inputs, labels, epochs, lowest) -> Curve:
    examples = len(labels)
    total = epochs * examples // batch_size
    marks = np.unique(np.geomspace(1, total, 120).astype(int))

    @jax.jit
    def advance(params, state, first, last):
        def step(t, carry):
            params, state = carry
            if batch_size == examples:
                batch = inputs, labels
            else:
                key = jax.random.fold_in(jax.random.key(0), t)
                chosen = jax.random.randint(key, (batch_size,), 0, examples)
                batch = jnp.asarray(inputs)[chosen], jnp.asarray(labels)[chosen]
            return tx.step(jax.grad(_objective)(params, *batch), state, params)

        return jax.lax.fori_loop(first, last, step, (params, state))

    params = jnp.zeros((inputs.shape[1], 10))
    state, done, gaps = tx.init(params), 0, []
    for mark in marks:
        params, state = advance(params, state, done, int(mark))
        done = int(mark)
        gaps.append(_value_and_grad(np.asarray(params, float), inputs, labels)[0] - lowest)
    return Curve(marks * batch_size / examples, np.asarray(gaps))


def _objective(params, inputs, labels):
    return cross_entropy(inputs @ params, labels) + PENALTY / 2 * jnp.sum(params**2)


def _value_and_grad(params, inputs, labels):
    """The objective and its gradient in float64, to see gaps far below float32's resolution."""
    logits = inputs.astype(float) @ params
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    value = -log_p[rows, labels].mean() + PENALTY / 2 * np.sum(params**2)
    error = np.exp(log_p)
    error[rows, labels] -= 1.0
    return value, inputs.T.astype(float) @ error / len(labels) + PENALTY * params


def _minimum(inputs, labels) -> float:
    shape = inputs.shape[1], 10

    def flat(params):
        value, grad = _value_and_grad(params.reshape(shape), inputs, labels)
        return value, grad.ravel()

    found = minimize(
        flat,
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"gtol": 1e-12, "ftol": 1e-16, "maxiter": 2000},
    )
    return float(found.fun)
