"""Centring of gradients."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_formula(shape):
    def loop(w, gradients):
        for g in gradients:
            rows = g.reshape(g.shape[0], -1)
            w = w + (rows - rows.mean(axis=1, keepdims=True)).reshape(g.shape)
            yield w

    check_formula(gradtx.centralize(), loop, shape=shape, tolerance=1e-11)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_vectors_pass_unchanged(shape):
    g = {"w": jnp.full(shape, 2.0)}
    u, _ = gradtx.centralize().update(g, gradtx.EmptyState())
    assert np.array_equal(u["w"], g["w"])
