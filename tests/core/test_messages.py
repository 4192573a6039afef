"""What users read when something is wrong: each message names the place and the cause."""

import collections
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

W, B = jnp.ones((2, 3)), jnp.ones(3)
PARAMS = {"dense": {"w": W, "b": B}}


def says(kind, text):
    """Expect an exception with exactly this text."""
    return pytest.raises(kind, match=f"^{re.escape(text)}$")


def test_gradient_missing():
    tx = gx.adam(0.1)
    with says(
        ValueError,
        "adam: the updates and the parameters must have the same tree structure; the parameters "
        "have ['dense']['b'], the updates do not.",
    ):
        tx.update({"dense": {"w": W}}, tx.init(PARAMS), PARAMS)


def test_gradient_too_many():
    tx = gx.adam(0.1)
    with says(
        ValueError,
        "adam: the updates and the parameters must have the same tree structure; the updates "
        "have ['dense']['c'], the parameters do not.",
    ):
        tx.update({"dense": {"w": W, "b": B, "c": B}}, tx.init(PARAMS), PARAMS)


def test_containers_of_the_state_differ():
    tx = gx.trace(0.9)
    with says(
        ValueError,
        "trace: the updates and the state field `trace` must have the same tree structure; the "
        "paths agree, but the updates have a list where the state field `trace` has a tuple. "
        "Convert one of them, for example by jax.tree.unflatten(jax.tree.structure(params), "
        "jax.tree.leaves(grads)).",
    ):
        tx.update([W, B], tx.init((W, B)), [W, B])


def test_state_of_other_parameters():
    tx = gx.trace(0.9)
    with says(
        ValueError,
        "trace: the updates and the state field `trace` must have the same tree structure; the "
        "updates have ['dense']['b'], the state field `trace` does not. Was the state made by "
        "init() of other parameters?",
    ):
        tx.update(PARAMS, tx.init({"dense": {"w": W}}), PARAMS)


def test_shape():
    tx = gx.adam(0.1)
    with says(
        ValueError,
        "adam: the gradient at ['dense']['w'] must have the shape of its parameter float32[2, 3], "
        "but is float32[8, 2, 3]. Is a batch axis left over, or were the gradients of another "
        "model passed?",
    ):
        tx.update({"dense": {"w": jnp.ones((8, 2, 3)), "b": B}}, tx.init(PARAMS), PARAMS)


def test_shape_of_the_state():
    """Found inside the trace, where only a note can say which leaf it was."""
    tx = gx.trace(0.9)
    state = tx.init({"w": jnp.ones((4, 5))})
    with pytest.raises(ValueError, match="its state field `trace` must have the shape") as caught:
        tx.update({"w": W}, state)
    assert caught.value.__notes__[-2:] == [
        "gradtx: in trace at the gradient ['w'], float32[2, 3].",
        "gradtx: trace holds trace = float32[4, 5] there.",
    ]


def test_integer_gradient():
    tx = gx.adam(0.1)
    with says(
        TypeError,
        "adam: the gradient at ['dense']['b'] must be a floating-point array because its parameter "
        "is float32[3], but is int32[3]. Was something else than the gradients passed as updates?",
    ):
        tx.update({"dense": {"w": W, "b": jnp.ones(3, int)}}, tx.init(PARAMS), PARAMS)


def test_complex_gradient_of_a_real_parameter():
    tx = gx.adam(0.1)
    with says(
        TypeError,
        "adam: the gradient at ['dense']['b'] must be real like its parameter float32[3], but is "
        "complex64[3]. Take the real part before the update.",
    ):
        tx.update({"dense": {"w": W, "b": B.astype(complex)}}, tx.init(PARAMS), PARAMS)


def test_params_missing():
    tx = gx.chain(gx.scale(1.0), gx.add_decayed_weights(0.1))
    with says(
        ValueError,
        "add_decayed_weights needs the parameters: call update(updates, state, params).",
    ):
        tx.update(PARAMS, tx.init(PARAMS))


def test_extra_argument_missing():
    tx = gx.chain(gx.polyak_sgd())
    with says(
        TypeError,
        "scale_by_polyak needs the extra argument `value`: call update(updates, state, params, "
        "value=...).",
    ):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_extra_argument_that_looks_alike():
    tx = gx.polyak_sgd()
    with pytest.raises(TypeError, match=r"`values` was given: is that it\?$"):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS, values=1.0, loss=2.0)


def test_decay_of_one():
    with says(ValueError, "adam: `b2` must be a finite number in [0, 1), but is 1.0."):
        gx.adam(0.1, b2=1.0)


