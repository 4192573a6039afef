"""Parameters of Haiku: modules' names that hold "/", in dicts and in the older FlatMapping."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
import gradtx.state as gs

X = jax.random.normal(jax.random.key(3), (16, 2))
Y = X[:, :1] * 2
NET = hk.without_apply_rng(
    hk.transform(lambda x: hk.Linear(1)(jnp.tanh(hk.nets.MLP([8, 8], name="encoder")(x))))
)
PARAMS = NET.init(jax.random.key(0), X)


def loss(params):
    return jnp.mean((NET.apply(params, X) - Y) ** 2)


def trained(tx, params, stepping=False):
    """Return the parameters, the state and the losses on the way."""
    state, values = tx.init(params), []

    @jax.jit
    def train_step(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        extra = {"value": value, "grad": grads, "value_fn": loss}
        if stepping:
            return value, *tx.step(grads, state, params, **extra)
        updates, state = tx.update(grads, state, params, **extra)
        return value, gx.apply_updates(params, updates), state

    for _ in range(4):
        value, params, state = train_step(params, state)
        values.append(float(value))
    return params, state, values


IS_W = hk.data_structures.map(lambda module, name, value: name == "w", PARAMS)
TRANSFORMATIONS = {
    "adam": gx.adam(0.1),
    "groups": gx.groups(("encoder/~/linear_0/w", gx.adam(0.1)), ("*", gx.sgd(0.1))),
    "frozen": gx.groups(("encoder/*", None), ("*", gx.adam(0.1))),
    "partition": gx.partition({True: gx.adam(0.1), False: gx.sgd(0.1)}, IS_W),
    "sm3": gx.sm3(0.1),
    "adafactor": gx.with_metrics(gx.adafactor(0.1, min_dim_size_to_factor=2)),
    "accumulated lbfgs": gx.accumulate(gx.lbfgs(), 2),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_flat_mappings_make_the_same_steps_as_dicts(name):
    """haiku#191: SM3 keeps several arrays for a leaf, for which a FlatMapping has no place."""
    tx = TRANSFORMATIONS[name]
    flat = hk.data_structures.to_immutable_dict(PARAMS)
    assert type(flat) is not dict
    new, state, values = trained(tx, PARAMS)
    theirs, its_state, same = trained(tx, flat, stepping=True)
    np.testing.assert_allclose(same, values, rtol=1e-5)
    assert values[-1] < values[0]
    assert jax.tree.structure(theirs) == jax.tree.structure(flat)
    for module, named in new.items():
        for key, value in named.items():
            np.testing.assert_allclose(theirs[module][key], value, rtol=1e-4, atol=1e-6)
    saved = gs.export(tx, its_state)
    assert list(saved) == list(gs.export(tx, state))
    restored, _ = gs.restore(tx, flat, saved)
    assert jax.tree.all(jax.tree.map(np.array_equal, restored, its_state))


def test_updates_come_in_the_containers_of_the_gradients():
    flat = hk.data_structures.to_immutable_dict(PARAMS)
    tx = gx.with_ema(gx.sgd(0.1), 0.9)
    state = tx.init(flat)
    updates, state = tx.update(flat, state, flat)
    assert jax.tree.structure(updates) == jax.tree.structure(flat)
    assert jax.tree.structure(tx.eval_params(state, flat)) == jax.tree.structure(flat)


def test_a_pair_of_slow_and_fast_parameters():
    flat = hk.data_structures.to_immutable_dict(PARAMS)
    tx = gx.lookahead(gx.adam(0.1), 2, 0.5)
    ends = []
    for params in (PARAMS, flat):
        pair = gx.LookaheadParams.init_synced(params)
        state = tx.init(pair)

        @jax.jit
        def train_step(pair, state):
            grads = jax.grad(loss)(pair.fast)
            updates, _ = tx.update(grads, state, pair)
            return gx.apply_updates(pair, updates), *tx.step(grads, state, pair)

        for _ in range(3):
            same, pair, state = train_step(pair, state)
        assert jax.tree.structure(same) == jax.tree.structure(pair)
        assert type(pair.fast) is type(pair.slow) is type(tx.eval_params(state, pair))
        assert type(pair.fast) is type(params)
        ends.append((pair, same))
    saved = gs.export(tx, state)
    restored, _ = gs.restore(tx, pair, saved)
    assert jax.tree.all(jax.tree.map(np.array_equal, restored, state))
    for ours, theirs in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_gradients_in_plain_dicts():
    """`hk.data_structures.to_mutable_dict` in a loss, or a checkpoint, makes such."""
    flat, tx = hk.data_structures.to_immutable_dict(PARAMS), gx.adam(0.1)
    for params, grads in ((flat, PARAMS), (PARAMS, flat)):
        new, state = tx.step(grads, tx.init(params), params)
        assert jax.tree.structure(new) == jax.tree.structure(params)
        assert jax.tree.structure(state) == jax.tree.structure(tx.init(PARAMS))


def test_names_in_an_export_and_in_explain():
    tx = gx.adam(0.1)
    assert "scale_by_adam/mu/encoder/~/linear_0/w" in gs.export(tx, tx.init(PARAMS))
    for params in (PARAMS, hk.data_structures.to_immutable_dict(PARAMS)):
        assert "encoder/~/linear_0/w" in tx.explain(params)
