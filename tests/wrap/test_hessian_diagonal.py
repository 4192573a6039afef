"""When the diagonal is estimated, and what reaches the transformation inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.array([1.0, 2.0]), "n": jnp.arange(2)}
GRADIENTS = {"w": jnp.ones(2), "n": None}


def loss(params):
    """Return a loss with the second derivatives 6 w."""
    return jnp.sum(params["w"] ** 3)


def see(updates, state, params, hessian_diagonal, hessian_is_fresh):
    """Return as the update the diagonal, and -1 more where it is fresh."""
    del updates, params
    return jax.tree.map(lambda d: d - hessian_is_fresh.astype(d.dtype), hessian_diagonal), state


SEE = (lambda params: (), see)


@pytest.mark.parametrize("jit", [False, True])
def test_every_third_step_has_an_estimate(jit):
    tx = gx.with_hessian_diagonal(SEE, every=3)

    def update(state):
        return tx.update(GRADIENTS, state, PARAMS, obj_fn=loss)

    update = jax.jit(update) if jit else update
    state, seen = tx.init(PARAMS), []
    keys = []
    for _ in range(5):
        u, state = update(state)
        seen.append(u["w"])
        keys.append(tuple(jax.random.key_data(state.estimator_state.key).tolist()))
    fresh, stale = [5.0, 11.0], [0.0, 0.0]
    np.testing.assert_array_equal(seen, [fresh, stale, stale, fresh, stale])
    assert len(set(keys)) == 2
    assert state.count == 5


def test_without_an_estimate_the_loss_is_not_evaluated():
    calls = []

    def counted(params):
        calls.append(params)
        return loss(params)

    tx = gx.with_hessian_diagonal(SEE, every=3)
    state = tx.init(PARAMS)
    for expected in (1, 1, 1, 2):
        _, state = tx.update(GRADIENTS, state, PARAMS, obj_fn=counted)
        assert len(calls) == expected


def test_an_estimator_is_a_transformation():
    """A chain with one, or a pair of functions from elsewhere with extra arguments of its own."""
    positive = gx.chain(
        gx.hutchinson_estimator_diag_hessian(),
        gx.stateless_with_tree_map(lambda d, p: jnp.abs(d)),
    )

    def given(updates, state, params, known):
        del updates, params
        return known, state

    for estimator, extra in (
        (positive, {"obj_fn": lambda p: -loss(p)}),
        ((lambda params: (), given), {"known": {"w": jnp.array([6.0, 12.0]), "n": None}}),
    ):
        tx = gx.with_hessian_diagonal(SEE, estimator)
        u, _ = tx.update(GRADIENTS, tx.init(PARAMS), PARAMS, **extra)
        np.testing.assert_array_equal(u["w"], [5.0, 11.0])


def test_other_extra_arguments_and_the_gradients_reach_what_is_inside():
    inner = gx.chain(gx.scale_by_polyak(), gx.scale_by_adahessian())
    tx = gx.with_hessian_diagonal(inner)
    u, state = tx.update(GRADIENTS, tx.init(PARAMS), PARAMS, obj_fn=loss, value=1.0)
    np.testing.assert_allclose(state.inner_state[1].mu["w"], 0.1 * np.full(2, 0.5), rtol=1e-6)
    np.testing.assert_allclose(u["w"], 0.5 / np.array([6.0, 12.0]), rtol=1e-3)


def test_the_diagonal_is_wide_and_real():
    params = {"w": jnp.ones(2, jnp.bfloat16), "z": jnp.ones(2, jnp.complex64)}
    seen = []

    def spy(updates, state, params, hessian_diagonal):
        seen.append(hessian_diagonal)
        return updates, state

    tx = gx.with_hessian_diagonal((lambda params: (), spy), every=2)
    state = tx.init(params)
    for _ in range(2):
        _, state = tx.update(
            params,
            state,
            params,
            obj_fn=lambda p: jnp.sum(jnp.abs(p["z"])) + jnp.sum(p["w"].astype("float32")),
        )
    assert {x.dtype for x in jax.tree.leaves(seen)} == {np.dtype("float32")}


def test_abstract_parameters_give_an_abstract_state():
    shapes = jax.eval_shape(lambda: PARAMS)
    tx = gx.with_hessian_diagonal(gx.scale_by_sophia(), every=2)
    state = tx.init(shapes)
    made = tx.init(PARAMS)
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(state))
    assert [x.dtype for x in jax.tree.leaves(state)] == [x.dtype for x in jax.tree.leaves(made)]


def test_messages():
    tx = gx.with_hessian_diagonal(gx.scale_by_sophia())
    state = tx.init(PARAMS)
    with pytest.raises(TypeError, match=r"needs the extra argument `obj_fn`.* `obj` was given"):
        tx.update(GRADIENTS, state, PARAMS, obj=loss)
    with pytest.raises(ValueError, match="with_hessian_diagonal needs the parameters"):
        tx.update(GRADIENTS, state, obj_fn=loss)
    with pytest.raises(ValueError, match="must be a WithHessianDiagonalState, but is a ScaleBySo"):
        tx.update(GRADIENTS, state.inner_state, PARAMS, obj_fn=loss)
    with pytest.raises(ValueError, match="`every` must be an integer in"):
        gx.with_hessian_diagonal(gx.scale_by_sophia(), every=0)
    with pytest.raises(
        TypeError, match="with_hessian_diagonal: every part must be a transformation"
    ):
        gx.with_hessian_diagonal(gx.scale_by_sophia(), "hutchinson")
