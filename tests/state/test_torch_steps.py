"""torch counts steps for each parameter, a rule here once."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import Split, from_torch, to_torch
from tests.state.as_torch import ADAM, adam_of

PARAMS = {"old": jnp.ones(2), "new": jnp.ones(3)}
EARLY, LATE = adam_of((2,), step=9), adam_of((3,), step=4)
UNEVEN = adam_of((2,), (3,)) | {"state": {0: EARLY["state"][0], 1: LATE["state"][0]}}
NAMES = {"names": ["old", "new"]}


def test_one_rule_has_one_count():
    with pytest.raises(ValueError, match=r"new at 4 and old at 9, and scale_by_adam has one count"):
        from_torch(gx.adam(0.1), PARAMS, UNEVEN, **NAMES)
    state, _ = from_torch(gx.adam(0.1), PARAMS, UNEVEN, counts=9, **NAMES)
    assert int(state[0].count) == 9


def test_groups_go_on_at_their_own():
    """Layers that were thawed later, each with a schedule."""
    rate = gx.linear_schedule(0.1, 0.0, 20)
    tx = gx.groups(("thawed", "new", gx.adam(rate)), ("rest", "*", gx.adam(rate)))
    state, report = from_torch(tx, PARAMS, UNEVEN, **NAMES)
    assert report.counted == {
        "thawed/scale_by_learning_rate/count": 4,
        "rest/scale_by_learning_rate/count": 9,
    }
    there, _ = to_torch(tx, state, PARAMS, UNEVEN, tensor=np.array, **NAMES)
    assert [float(there["state"][i]["step"]) for i in range(2)] == [9, 4]


def test_parts_of_a_tensor_must_be_at_one_step():
    params = {"q": jnp.ones(3), "k": jnp.ones(2)}
    given = adam_of((5,), step=9)
    carried = {"names": ["qk"], "paths": {"qk": Split(["q", "k"])}}
    tx = gx.groups(("q", "q", gx.adam(0.1)), ("k", "k", gx.adam(0.1)))
    state, _ = from_torch(tx, params, given, **carried)
    state = gx.state.at_step(tx, state, 3, where="k*")
    with pytest.raises(ValueError, match=r"one tensor in torch are at different steps: .*: 3\}"):
        to_torch(tx, state, params, given, tensor=np.array, **carried)
    there, _ = to_torch(tx, state, params, given, tensor=np.array, steps=9, **carried)
    assert there["state"][0]["step"] == 9


def test_products_of_momenta_are_those_of_their_group():
    group = {key: x for key, x in ADAM.items() if key != "amsgrad"} | {"momentum_decay": 0.004}
    given = adam_of((2,), (3,), group=group)
    for i, product in enumerate((0.5, 0.25)):
        given["state"][i]["mu_product"] = np.float32(product)
    nadam = gx.nadam(0.1, momentum_decay=0.004)
    with pytest.raises(ValueError, match=r"mu_product differs between parameters: 0.25 to 0.5"):
        from_torch(nadam, PARAMS, given, **NAMES)
    tx = gx.groups(("thawed", "new", nadam), ("rest", "*", nadam))
    state, _ = from_torch(tx, PARAMS, given, **NAMES)
    there, _ = to_torch(tx, state, PARAMS, given, tensor=np.array, **NAMES)
    assert [float(there["state"][i]["mu_product"]) for i in range(2)] == [0.5, 0.25]
