"""Optimistic gradients against their formula, and on the game they were made for."""

import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.testing import check_formula


def test_formula():
    alpha, beta = 0.7, 1.9

    def loop(w, gradients):
        before = gradients[0]
        for g in gradients:
            w, before = w + (alpha + beta) * g - beta * before, g
            yield w

    check_formula(gradtx.scale_by_optimistic_gradient(alpha, beta), loop, tolerance=1e-11)


def test_weights_may_be_schedules():
    def weight(count):
        return 1.0 + count.astype(float)

    tx = gradtx.scale_by_optimistic_gradient(weight, weight)
    g = {"w": jnp.ones(1)}
    state, seen = tx.init(g), []
    for k in (1.0, 2.0, 4.0):
        u, state = tx.update({"w": jnp.full(1, k)}, state)
        seen.append(float(u["w"][0]))
    assert seen == [1.0, 2 * (2.0 + 1.0), 3 * (4.0 + 2.0)]


def test_bilinear_game_converges_where_descent_circles():
    """min over x, max over y of x y: the gradients to follow are (y, -x)."""
    distance = {}
    for tx in (gradtx.optimistic_gradient_descent(0.3), gradtx.sgd(0.3)):
        point = np.array([1.0, 1.0], np.float32)
        state = tx.init(jnp.asarray(point))
        for _ in range(200):
            u, state = tx.update(jnp.array([point[1], -point[0]]), state)
            point = point + np.asarray(u)
        distance[tx.description.name] = np.linalg.norm(point)
    assert distance["optimistic_gradient_descent"] < 1e-2
    assert distance["sgd"] > 10
