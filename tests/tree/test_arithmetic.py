"""Elementwise arithmetic: None, dtypes, structures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import tree

X = {"a": jnp.asarray([1.0, -2.0]), "b": (jnp.asarray(3.0), None)}
Y = {"a": jnp.asarray([4.0, 5.0]), "b": (jnp.asarray(-6.0), None)}


def same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize(
    ("got", "a", "b"),
    [
        (tree.add(X, Y), [5.0, 3.0], -3.0),
        (tree.add(X, Y, X), [6.0, 1.0], 0.0),
        (tree.sub(X, Y), [-3.0, -7.0], 9.0),
        (tree.mul(X, Y), [4.0, -10.0], -18.0),
        (tree.div(X, Y), [0.25, np.float32(-2) / np.float32(5)], -0.5),
        (tree.scale(2, X), [2.0, -4.0], 6.0),
        (tree.scale(jnp.float32(0.5), X), [0.5, -1.0], 1.5),
        (tree.add_scale(X, -2.0, Y), [-7.0, -12.0], 15.0),
        (tree.clip(X, -1.0, 2), [1.0, -1.0], 2.0),
        (tree.clip(X, max_value=0.0), [0.0, -2.0], 0.0),
        (tree.conj(X), [1.0, -2.0], 3.0),
        (tree.real(X), [1.0, -2.0], 3.0),
        (tree.where(True, X, Y), [1.0, -2.0], 3.0),
        (tree.where({"a": jnp.asarray([True, False]), "b": False}, X, Y), [1.0, 5.0], -6.0),
    ],
)
def test_values(got, a, b):
    same(got, {"a": np.float32(a), "b": (np.float32(b), None)})


def test_none_in_one_tree_leaves_nothing():
    assert tree.add({"a": None, "b": 1.0}, {"a": jnp.ones(2), "b": 2.0})["a"] is None
    assert tree.add_scale({"a": jnp.ones(2)}, 0.1, {"a": None}) == {"a": None}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.complex64])
@pytest.mark.parametrize("scalar", [0.1, jnp.float32(0.1), jnp.bfloat16(0.1), np.float64(0.1)])
def test_scale_keeps_the_dtype(dtype, scalar):
    x = jnp.asarray([1.0, 300.0], dtype)
    got = jax.jit(tree.scale)(scalar, {"x": x})["x"]
    assert got.dtype == dtype
    assert got[1] == pytest.approx(30.0, rel=0.01)
    assert tree.add_scale({"x": x}, scalar, {"x": jnp.ones(2)})["x"].dtype == dtype


def test_add_scale_rounds_once():
    """1 + 0.75 * 2^-7 rounds to 1 + 2^-7 in bfloat16, if the product was not rounded before."""
    x, y = jnp.asarray(1.0, jnp.bfloat16), jnp.asarray(0.0087890625, jnp.bfloat16)
    assert tree.add_scale(x, 0.7, y) == jnp.bfloat16(1 + 0.7 * 0.0087890625)


def test_integers_and_complex_scalars():
    assert tree.scale(2, jnp.asarray(3)).dtype == jnp.int32
    assert tree.scale(0.5, jnp.asarray(3)) == 1.5
    assert tree.scale(1j, jnp.asarray(2.0)) == 2j
    assert tree.conj(jnp.asarray(1 + 2j)) == 1 - 2j
    assert tree.real(jnp.asarray(1 + 2j)) == 1.0


def test_structures_must_match():
    with pytest.raises(ValueError, match=r"tree.add: .*must have the same tree structure.*'c'"):
        tree.add({"a": 1.0, "c": 2.0}, {"a": 1.0})


def test_under_jit_vmap_and_grad():
    stacked = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), X)
    got = jax.vmap(lambda x: tree.add_scale(x, 0.5, Y))(stacked)
    np.testing.assert_allclose(got["a"], [[3.0, 0.5], [4.0, -1.5]])
    slope = jax.jit(jax.grad(lambda s: tree.sum(tree.scale(s, X))))(0.3)
    assert slope == 2.0
