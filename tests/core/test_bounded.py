"""Derivatives through many steps: a slope of 1 / eps at each must not end in nan."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core.bounded import bounded
from gradtx.numerics import divide, root

LARGEST = {"float32": 2.0**96, "float64": 2.0**992}


def final_sum(make, rate, steps, start=(1.0, 0.0)):
    """Return the sum of the parameters of a parabola, of which one starts at the minimum."""
    tx, w = make(rate), jnp.asarray(start)

    def move(carry, _):
        w, state = carry
        return tx.step(w, state, w), None

    (w, _), _ = jax.lax.scan(move, (w, tx.init(w)), length=steps)
    return jnp.sum(w)


@pytest.mark.parametrize("make", [gx.adam, gx.adafactor])
def test_reverse_mode_agrees_with_forward_mode(make):
    run = functools.partial(final_sum, make, steps=30)
    np.testing.assert_allclose(jax.grad(run)(0.01), jax.jacfwd(run)(0.01), rtol=1e-4)


def test_derivatives_below_the_bound_are_those_of_the_formula(x64):
    """In float64 the slope by an entry at 0 is a power of rate / eps, up to 2^992."""
    slope = jax.grad(lambda w: final_sum(gx.adam, 0.01, 5, w))(jnp.array([1.0, 0.0]))[1]
    forward = jax.jvp(
        lambda x: final_sum(gx.adam, 0.01, 5, jnp.stack([1.0, x])),
        (jnp.array(0.0),),
        (jnp.array(1.0),),
    )[1]
    np.testing.assert_allclose(slope, forward, rtol=1e-12)
    assert abs(slope) > 1e25


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bound(x64, dtype):
    big = jnp.asarray([np.finfo(dtype).max, -np.inf, 3.0, 0.0], dtype)
    (back,) = jax.vjp(bounded, jnp.zeros_like(big))[1](big)
    np.testing.assert_allclose(back, [LARGEST[dtype], -LARGEST[dtype], 3.0, 0.0], rtol=1e-6)
    assert bool(jnp.isnan(jax.vjp(bounded, 0.0)[1](jnp.asarray(np.nan, float))[0]))
    forward = jax.jvp(bounded, (jnp.zeros_like(big),), (big,))[1]
    np.testing.assert_array_equal(forward, big)


def test_it_is_mapped_and_of_complex_numbers():
    z = jnp.asarray([[1e38 + 1j, 2.0 - 1e38j]], jnp.complex64)
    (back,) = jax.vmap(lambda c: jax.vjp(bounded, jnp.zeros_like(c))[1](c))(z)
    np.testing.assert_allclose(back, [[2.0**96 + 1j, 2.0 - 2.0**96 * 1j]], rtol=1e-6)


def quotient(x):
    """Return g / (sqrt(g^2) + eps), summed."""
    return jnp.sum(divide(x, root(x * x) + 1e-8))


def test_nothing_of_it_is_there_without_reverse_mode():
    x = jnp.ones(3)
    assert "bounded" not in jax.jit(quotient).lower(x).as_text()
    assert "clamp" not in jax.jit(jax.jacfwd(quotient)).lower(x).as_text()
    assert "bounded" not in str(jax.make_jaxpr(quotient)(x))


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_on_a_mesh(mesh, kind):
    x = jnp.zeros(8).at[0].set(1.0)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType[kind],))
    spec = jax.sharding.PartitionSpec("data")
    with jax.set_mesh(mesh):
        laid = jax.device_put(x, jax.NamedSharding(mesh, spec))
        slopes = jax.jit(jax.grad(quotient))(laid)
        shards = jax.jit(
            jax.shard_map(jax.grad(quotient), mesh=mesh, in_specs=spec, out_specs=spec)
        )(laid)
    np.testing.assert_allclose(slopes, jax.grad(quotient)(x), rtol=1e-6)
    np.testing.assert_allclose(shards, slopes, rtol=1e-6)


def test_second_derivatives_are_kept():
    x = jnp.array([0.0, 1e-9, 2.0])
    np.testing.assert_allclose(
        jnp.diag(jax.jacfwd(jax.jacrev(quotient))(x)),
        jnp.diag(jax.jacfwd(jax.jacfwd(quotient))(x)),
        rtol=1e-5,
    )
