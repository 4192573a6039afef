"""What must keep its shape, and the message when it does not."""

import jax
import jax.numpy as jnp
import pytest

import gradtx as gx

ADAM = gx.scale_by_adam()


def ones(*shape):
    return {"w": jnp.ones(shape)}


@pytest.mark.parametrize(
    ("held", "given"), [((2, 3), (3,)), ((2, 3), (4, 2, 3)), ((3,), (2, 3)), ((), (2,))]
)
def test_state_of_another_shape_is_refused_even_if_it_broadcasts(held, given):
    with pytest.raises(ValueError, match="its state field") as caught:
        ADAM.update(ones(*given), ADAM.init(ones(*held)))
    assert str(caught.value) == (
        "scale_by_adam: its state field `mu` must have the shape of the gradient, "
        f"float32{list(given)}, but is float32{list(held)}. "
        "Was the state made by init() of other parameters?"
    )
    assert any("['w']" in note for note in caught.value.__notes__)


def shrink(g, state, p, h):
    return g.sum(), state


def forget_state(g, state, p, h):
    return g


def shrink_state(g, state, p, h):
    return g, state._replace(mu=g.sum(), nu=g.sum())


def test_rule_must_return_an_update_of_the_shape_of_the_gradient():
    tx = gx.lift(gx.Rule(shrink))
    with pytest.raises(
        ValueError,
        match=r"shrink: the update must have the shape of the gradient, "
        r"\[2, 3\], but has \[\]\.",
    ):
        tx.update(ones(2, 3), tx.init(ones(2, 3)))


def test_rule_must_return_its_state():
    tx = gx.lift(gx.Rule(forget_state))
    with pytest.raises(TypeError, match=r"must return \(update, state\) with a EmptyState"):
        tx.update(ones(2, 3), tx.init(ones(2, 3)))


def test_state_must_keep_its_shape():
    tx = gx.lift(gx.Rule(shrink_state, state=gx.ScaleByAdamState))
    with pytest.raises(
        ValueError,
        match=r"the state field `mu` must keep its shape, float32\[2\], "
        r"but became float32\[\]",
    ):
        tx.update(ones(2), tx.init(ones(2)))


def whole(a, b):
    return (a + b).sum()


@pytest.mark.parametrize("first", [gx.identity(), gx.clip_by_global_norm(1.0)])
def test_merge_must_keep_the_shape(first):
    tx = gx.parallel(first, gx.identity(), merge=whole)
    with pytest.raises(ValueError, match="parallel: the result of `merge`"):
        tx.update(ones(3), tx.init(ones(3)))


def test_pair_must_keep_the_shape():
    tx = gx.chain(gx.stateless(lambda u, p: jax.tree.map(lambda x: x[:1], u)), gx.adam(0.1))
    with pytest.raises(
        ValueError,
        match=r"stateless: the update that it returned at \['w'\] must be "
        r"an array like the one given to it, float32\[3\], but is float32\[1\]",
    ):
        tx.update(ones(3), tx.init(ones(3)))


def test_pair_must_return_every_leaf():
    tx = gx.chain(gx.stateless(lambda u, p: {"w": None}), gx.scale(2.0))
    with pytest.raises(ValueError, match="but is NoneType None"):
        tx.update(ones(3), tx.init(ones(3)))


def test_pair_may_return_a_python_number_for_a_number():
    tx = gx.chain(gx.stateless(lambda u, p: {"w": 0.5}), gx.scale(2.0))
    assert tx.update(ones(), tx.init(ones()))[0]["w"] == 1.0


def test_pair_may_take_two_arguments():
    tx = gx.chain((lambda p: (), lambda g, s: (g, s)), gx.scale(2.0))
    assert tx.update(ones(), tx.init(ones()), ones())[0]["w"] == 2.0


@pytest.mark.parametrize("value", [jnp.ones(3), None])
def test_schedule_must_return_one_number(value):
    tx = gx.sgd(lambda count: value)
    with pytest.raises(TypeError, match="the schedule `learning_rate` must return one number, but"):
        tx.update(ones(3), tx.init(ones(3)))


def test_traced_number_must_be_one_number():
    with pytest.raises(
        TypeError, match=r"`learning_rate` must be .* but is an array of shape \(3,\)"
    ):
        jax.jit(lambda rate: gx.adam(rate).init(ones(3)))(jnp.ones(3))


def test_gradient_of_what_cannot_be_trained():
    params = {"i": jnp.arange(3)}
    with pytest.raises(
        TypeError,
        match=r"at \['i'\] must be None or float0 because its parameter is "
        r"int32\[3\]",
    ):
        ADAM.update({"i": jnp.ones(3)}, ADAM.init(params), params)


@pytest.mark.parametrize("dtype", ["int8", "bool", "complex64"])
def test_moments_are_stored_as_floats(dtype):
    with pytest.raises(TypeError, match="must be a floating-point dtype such as 'bfloat16'"):
        gx.adam(0.1, mu_dtype=dtype)
    with pytest.raises(TypeError, match="must be a floating-point dtype such as 'bfloat16'"):
        gx.with_state_dtype(gx.adam(0.1), mu=dtype)


def test_lift_refuses_names_that_are_no_fields():
    rule = gx.Rule(shrink_state, state=gx.ScaleByAdamState)
    with pytest.raises(TypeError, match=r"`dtypes` names `mo`, but the fields of ScaleByAdamState"):
        gx.lift(rule, dtypes={"mo": "bfloat16"})
    with pytest.raises(TypeError, match="`start` names `steps`"):
        gx.lift(rule, start={"steps": 3})
    with pytest.raises(TypeError, match="`axes` in `static` must be hashable"):
        gx.lift(rule, static={"axes": [0]})
