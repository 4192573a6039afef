"""SM3 against its algorithm."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

B1, EPS = 0.83, 1e-4


def sm3(b2):
    """Return the loop of SM3-II, with one cover for every axis."""

    def loop(w, gradients):
        nu, axes = 0.0, range(w.ndim)
        mu = [np.zeros(n) for n in w.shape]
        for g in gradients:
            least = np.minimum.reduce(
                [mu[i].reshape([-1 if j == i else 1 for j in axes]) + 0 * g for i in axes]
            )
            v = b2 * least + (1.0 if b2 == 1.0 else 1 - b2) * g**2
            mu = [v.max(axis=tuple(j for j in axes if j != i)) for i in axes]
            nu = B1 * nu + (1 - B1) * np.where(v > 0, g / np.sqrt(v + EPS), 0.0)
            w = w + nu
            yield w

    return loop


@pytest.mark.parametrize("b2", [1.0, 0.9])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_formula(shape, b2):
    check_formula(gradtx.scale_by_sm3(B1, b2, EPS), sm3(b2), shape=shape)


def test_a_vector_has_adagrad():
    g = {"w": jnp.array([3.0, -4.0])}
    tx = gradtx.scale_by_sm3(b1=0.0, eps=0.0)
    state = tx.init(g)
    for t in (1, 2, 3):
        u, state = tx.update(g, state)
        np.testing.assert_allclose(u["w"], np.array([1.0, -1.0]) / np.sqrt(t), rtol=1e-6)


def test_state_is_one_vector_for_each_axis():
    state = gradtx.scale_by_sm3().init({"w": jnp.ones((3, 4, 5), jnp.complex64), "s": jnp.ones(())})
    assert [x.shape for x in state.mu["w"]] == [(3, 1, 1), (1, 4, 1), (1, 1, 5)]
    assert [x.shape for x in state.mu["s"]] == [()]
    assert {x.dtype for x in state.mu["w"]} == {np.dtype(np.float32)}


def test_covers_bound_the_sum_of_squares():
    rng = np.random.default_rng(0)
    params, total = {"w": jnp.zeros((3, 4))}, np.zeros((3, 4))
    tx = gradtx.scale_by_sm3()
    state = tx.init(params)
    for _ in range(10):
        g = rng.normal(size=(3, 4)).astype(np.float32)
        total += g**2
        _, state = tx.update({"w": jnp.asarray(g)}, state)
        rows, columns = state.mu["w"]
        assert np.all(np.minimum(rows, columns) >= total * (1 - 1e-5))
