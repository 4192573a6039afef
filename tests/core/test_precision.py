"""Arithmetic and accumulators are float32 or wider, updates have their gradient's dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

NARROW = ("bfloat16", "float16")


def ones(dtype):
    return {"w": jnp.ones((2, 3), dtype)}


@pytest.mark.parametrize("dtype", NARROW)
def test_accumulators_of_narrow_params_are_float32(dtype):
    params = ones(dtype)
    state = gx.scale_by_adam().init(params)
    assert state.mu["w"].dtype == state.nu["w"].dtype == jnp.float32
    assert state.count.dtype == jnp.int32


@pytest.mark.parametrize("param", ["float32", *NARROW])
@pytest.mark.parametrize("gradient", ["float32", *NARROW])
def test_updates_have_the_gradients_dtype(param, gradient):
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))
    params, grads = ones(param), ones(gradient)
    updates, _ = tx.update(grads, tx.init(params), params)
    assert updates["w"].dtype == gradient
    assert gx.apply_updates(params, updates)["w"].dtype == param


def test_second_moment_of_bfloat16_does_not_stall():
    """0.999 v + 0.001 rounds back to v in bfloat16, which stops at half of what it should be."""
    tx = gx.scale_by_adam()
    states = {}
    for dtype in ("bfloat16", "float32"):
        params = ones(dtype)
        run = jax.jit(
            lambda p: jax.lax.scan(
                lambda state, _: (tx.update(p, state, p)[1], None), tx.init(p), length=5000
            )[0]
        )
        states[dtype] = run(params)
    nu = states["bfloat16"].nu["w"]
    np.testing.assert_allclose(nu, 1 - 0.999**5000, rtol=1e-2)
    np.testing.assert_array_equal(nu, states["float32"].nu["w"])


def test_chain_rounds_once():
    """Between rules the update is float32: scaling down and up again loses nothing."""
    tx = gx.chain(gx.scale(1 / 3), gx.scale(3.0))
    grads = {"w": jnp.linspace(0.1, 1, 64).astype("bfloat16")}
    updates, _ = tx.update(grads, tx.init(grads))
    np.testing.assert_array_equal(updates["w"], grads["w"])


def test_float16_gradient_of_300():
    """Its square is more than float16 can hold."""
    params = {"w": jnp.zeros(4, jnp.float16)}
    grads = {"w": jnp.full(4, 300.0, jnp.float16)}
    clipped, _ = gx.clip_by_global_norm(60.0).update(grads, gx.EmptyState())
    np.testing.assert_allclose(clipped["w"], np.full(4, 30.0), rtol=1e-3)
    tx = gx.adam(0.1)
    updates, _ = tx.update(grads, tx.init(params), params)
    np.testing.assert_allclose(updates["w"], np.full(4, -0.1), rtol=1e-3)


def test_float16_zero_gradient():
    """An eps of 1e-8 is 0 in float16."""
    params = {"w": jnp.ones(4, jnp.float16)}
    tx = gx.adam(0.1)
    updates, _ = tx.update({"w": jnp.zeros(4, jnp.float16)}, tx.init(params), params)
    np.testing.assert_array_equal(updates["w"], np.zeros(4))


def test_decay_is_not_rounded_to_the_params_dtype():
    """0.999 is 1 in bfloat16, and 1 - 1^t is 0."""
    params = ones("bfloat16")
    tx = gx.scale_by_adam(b2=jnp.float32(0.999))
    updates, _ = tx.update(params, tx.init(params), params)
    np.testing.assert_allclose(updates["w"].astype(float), np.ones((2, 3)), rtol=1e-2)


@pytest.mark.parametrize("rate", [0.1, np.float32(0.1), np.float64(0.1), jnp.bfloat16(0.1)])
def test_dtype_of_a_number_does_not_matter(rate):
    params = ones("bfloat16")
    tx = gx.sgd(rate)
    updates, _ = tx.update(params, tx.init(params), params)
    assert updates["w"].dtype == jnp.bfloat16
    np.testing.assert_allclose(updates["w"].astype(float), -0.1 * np.ones((2, 3)), rtol=1e-2)


def test_state_dtype_can_be_chosen():
    params = {"w": jnp.ones(3, jnp.bfloat16), "z": jnp.ones(3, jnp.complex64)}
    tx = gx.with_state_dtype(gx.adam(0.1), mu="bfloat16")
    state = tx.init(params)
    adam = state[0]
    assert adam.mu["w"].dtype == jnp.bfloat16
    assert adam.mu["z"].dtype == jnp.complex64  # there is no narrower complex dtype
    assert adam.nu["w"].dtype == jnp.float32
    _, state = tx.update(params, state, params)
    assert state[0].mu["w"].dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="no rule has a per-parameter field `m`"):
        gx.with_state_dtype(gx.adam(0.1), m="bfloat16")
    with pytest.raises(
        TypeError, match="`mu` must be a floating-point dtype such as 'bfloat16', but is 'half '"
    ):
        gx.with_state_dtype(gx.adam(0.1), mu="half ")


def test_update_sees_the_moment_as_it_is_stored():
    """So a saved state continues exactly, and XLA need not keep two versions."""
    params = {"w": jnp.full(3, 0.1)}
    tx = gx.with_state_dtype(gx.ema(0.7, debias=False), ema="bfloat16")
    updates, state = tx.update(params, tx.init(params))
    np.testing.assert_array_equal(updates["w"], state.ema["w"].astype("float32"))


def test_float64_stays_float64_and_float32_does_not_become_it():
    with jax.enable_x64(True):
        params = {"w": jnp.ones(3, "float32"), "d": jnp.ones(3, "float64")}
        tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))
        updates, state = tx.update(params, tx.init(params), params)
        assert updates["w"].dtype == state[1][0].mu["w"].dtype == jnp.float32
        assert updates["d"].dtype == state[1][0].mu["d"].dtype == jnp.float64
        np.testing.assert_allclose(updates["d"], -0.1 * (1 + 1e-4) * np.ones(3), rtol=1e-7)


def test_complex_params():
    """The second moment of a complex array is real and counts both parts."""
    z = jnp.array([3 + 4j, 0, -1j], jnp.complex64)
    tx = gx.scale_by_adam()
    updates, state = tx.update({"z": z}, tx.init({"z": z}))
    assert state.nu["z"].dtype == jnp.float32
    assert state.mu["z"].dtype == jnp.complex64
    np.testing.assert_allclose(state.nu["z"], 1e-3 * np.array([25, 0, 1]), rtol=1e-5)
    np.testing.assert_allclose(updates["z"], [0.6 + 0.8j, 0, -1j], rtol=1e-5)


def test_norm_of_a_complex_tree():
    grads = {"z": jnp.array([3 + 4j])}
    clipped, _ = gx.clip_by_global_norm(1.0).update(grads, gx.EmptyState())
    np.testing.assert_allclose(clipped["z"], [0.6 + 0.8j], rtol=1e-6)


def test_apply_rounds_the_sum_once():
    params = {"w": jnp.full(3, 256.0, jnp.bfloat16)}
    moved = gx.apply_updates(params, {"w": jnp.full(3, 1.5)})
    np.testing.assert_array_equal(moved["w"].astype(float), np.full(3, 258.0))


def test_float64_of_numpy_without_x64():
    """JAX has no float64 then: no warning, which here would be an error."""
    for tx in (gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1)), gx.schedule_free_sgd(0.1)):
        params = {"w": np.ones(3), "z": np.ones(2, complex), "s": np.float64(2.0)}
        state, grads = tx.init(params), params
        for _ in range(2):
            updates, _ = tx.update(grads, state, params)
            assert gx.apply_updates(params, updates)["w"].dtype == jnp.float32
            params, state = tx.step(grads, state, params)
        assert jax.tree.map(lambda p: p.dtype.name, params) == {
            "w": "float32",
            "z": "complex64",
            "s": "float32",
        }
