"""Modules of Equinox, whole or filtered: functions, texts and static fields in them pass."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
import gradtx.state as gs

X = jax.random.normal(jax.random.key(3), (16, 2))
Y = X[:, :1] * 2


class Model(eqx.Module):
    """A small network with what is no parameter in it."""

    layers: list
    activation: object
    name: str
    steps: int
    kind: str = eqx.field(static=True)

    def __init__(self):
        keys = jax.random.split(jax.random.key(0))
        self.layers = [eqx.nn.Linear(2, 8, key=keys[0]), eqx.nn.Linear(8, 1, key=keys[1])]
        self.activation, self.name, self.steps, self.kind = jax.nn.tanh, "small", 3, "static"

    def __call__(self, x):
        return self.layers[1](self.activation(self.layers[0](x)))


def loss(model):
    return jnp.mean((jax.vmap(model)(X) - Y) ** 2)


def arrays(model):
    return eqx.filter(model, eqx.is_inexact_array)


@eqx.filter_jit
def update_of_the_arrays(tx, model, state):
    """As for Optax, but with L-BFGS (eqx#796)."""
    value, grads = eqx.filter_value_and_grad(loss)(model)
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def value_fn(params):
        return loss(eqx.combine(params, static))

    updates, state = tx.update(grads, state, params, value=value, grad=grads, value_fn=value_fn)
    return value, eqx.apply_updates(model, updates), state


@eqx.filter_jit
def update_of_the_model(tx, model, state):
    value, grads = eqx.filter_value_and_grad(loss)(model)
    updates, state = tx.update(grads, state, model, value=value, grad=grads, value_fn=loss)
    return value, gx.apply_updates(model, updates), state


@eqx.filter_jit
def step_of_the_model(tx, model, state):
    value, grads = eqx.filter_value_and_grad(loss)(model)
    return value, *tx.step(grads, state, model, value=value, grad=grads, value_fn=loss)


def trained(tx, train_step, params_of):
    """Return the model, the state and the losses on the way."""
    model, values = Model(), []
    state = tx.init(params_of(model))
    for _ in range(4):
        value, model, state = train_step(tx, model, state)
        values.append(float(value))
    return model, state, values


TRANSFORMATIONS = {
    "adamw": gx.adamw(0.1, mask=gx.excluding(gx.norms_biases_embeddings)),
    "lbfgs": gx.lbfgs(),
    "accumulate": gx.accumulate(gx.lbfgs(), 2),
    "groups": gx.groups(("layers/0/weight", gx.adam(0.1)), ("*/bias", None), ("*", gx.sgd(0.1))),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_a_model_and_its_arrays_make_the_same_steps(name):
    """eqx#794, eqx#853, eqx#771: no filter is needed, and one does no harm."""
    tx = TRANSFORMATIONS[name]
    model, state, values = trained(tx, update_of_the_arrays, arrays)
    assert values[-1] < values[0]
    ways = (update_of_the_model, step_of_the_model) if name == "adamw" else (step_of_the_model,)
    for way in ways:
        other, its_state, same = trained(tx, way, lambda model: model)
        np.testing.assert_allclose(same, values, rtol=1e-5)
        assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(its_state))
        assert len(jax.tree.leaves(its_state)) == len(jax.tree.leaves(state))
        assert other.activation is model.activation and other.name == "small" and other.steps == 3


def test_frozen_parts_rest():
    tx = gx.groups(("layers/0/*", None), ("*", gx.adam(0.1)))
    model, _, _ = trained(tx, step_of_the_model, lambda model: model)
    np.testing.assert_array_equal(model.layers[0].weight, Model().layers[0].weight)
    assert not np.array_equal(model.layers[1].weight, Model().layers[1].weight)


def test_explain_names_what_is_not_trained():
    text = gx.adam(0.1).explain(Model())
    assert "layers/*/weight" not in text  # their shapes differ
    assert "layers/0/weight" in text and text.count("not trained") == 3
    assert "not trained" not in gx.adam(0.1).explain(arrays(Model()))


@pytest.mark.parametrize("way", [update_of_the_arrays, step_of_the_model])
def test_evaluated_parameters_are_a_model(way):
    tx = gx.with_ema(gx.sgd(0.1), 0.9)
    whole = way is step_of_the_model
    model, state, _ = trained(tx, way, (lambda model: model) if whole else arrays)
    evaluated = tx.eval_params(state, model if whole else arrays(model))
    if not whole:
        evaluated = eqx.combine(evaluated, model)
    assert np.isfinite(loss(evaluated)) and loss(evaluated) != loss(model)
    assert gs.export(tx, state)["with_ema/average/layers/0/weight"].shape == (8, 2)


def test_a_module_with_one_leaf_named_value_is_a_box_and_one_with_two_is_none():
    class Scale(eqx.Module):
        value: jax.Array

    class Attention(eqx.Module):
        query: jax.Array
        value: jax.Array

    params = {"scale": Scale(jnp.ones(2)), "attention": Attention(jnp.ones(2), jnp.ones(2))}
    text = gx.sgd(0.1).explain(params)
    assert "attention/value" in text and "scale/value" not in text
