"""Specs split further over a mesh axis."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from gradtx.sharding import spread

MESH = AbstractMesh((2, 4), ("data", "model"))


def spread_one(shape, spec, over="data", **options):
    return spread(jax.ShapeDtypeStruct(shape, jnp.float32), over, spec, MESH, **options)


@pytest.mark.parametrize(
    ("shape", "spec", "over", "expected"),
    [
        ((8, 16), P(), "data", P(None, "data")),  # the longest axis
        ((16, 16), P(), "data", P("data")),  # the first of two as long
        ((8, 16), P(None, "model"), "data", P("data", "model")),  # one that is not split yet
        ((3, 16), P(None, "model"), "data", P(None, ("model", "data"))),  # else one that is
        ((3, 12), P(None, "model"), "data", P(None, "model")),  # parts of 3 do not come out even
        ((8, 3), P(), ("data", "model"), P(("data", "model"))),
        ((8, 16), P("data"), "data", P("data")),  # split over it already
        ((8, 16), P("data"), ("data", "model"), P("data", "model")),
        ((), P(), "data", P()),
        ((0, 4), P(), "data", P(None, "data")),
    ],
)
def test_spread(shape, spec, over, expected):
    assert spread_one(shape, spec, over) == expected


def test_small_arrays_keep_their_spec():
    assert spread_one((8,), P(), min_size=9) == P()
    assert spread_one((8,), P(), min_size=8) == P("data")


def test_specs_are_read_off_the_parameters(mesh):
    w = jax.device_put(jnp.ones((8, 16)), jax.NamedSharding(mesh, P(None, "model")))
    assert spread({"w": w, "i": 3, "n": None}, "data", mesh=mesh) == {
        "w": P("data", "model"),
        "i": P(),
        "n": P(),
    }


def test_messages():
    with pytest.raises(ValueError, match="spread needs a mesh: give it, or call inside"):
        spread(jnp.ones(8), "data")
    with pytest.raises(ValueError, match=r"'rows' must be an axis of the mesh"):
        spread_one((8,), P(), "rows")
    with pytest.raises(ValueError, match=r"splits an axis of length 6 in 4 parts"):
        spread_one((6,), P("model"))
    with pytest.raises(ValueError, match=r"has 2 entries for 1 axes"):
        spread_one((8,), P(None, "model"))
    with pytest.raises(ValueError, match=r"names the mesh axis 'model' twice"):
        spread_one((8, 8), P("model", "model"))
    with pytest.raises(TypeError, match=r"`mesh` must be a mesh of JAX"):
        spread(jnp.ones(8), "data", mesh=(2, 4))
