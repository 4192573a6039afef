"""What gradtx.sharding makes are values, and none of its constructors is left out."""

import inspect
import json
import pickle

import pytest
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx import sharding
from gradtx._core.describe import is_registered

MADE = {
    "sharded": lambda: sharding.sharded(gx.adam(0.1), {"w": P("model")}, spread=("data",)),
    "diloco": lambda: sharding.diloco(gx.adam(0.1), gx.sgd(1.0), every=5, fragments=2),
    "mean_over": lambda: sharding.mean_over(("data", "model")),
    "int8_mean_over": lambda: sharding.int8_mean_over("data", block_size=64),
    "sign_mean_over": lambda: sharding.sign_mean_over("data"),
    "top_k_mean_over": lambda: sharding.top_k_mean_over("data", 0.1),
    "low_rank_mean_over": lambda: sharding.low_rank_mean_over("data", 2),
}


def test_no_constructor_is_left_out():
    found = {
        name
        for name, thing in vars(sharding).items()
        if inspect.isfunction(thing)
        and inspect.signature(thing).return_annotation is gx.GradientTransformation
    }
    assert found == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_value(name):
    tx, again = MADE[name](), MADE[name]()
    assert is_registered(getattr(sharding, name))
    assert tx == again and hash(tx) == hash(again) and tx != gx.identity()
    assert repr(tx).startswith(name + "(") and str(tx)
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert gx.from_config(json.loads(json.dumps(tx.to_config()))) == tx
