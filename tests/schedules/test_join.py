"""Joined schedules and values given step by step."""

import jax.numpy as jnp
import numpy as np

import gradtx as gx


def test_each_piece_sees_its_own_steps():
    seen = []

    def later(step):
        seen.append(step)
        return 0.5

    schedule = gx.join_schedules([0.1, later], [10])
    assert [schedule(9), schedule(10), schedule(12)] == [0.1, 0.5, 0.5]
    assert seen == [0, 0, 2] and all(type(step) is int for step in seen)


def test_equal_boundaries_leave_a_piece_out():
    schedule = gx.join_schedules([0.1, 0.2, 0.3], [5, 5])
    assert [schedule(4), schedule(5)] == [0.1, 0.3]


def test_pieces_need_not_be_finite_elsewhere():
    """A piece is only asked for steps from its own 0 on."""
    schedule = gx.join_schedules([1.0, gx.inverse_sqrt_schedule(1.0, 1.0, 1e-3)], [3])
    assert np.all(np.isfinite(schedule(np.arange(5))))
    assert np.isfinite(schedule(jnp.int32(0)))


def test_order_of_the_dict_does_not_matter():
    a = gx.piecewise_constant_schedule(1.0, {5: 0.5, 9: 0.1})
    b = gx.piecewise_constant_schedule(1.0, {9: 0.1, 5: 0.5})
    assert a(np.arange(12)).tolist() == b(np.arange(12)).tolist()
    assert a(9) == 1.0 * 0.5 * 0.1


def test_interpolation_between_the_products():
    schedule = gx.piecewise_interpolate_schedule("linear", 1.0, {4: 0.1, 8: 0.01})
    np.testing.assert_allclose(
        schedule(np.array([0, 2, 4, 6, 8, 10])), [1, 0.55, 0.1, 0.0505, 0.001, 0.001], rtol=1e-14
    )


def test_first_boundary_at_0_is_finite():
    for kind in ("linear", "cosine"):
        schedule = gx.piecewise_interpolate_schedule(kind, 1.0, {0: 0.5, 4: 0.1})
        values = [float(schedule(jnp.int32(k))) for k in range(6)]
        assert np.all(np.isfinite(values)) and values[0] == 0.5
