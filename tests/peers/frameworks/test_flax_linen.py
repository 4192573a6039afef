"""Modules of flax.linen in a TrainState, their parameters in dicts or in FrozenDicts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import freeze, unfreeze
from flax.training.train_state import TrainState

import gradtx as gx

X = jax.random.normal(jax.random.key(3), (16, 2))
Y = X[:, :1] * 2
MODEL = nn.Sequential([nn.Dense(8), nn.tanh, nn.Dense(1)])
PARAMS = MODEL.init(jax.random.key(0), X)["params"]
LABELS = {"layers_0": "a", "layers_2": {"kernel": "a", "bias": "b"}}


def trained(tx, params, **more):
    """Return the train state and the losses on the way."""
    state = TrainState.create(apply_fn=MODEL.apply, params=params, tx=tx)

    @jax.jit
    def train_step(state):
        def loss(params):
            return jnp.mean((state.apply_fn({"params": params}, X) - Y) ** 2)

        value, grads = jax.value_and_grad(loss)(state.params)
        extra = {"value": value, "grad": grads, "value_fn": loss}
        params, opt_state = state.tx.step(grads, state.opt_state, state.params, **extra)
        by_hand = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
        return value, by_hand if more.get("extra") else state.apply_gradients(grads=grads)

    values = []
    for _ in range(4):
        value, state = train_step(state)
        values.append(float(value))
    return state, values


CASES = {
    "adam": (gx.adam(0.1), False),
    "groups": (gx.groups(("layers_0/kernel", gx.adam(0.1)), ("*", gx.sgd(0.1))), False),
    "partition": (gx.partition({"a": gx.adam(0.1), "b": gx.sgd(0.1)}, LABELS), False),
    "mask": (gx.adamw(0.1, mask={"layers_0": True, "layers_2": False}), False),
    "accumulate": (gx.accumulate(gx.adam(0.1), 2), False),
    "accumulated lbfgs": (gx.accumulate(gx.lbfgs(), 2), True),
}


@pytest.mark.parametrize("name", CASES)
def test_dicts_and_frozen_dicts_make_the_same_steps(name):
    """optax#160: labels and masks in dicts, the parameters in FrozenDicts."""
    tx, extra = CASES[name]
    with jax.numpy_dtype_promotion("standard"):
        state, values = trained(tx, PARAMS, extra=extra)
        frozen, same = trained(tx, freeze(PARAMS), extra=extra)
    assert values == same and values[-1] < values[0]
    assert jax.tree.structure(frozen.params) == jax.tree.structure(freeze(PARAMS))
    np.testing.assert_array_equal(
        state.params["layers_0"]["kernel"], frozen.params["layers_0"]["kernel"]
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("to", [freeze, unfreeze])
def test_gradients_in_the_other_kind_of_dict(name, to):
    """A checkpoint, or `unfreeze` in a loss, hands over the kind that the state is not made of."""
    tx, _ = CASES[name]
    params = (unfreeze if to is freeze else freeze)(PARAMS)
    state = start = tx.init(params)

    @jax.jit
    def train_step(params, state):
        def loss(params):
            return jnp.mean((MODEL.apply({"params": params}, X) - Y) ** 2)

        value, grads = jax.value_and_grad(loss)(params)
        extra = {"value": value, "grad": grads, "value_fn": loss}
        updates, _ = tx.update(to(grads), state, params, **extra)
        return updates, *tx.step(to(grads), state, params, **extra)

    with jax.numpy_dtype_promotion("standard"):
        for _ in range(4):
            updates, params, state = train_step(params, state)
        expected, _ = trained(tx, PARAMS, extra=True)
    assert jax.tree.structure(state) == jax.tree.structure(start)
    assert jax.tree.structure(updates) == jax.tree.structure(to(PARAMS))
    ours, theirs = params["layers_0"]["kernel"], expected.params["layers_0"]["kernel"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_labels_may_be_frozen_and_parameters_not():
    tx = gx.partition({"a": gx.adam(0.1), "b": gx.sgd(0.1)}, freeze(LABELS))
    assert tx.init(PARAMS).inner_states["b"].inner_state is not None


def test_labels_of_other_paths_are_refused():
    tx = gx.partition({"a": gx.adam(0.1)}, {"layers_0": "a", "layers_1": "a"})
    with pytest.raises(ValueError, match="with the structure of the parameters"):
        tx.init(freeze(PARAMS))


def test_partitioned_parameters_have_the_paths_of_plain_ones():
    kernel = nn.with_partitioning(nn.initializers.ones, ("data", None))
    model = nn.Dense(3, kernel_init=kernel)
    params = model.init(jax.random.key(0), X)["params"]
    tx = gx.groups(("kernel", gx.adam(0.1)), ("bias", gx.sgd(0.1)))
    new, _ = tx.step(params, tx.init(params), params)
    assert isinstance(new["kernel"], nn.Partitioned)
