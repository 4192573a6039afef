"""Operators of params that are split over devices, by automatic and by explicit axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from gradtx import curvature

ENTRIES = np.arange(1.0, 17.0, dtype=np.float32).reshape(2, 8)


def loss(w, entries):
    return jnp.sum(entries * w**2) / 2


@pytest.mark.parametrize(
    "kind", [pytest.param(AxisType.Auto, marks=pytest.mark.slow), AxisType.Explicit]
)
@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        pytest.param((8,), P(), marks=pytest.mark.slow),
        pytest.param((8,), P(None, "a"), marks=pytest.mark.slow),
        ((2, 4), P(None, "b")),
    ],
)
def test_eigenvalues_and_trace(kind, shape, spec):
    mesh = jax.make_mesh(shape, ("a", "b")[: len(shape)], axis_types=(kind,) * len(shape))
    place = NamedSharding(mesh, spec)
    with jax.set_mesh(mesh):
        w, entries = (jax.device_put(x, place) for x in (np.ones_like(ENTRIES), ENTRIES))
        A = curvature.hessian(loss, w, entries)
        found = curvature.eigenvalues(A, 1, vectors=True, multiplicity=False)
        traced = jax.jit(lambda w: curvature.trace(curvature.hessian(loss, w, entries), 0, 2))(w)
        outside = curvature.trace(A, 0, 2)
    assert found.values[0] == pytest.approx(16.0, rel=1e-4)
    assert found.vectors is not None and found.vectors[0].sharding.is_equivalent_to(place, 2)
    for estimate in (traced, outside):
        assert float(estimate.value) == pytest.approx(136.0, rel=1e-5)
