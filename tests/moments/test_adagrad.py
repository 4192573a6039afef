"""Adagrad: the sum of all squares."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


def adagrad(start, eps, inside):
    def loop(w, gradients):
        s = np.full_like(w, start)
        for g in gradients:
            s = s + g**2
            w = w + g / (np.sqrt(s + eps) if inside else np.sqrt(s) + eps)
            yield w

    return loop


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("start", [0.0, 0.7])
def test_formula(start, inside):
    tx = gradtx.scale_by_rss(start, 1e-4, eps_in_sqrt=inside)
    check_formula(tx, adagrad(start, 1e-4, inside))


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("start", [0.0, 0.7])
def test_is_a_cell_of_the_grid(start, inside):
    cell = gradtx.parallel(
        gradtx.identity(),
        gradtx.root_sum_square(1e-4, initial_accumulator_value=start, eps_in_sqrt=inside),
        merge=gradtx.divide,
    )
    check_formula(cell, adagrad(start, 1e-4, inside))


@pytest.mark.parametrize("inside", [False, True])
def test_zero_where_the_sum_is_zero(inside):
    tx = gradtx.scale_by_rss(0.0, eps=0.0, eps_in_sqrt=inside)
    u, _ = tx.update(jnp.asarray([0.0, 2.0]), tx.init(jnp.zeros(2)))
    np.testing.assert_array_equal(u, [0.0, 1.0])