def test_negative_learning_rate():
    with says(
        ValueError, "adam: `learning_rate` must be a finite number in [0, inf), but is -0.1."
    ):
        gx.adam(-0.1)


def test_learning_rate_that_is_no_number():
    with says(
        TypeError,
        "adam: `learning_rate` must be a finite number in [0, inf), or a schedule, but is '0.1'.",
    ):
        gx.adam("0.1")


def test_schedule_where_none_is_possible():
    with pytest.raises(TypeError, match=r"^clip_by_global_norm: `max_norm` must be .* a function"):
        gx.clip_by_global_norm(lambda count: 1.0)


def test_array_where_a_number_is_needed():
    with pytest.raises(TypeError, match=r"but is an array of shape \(3,\)\.$"):
        gx.scale(B)


def test_misspelt_argument():
    with pytest.raises(
        TypeError,
        match=r"^adam: no argument is called `learning_rat`\. Did you mean `learning_rate`\? It "
        r"takes `learning_rate`, `b1`, `b2`,",
    ):
        gx.adam(learning_rat=0.1)


def test_argument_missing():
    with pytest.raises(
        TypeError,
        match=r"^scale: missing a required argument: 'step_size'; its signature is scale\(",
    ):
        gx.scale()


def test_no_transformation():
    with says(
        TypeError,
        "chain: every part must be a transformation or a pair (init, update) of functions, but one "
        "is 0.1. Was a constructor not called?",
    ):
        gx.chain(gx.adam(0.1), 0.1)


def test_constructor_not_called():
    with pytest.raises(TypeError, match=r"Was a constructor not called\?$"):
        gx.chain(gx.identity)


def test_named_chain_without_names():
    with pytest.raises(
        TypeError, match=r"^named_chain: every part must be \(name, transformation\)"
    ):
        gx.named_chain(gx.scale(1.0))
    with says(ValueError, "named_chain: the name 'a' must be used once, not twice."):
        gx.named_chain(("a", gx.scale(1.0)), ("a", gx.scale(2.0)))


def test_state_of_another_optimizer():
    tx = gx.chain(gx.scale(1.0), gx.trace(0.9))
    with says(
        ValueError,
        "chain: its state must be a tuple of 2 states, but is a tuple of 1: (TraceState). Was the "
        "state made by init() of another optimizer?",
    ):
        tx.update(PARAMS, gx.chain(gx.trace(0.9)).init(PARAMS))
    with says(
        ValueError,
        "trace: its state must be a TraceState, but is an EmptyState. Was the state made by "
        "init() of another optimizer?",
    ):
        tx.update(PARAMS, (gx.EmptyState(), gx.EmptyState()))


def _of_optax(state):
    """Return a state as a class of the same name that says it is Optax's."""
    kind = collections.namedtuple(type(state).__name__, state._fields)
    kind.__module__ = "optax.transforms._some"
    return kind(*state)


@pytest.mark.parametrize(
    ("tx", "owner"),
    [
        (gx.trace(0.9), "trace"),
        (gx.apply_if_finite(gx.trace(0.9), 2), "apply_if_finite"),
        (
            gx.differentially_private_aggregate(1.0, 1.0, key=0),
            "differentially_private_aggregate",
        ),
    ],
    ids=["rule", "wrapper", "private"],
)
def test_state_of_optax(tx, owner):
    state = tx.init(PARAMS)
    updates = {"dense": {"w": W[None], "b": B[None]}} if "private" in owner else PARAMS
    with says(
        ValueError,
        f"{owner}: its state must be gradtx's {type(state).__name__}, but is Optax's, from "
        "optax.transforms._some. Put its arrays into the state of tx.init(params).",
    ):
        tx.update(updates, _of_optax(state), PARAMS)


def test_state_of_a_named_chain():
    tx = gx.named_chain(("a", gx.trace(0.9)))
    with pytest.raises(
        ValueError, match=r"must be a dict with the keys \['a'\], but is a dict with"
    ):
        tx.update(PARAMS, {"b": tx.init(PARAMS)["a"]})


