"""Trees like other trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import tree

X = {
    "f": jnp.asarray([1.5, 2.5], jnp.bfloat16),
    "c": jnp.asarray([1 + 2j]),
    "i": jnp.asarray([1, 2]),
    "k": jax.random.key(0),
    "n": None,
}
ARRAYS = {name: X[name] for name in "fcin"}


@pytest.mark.parametrize(
    "make", [tree.zeros_like, tree.ones_like, lambda t, **k: tree.full_like(t, 3, **k)]
)
def test_filled(make):
    value = int(make(jnp.zeros([])))
    for given in (ARRAYS, jax.eval_shape(lambda: ARRAYS)):
        filled = make(given)
        assert filled["n"] is None
        for name in "fci":
            assert filled[name].dtype == ARRAYS[name].dtype and not filled[name].weak_type
            assert filled[name].shape == ARRAYS[name].shape and np.all(filled[name] == value)
        assert {make(given, dtype=jnp.float32)[name].dtype for name in "fci"} == {np.dtype("f4")}


def test_zeros_share_no_memory():
    zeros = tree.zeros_like({"a": jnp.ones(8), "b": jnp.ones(8)})
    assert zeros["a"].unsafe_buffer_pointer() != zeros["b"].unsafe_buffer_pointer()


def test_zeros_have_the_sharding(mesh):
    sharding = jax.NamedSharding(mesh, jax.P("data"))
    x = jax.device_put(jnp.ones((8, 4)), sharding)
    assert tree.zeros_like({"x": x})["x"].sharding.is_equivalent_to(sharding, 2)


def test_cast_leaves_integers_and_keys_alone():
    for dtype in (jnp.float32, "float32", np.dtype("float32")):
        got = tree.cast(X, dtype)
        assert (got["f"].dtype, got["c"].dtype, got["i"].dtype) == ("float32", "complex64", "int32")
        assert got["k"] is X["k"] and got["i"] is X["i"] and got["n"] is None
    assert tree.cast(X, jnp.float16)["c"].dtype == jnp.complex64
    assert tree.cast(X, None) is X
    with pytest.raises(TypeError, match="`dtype` must be a real floating-point dtype"):
        tree.cast(X, jnp.int32)


def test_cast_like():
    like = {"f": jnp.float32(0), "c": jnp.float32(0), "i": jnp.float32(0), "k": 1.0, "n": None}
    got = tree.cast_like(X, like)
    assert (got["f"].dtype, got["c"].dtype, got["i"].dtype) == ("float32", "complex64", "int32")
    assert got["k"] is X["k"]
    shapes = jax.eval_shape(lambda: {"f": jnp.zeros(2, jnp.float16)})
    assert tree.cast_like({"f": X["f"]}, shapes)["f"].dtype == jnp.float16
    assert tree.cast_like({"f": 1.0}, {"f": 1 + 1j})["f"].dtype == jnp.complex64


def test_keys_depend_on_the_path_alone(key):
    small = tree.split_key_like(key, {"a": 1.0, "c": {"d": 2.0}})
    large = tree.split_key_like(key, {"a": 1.0, "b": 5.0, "c": {"d": 2.0, "e": 1.0}, "n": None})
    assert jnp.all(small["c"]["d"] == large["c"]["d"]) and jnp.all(small["a"] == large["a"])
    assert large["n"] is None
    data = [tuple(jax.random.key_data(k).tolist()) for k in jax.tree.leaves(large)]
    assert len(set(data)) == 4


def test_random_like(key):
    like = {"a": jnp.ones((3, 4), jnp.bfloat16), "b": jnp.ones(5), "z": jnp.ones(3, jnp.complex64)}
    got = tree.random_like(key, like)
    assert jax.tree.map(jnp.shape, got) == jax.tree.map(jnp.shape, like)
    assert [x.dtype for x in got.values()] == [x.dtype for x in like.values()]
    assert not np.array_equal(got["a"][0], got["a"][1])
    again = jax.jit(tree.random_like)(key, like)
    np.testing.assert_allclose(got["b"], again["b"], rtol=1e-6)
    signs = tree.random_like(key, like, jax.random.rademacher, dtype=jnp.float32)
    assert set(np.unique(signs["a"])) <= {-1.0, 1.0} and signs["z"].dtype == jnp.float32
    assert tree.random_like(key, {"n": None}) == {"n": None}
