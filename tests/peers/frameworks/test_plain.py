"""Parameters in dataclasses, chex dataclasses, NamedTuples and lists of arrays."""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
import gradtx.state as gs

X = jax.random.normal(jax.random.key(3), (16, 2))
Y = X[:, :1] * 2


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Plain:
    layers: Any
    value: Any
    kind: str = dataclasses.field(metadata={"static": True}, default="plain")


@chex.dataclass
class Chex:
    layers: Any
    value: Any


class Named(NamedTuple):
    layers: Any
    value: Any


def start(kind):
    keys = jax.random.split(jax.random.key(0))
    shapes = ((2, 8), (8, 1))
    layers = [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]
    return kind(layers=layers, value=jnp.ones(()))


def loss(params):
    first, second = params.layers
    return jnp.mean((jnp.tanh(X @ first) @ second * params.value - Y) ** 2)


@pytest.mark.parametrize("kind", [Plain, Chex, Named])
@pytest.mark.parametrize(
    "tx",
    [
        gx.groups(("layers/0", gx.adam(0.1)), ("value", None), ("*", gx.sgd(0.01))),
        gx.accumulate(gx.lbfgs(), 2),
    ],
    ids=["groups", "lbfgs"],
)
def test_they_train_and_are_exported(kind, tx):
    params, values = start(kind), []
    state = tx.init(params)

    @jax.jit
    def train_step(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        extra = {"value": value, "grad": grads, "value_fn": loss}
        return value, *tx.step(grads, state, params, **extra)

    for _ in range(5):
        value, params, state = train_step(params, state)
        values.append(float(value))
    assert values[-1] < values[0] and type(params) is kind
    restored, _ = gs.restore(tx, params, gs.export(tx, state))
    assert jax.tree.all(jax.tree.map(np.array_equal, restored, state))


@pytest.mark.parametrize("kind", [Plain, Chex, Named])
def test_an_attribute_named_value_beside_others_keeps_its_name(kind):
    text = gx.adam(0.1).explain(start(kind))
    assert "value " in text and "layers/0 " in text