def test_mask_of_another_structure():
    tx = gx.add_decayed_weights(0.1, {"conv": True})
    with says(
        ValueError,
        "add_decayed_weights: the mask must be a tree of booleans with the structure of the "
        "parameters or of the top of it; its leaves are [\"['conv']\"], those of the parameters "
        "[\"['dense']['b']\", \"['dense']['w']\"].",
    ):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_mask_that_is_not_boolean():
    tx = gx.add_decayed_weights(0.1, {"dense": {"w": 1.0, "b": False}})
    with says(
        TypeError,
        "add_decayed_weights: the mask at ['dense']['w'] must be True or False, but is float 1.0.",
    ):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_apply_updates_names_the_leaf():
    with says(
        ValueError,
        "apply_updates: the parameters and the updates must have the same tree structure; the "
        "parameters have ['dense']['b'], the updates do not.",
    ):
        gx.apply_updates(PARAMS, {"dense": {"w": W}})
    with pytest.raises(ValueError, match=r"^apply_updates: the gradient at \['dense'\]\['w'\]"):
        gx.apply_updates(PARAMS, {"dense": {"w": B, "b": B}})


def test_error_inside_a_rule_names_the_leaf():
    def broken(g, p):
        return g.reshape(7)

    tx = gx.chain(gx.scale(1.0), gx.stateless_with_tree_map(broken))
    with pytest.raises(TypeError) as caught:
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    assert caught.value.__notes__[-1] == (
        "gradtx: in scale, stateless_with_tree_map at the gradient ['dense']['b'], float32[3]."
    )


def test_rule_whose_state_does_not_say_what_it_holds():
    from typing import NamedTuple

    class Unclear(NamedTuple):
        mu: dict

    with pytest.raises(
        TypeError, match=r"^Unclear\.mu must be annotated with what it holds: Count"
    ):
        gx.Rule(lambda g, state, p, h: (g, state), state=Unclear)


@pytest.mark.parametrize("tx", [gx.adam(0.1), gx.accumulate(gx.sgd(0.1), 2)])
@pytest.mark.parametrize("given", [jnp.array([3, 3, 3]), "a name"])
def test_no_gradient_where_the_state_has_one(tx, given):
    updates = {"dense": {"w": W, "b": given}}
    message = r"the gradient at \['dense'\]\['b'\] must be a floating-point array because its param"
    with pytest.raises(TypeError, match=message):
        tx.update(updates, tx.init(PARAMS))
    for nothing in (None, np.zeros(3, jax.dtypes.float0)):
        left_out = {"dense": {"w": W, "b": nothing}}
        assert tx.update(left_out, tx.init(PARAMS))[0]["dense"]["b"] is nothing


def test_a_schedule_with_an_if():
    tx = gx.sgd(lambda count: 0.1 if count < 10 else 0.01)
    with pytest.raises(jax.errors.TracerBoolConversionError) as caught:
        jax.jit(tx.step)(PARAMS, tx.init(PARAMS), PARAMS)
    (note,) = [x for x in caught.value.__notes__ if "schedule" in x]
    assert note == (
        "gradtx: in the schedule `learning_rate` of scale_by_learning_rate. The step it is given "
        "is traced: choose with jnp.where, or by gradtx.join_schedules, not by a Python `if`."
    )


def test_a_predicate_of_another_kind():
    message = re.escape(r"must take (path, leaf), but ") + ".*lambda> takes " + re.escape("(path).")
    with pytest.raises(TypeError, match=f"^trainable: a function that is a pattern {message}"):
        gx.trainable(gx.adam(0.1), lambda path: "w" in path)
    gx.trainable(gx.adam(0.1), lambda path, leaf, deep=True: deep)
    gx.trainable(gx.adam(0.1), lambda *given: True)


def test_none_in_a_partition():
    with pytest.raises(TypeError, match=r"that of 'f' is None\. set_to_zero\(\) freezes a group"):
        gx.partition({"t": gx.sgd(0.1), "f": None}, "t")


def test_rounding_twice():
    with pytest.raises(ValueError, match="there is a `with_rounding` inside, which has rounded"):
        gx.with_rounding(gx.guard(gx.with_rounding(gx.sgd(0.1), "split")), "kahan")


def test_a_weight_larger_than_an_int32():
    tx = gx.accumulate(gx.sgd(0.1), 2)
    _, state = tx.step(PARAMS, tx.init(PARAMS), PARAMS, weight=2**40)
    assert state.weight == 2.0**40


def test_all_that_value_and_grad_returns():
    tx, params = gx.adam(0.1), {"a": jnp.ones(3), "b": [jnp.ones(2)] * 2}
    state = tx.init(params)
    for value in (jnp.float32(1.0), (jnp.float32(1.0), {"more": 1})):
        with pytest.raises(ValueError, match=r"a pair, whose second .*passed, \(value, grads\)"):
            tx.step((value, params), state, params)
    with pytest.raises(ValueError, match=r"the updates have \[0\]"):
        tx.step((params, params, params), state, params)
