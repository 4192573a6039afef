"""Bare pairs of functions in chains of gradtx, and the extra arguments they take."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3)}


def halving():
    """Return a bare pair that counts its steps and takes no extra argument."""

    def init(params):
        del params
        return jnp.zeros([], jnp.int32)

    def update(updates, state, params=None):
        del params
        return jax.tree.map(lambda g: g / 2, updates), state + 1

    return init, update


def recording(seen, signature="keyword"):
    """Return a bare pair that records the extra arguments it was given."""

    def with_keyword(updates, state, params=None, *, value):
        seen.append({"value": value})
        return updates, state

    def with_any(updates, state, params=None, **extra):
        seen.append(extra)
        return updates, state

    def with_none(updates, state, params):
        seen.append({})
        return updates, state

    def with_default(updates, state, params=None, value=0.0):
        seen.append({"value": value})
        return updates, state

    updates = {
        "keyword": with_keyword,
        "any": with_any,
        "none": with_none,
        "default": with_default,
    }
    return (lambda params: ()), updates[signature]


def test_pair_between_rules():
    tx = gx.chain(gx.scale(4.0), halving(), gx.trace(0.5))
    state = tx.init(PARAMS)
    for _ in range(2):
        updates, state = tx.update(PARAMS, state, PARAMS)
    np.testing.assert_allclose(updates["w"], 3 * PARAMS["w"])
    assert state[1] == 2
    assert [type(s).__name__ for s in (state[0], state[2])] == ["EmptyState", "TraceState"]


def test_pair_alone_in_every_combinator():
    for tx in (
        gx.chain(halving()),
        gx.named_chain(("half", halving())),
        gx.parallel(halving(), halving(), merge=gx.add),
        gx.with_state_dtype(gx.chain(halving(), gx.trace(0.0)), trace="bfloat16"),
    ):
        updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
        factor = 1.0 if "parallel" in repr(tx) else 0.5
        np.testing.assert_allclose(updates["w"], factor * PARAMS["w"])


@pytest.mark.parametrize(
    ("signature", "got"),
    [
        ("keyword", {"value": 1.0}),
        ("any", {"value": 1.0, "other": 2.0}),
        ("none", {}),
        ("default", {"value": 1.0}),
    ],
)
def test_pair_gets_the_extra_arguments_it_takes(signature, got):
    seen = []
    tx = gx.chain(gx.scale(1.0), gx.chain(recording(seen, signature)))
    tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=1.0, other=2.0)
    assert seen == [got]


def test_extra_arguments_reach_rules_and_pairs_alike():
    seen = []
    tx = gx.chain(recording(seen), gx.polyak_sgd())
    tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=1.0)
    assert seen == [{"value": 1.0}]


def test_pair_sees_the_gradients_dtype():
    """Between rules the arithmetic is float32; a pair from elsewhere gets what it would get."""
    seen = []

    def update(updates, state, params=None):
        seen.append(jax.tree.map(lambda g: g.dtype, updates))
        return updates, state

    tx = gx.chain(gx.scale(2.0), (lambda params: (), update), gx.scale(2.0))
    grads = {"w": jnp.ones(3, jnp.bfloat16)}
    updates, _ = tx.update(grads, tx.init(grads))
    assert seen == [{"w": jnp.bfloat16}]
    assert updates["w"].dtype == jnp.bfloat16


def test_pair_that_changes_the_structure():
    tx = gx.chain((lambda params: (), lambda updates, state, params=None: (updates["w"], state)))
    with pytest.raises(ValueError, match="that it returned must have"):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_pair_prints_and_compares_by_identity():
    pair = halving()
    assert gx.chain(pair) == gx.chain(pair)
    assert gx.chain(pair) != gx.chain(halving())
    assert "halving.<locals>.init" in repr(gx.chain(pair))


def test_gradtx_is_a_pair_anywhere():
    """Other libraries call `init` and `update` of a 2-tuple and know nothing else."""
    init, update = gx.adam(0.1)
    updates, _ = update(PARAMS, init(PARAMS))
    np.testing.assert_allclose(updates["b"], -0.1 * np.ones(3), rtol=1e-5)


def test_wrapped_transformation_keeps_its_type():
    pair = gx.GradientTransformation(*halving())
    assert isinstance(pair, tuple)
    params, _ = pair.step(PARAMS, pair.init(PARAMS), PARAMS)
    np.testing.assert_allclose(params["b"], 1.5 * np.ones(3))


def test_stateless_sees_updates_and_params():
    tx = gx.chain(gx.stateless(lambda u, p: jax.tree.map(lambda x, y: x + y, u, p)), gx.scale(0.5))
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["w"], PARAMS["w"])


def test_pair_starts_from_descriptions_of_the_parameters():
    def init(params):
        return {"mean": jax.tree.map(jnp.mean, params), "count": jnp.zeros([], jnp.int32)}

    tx = gx.chain(gx.scale_by_adam(), (init, halving()[1]))
    params = PARAMS | {"n": 3, "none": None}
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), PARAMS)
    state = tx.init(abstract | {"n": 3, "none": None})
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(state))
    like = jax.tree.map(lambda x: (x.shape, x.dtype), tx.init(params))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == like


def test_an_init_of_ones_own_is_kept():
    """A pair with the update of a transformation is not that transformation."""
    base = gx.adam(0.1)

    def init(params):
        first, *rest = base.init(params)
        return (first._replace(count=jnp.asarray(1000, jnp.int32)), *rest)

    warm = base._replace(init=init)
    params = {"w": jnp.ones(2)}
    for tx in (warm, gx.chain(gx.identity(), warm), gx.apply_if_finite(warm, 1)):
        assert gx.tree.get(tx.init(params), "count") == 1000
    assert warm != base
    assert warm.description is None
    stepped, _ = warm.step(params, warm.init(params), params)
    updates, _ = base.update(params, init(params), params)
    np.testing.assert_array_equal(stepped["w"], params["w"] + updates["w"])


def test_a_pair_may_make_one_gradient_of_those_of_many_examples():
    """The shapes are looked at where something reads them, not before."""

    def mean(updates, state, params=None):
        return jax.tree.map(lambda g: g.mean(0), updates), state

    params = {"w": jnp.ones(2)}
    examples = {"w": jnp.array([[1.0, 2.0], [3.0, 4.0]])}
    for tx in (
        gx.chain((lambda params: (), mean), gx.sgd(1.0)),
        gx.chain(gx.masked((lambda params: (), mean), {"w": True}), gx.sgd(1.0)),
    ):
        updates, _ = tx.update(examples, tx.init(params), params)
        np.testing.assert_array_equal(updates["w"], [-2.0, -3.0])
    tx = gx.partition({"a": gx.dpsgd(1.0, 10.0, 0.0, seed=1)}, {"w": "a"})
    updates, _ = tx.update(examples, tx.init(params), params)
    np.testing.assert_allclose(updates["w"], [-2.0, -3.0], rtol=1e-6)
    with pytest.raises(ValueError, match="Is a batch axis left over"):
        gx.sgd(1.0).update(examples, gx.sgd(1.0).init(params), params)
    with pytest.raises(ValueError, match="must have a leading axis of examples"):
        tx.update(params, tx.init(params), params)


SOME = {"body": {"w": jnp.full((2, 3), 2.0), "b": jnp.ones(3)}, "rest": {"w": jnp.full(2, 3.0)}}


def squares(params, like=None):
    like = jax.tree.map(jnp.zeros_like, params) if like is None else like
    terms = jax.tree.map(lambda x, y: jnp.sum((x - y) ** 2), params, like)
    return terms["body"]["w"] + terms["body"]["b"] + terms["rest"]["w"]


def some_of(inner):
    return {
        "trainable": gx.trainable(inner, "body/*"),
        "groups": gx.groups(("body/*", inner), ("*", gx.set_to_zero())),
        "masked": gx.chain(
            gx.masked(inner, {"body": {"w": True, "b": True}, "rest": {"w": False}}),
            gx.trainable(gx.identity(), "body/*"),
        ),
        "frozen behind": gx.chain(inner, gx.trainable(gx.identity(), "body/*")),
    }


@pytest.mark.peers
@pytest.mark.parametrize("how", some_of(gx.identity()))
@pytest.mark.parametrize("search", ["backtracking", "zoom"])
def test_a_line_search_of_optax_for_some_leaves(how, search):
    import optax

    made = getattr(optax, f"scale_by_{search}_linesearch")(10)
    tx = some_of(gx.chain(gx.sgd(3.0), made))[how]
    like = jax.tree.map(lambda x: x / 2, SOME)

    @jax.jit
    def step(params, state):
        value, grad = jax.value_and_grad(squares)(params, like)
        extra = {"value": value, "grad": grad, "value_fn": squares, "like": like}
        return tx.step(grad, state, params, **extra)

    params, state, values = SOME, tx.init(SOME), [squares(SOME, like)]
    for _ in range(4):
        params, state = step(params, state)
        values.append(squares(params, like))
    np.testing.assert_array_equal(params["rest"]["w"], SOME["rest"]["w"])
    assert all(after <= before for before, after in itertools.pairwise(values))
    stays = jnp.sum((SOME["rest"]["w"] - like["rest"]["w"]) ** 2)
    np.testing.assert_allclose(stays, 4.5)
    assert values[-1] - stays < 0.3 * (values[0] - stays)


def test_a_pair_for_some_leaves_gets_gradients_of_those_from_a_function():
    def update(updates, state, params, *, grad_fn, grad, value, batch):
        nearby = grad_fn(jax.tree.map(lambda p: p + 1, params))
        return jax.tree.map(lambda u, n, g: u + n + g + value + batch, updates, nearby, grad), state

    tx, grads = gx.trainable((lambda params: (), update), "body/*"), jax.grad(squares)(SOME)
    extra = {"grad_fn": jax.grad(squares), "grad": grads, "value": 0.5, "batch": jnp.ones(3)}
    updates, _ = tx.update(grads, tx.init(SOME), SOME, **extra)
    np.testing.assert_allclose(updates["body"]["w"], 4 + 6 + 4 + 0.5 + np.ones((2, 3)))
    np.testing.assert_array_equal(updates["rest"]["w"], np.zeros(2))


def test_a_bare_loss_is_no_gradient_that_a_pair_lacks():
    seen, params = [], jnp.ones(3)
    tx = gx.chain(gx.masked(recording(seen, "any"), False))
    loss = jnp.sum
    tx.update(params, tx.init(params), params, value=jnp.ones([]), grad=params, value_fn=loss)
    assert len(seen) == 1
    assert seen[0]["value"] is not None
    assert seen[0]["grad"] is None
    assert seen[0]["value_fn"](None) == 3.0
