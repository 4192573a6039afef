"""Names of the arrays of a state: what they go by, and what does not change them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import export

PARAMS = {"layers": [{"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}], "out": jnp.ones(2)}
ADAM = [
    "scale_by_adam/count",
    *(f"scale_by_adam/{m}/{p}" for m in ("mu", "nu") for p in ("layers/0/b", "layers/0/w", "out")),
]


def names(tx, params=PARAMS):
    """Return the names of a fresh state, but for the version."""
    first, *rest = export(tx, tx.init(params))
    assert first == "gradtx.state/version"
    return rest


@pytest.mark.parametrize(
    "tx",
    [
        gx.scale_by_adam(),
        gx.adam(0.1),
        gx.adamw(0.1),
        gx.chain(gx.clip_by_global_norm(1.0), gx.chain(gx.adamw(0.1))),
        gx.with_state_dtype(gx.adamw(0.1), mu="bfloat16"),
        gx.split_real_and_imaginary(gx.chain(gx.scale_by_adam(), gx.scale(0.1))),
    ],
)
def test_chains_leave_no_trace(tx):
    assert names(tx) == ADAM


@pytest.mark.parametrize(
    ("wrap", "owner"),
    [
        (lambda tx: gx.MultiSteps(tx, 4), "MultiSteps"),
        (lambda tx: gx.apply_if_finite(tx, 4), "apply_if_finite"),
        (lambda tx: gx.with_ema(tx, 0.9), "with_ema"),
        (lambda tx: gx.guard(tx), "guard"),
        (lambda tx: gx.tunable(tx), "tunable"),
    ],
)
def test_wrappers_add_their_own_names_and_keep_those_inside(wrap, owner):
    found = names(wrap(gx.adamw(0.1)))
    assert [name for name in found if not name.startswith(f"{owner}/")] == ADAM
    assert len(found) > len(ADAM)


def test_labels_come_first():
    tx = gx.partition({"a": gx.trace(0.9), "b": gx.sgd(0.1)}, {"layers": "a", "out": "b"})
    assert names(tx) == ["a/trace/trace/layers/0/b", "a/trace/trace/layers/0/w"]
    assert names(gx.named_chain(("first", gx.trace(0.9))), {"w": jnp.ones(1)}) == [
        "first/trace/trace/w"
    ]
    found = names(gx.sam(gx.trace(0.9), gx.trace(0.5), 2), {"w": jnp.ones(1)})
    assert {"trace/trace/w", "adv_optimizer/trace/trace/w"} < set(found)


def test_several_of_a_name_are_numbered_with_how_many_there_are():
    tx = gx.chain(gx.trace(0.9), gx.scale(2.0), gx.trace(0.5))
    assert names(tx, {"w": jnp.ones(1)}) == ["trace#1of2/trace/w", "trace#2of2/trace/w"]
    masks = {"w": False}, {"w": True}  # what has no array for these parameters counts, too
    tx = gx.chain(*(gx.masked(gx.trace(0.9), mask) for mask in masks))
    assert names(tx, {"w": jnp.ones(1)}) == ["trace#2of2/trace/w"]


def test_keys_are_exported_as_their_data():
    tx = gx.add_noise(0.1, 0.5, key=3)
    found = export(tx, tx.init(PARAMS))
    np.testing.assert_array_equal(
        found["add_noise/rng_key@threefry2x32"], jax.random.key_data(jax.random.key(3))
    )


def test_functions_from_elsewhere_have_the_name_of_what_made_them():
    class State(NamedTuple):
        seen: object
        mean: object

    def average():
        def init(params):
            return State(0, [params, {}])

        return init, lambda updates, state, params=None: (updates, state)

    tx = gx.chain(average(), gx.trace(0.9), tuple(gx.ema(0.9)))
    found = names(tx, {"w": jnp.ones(1)})
    assert found[:2] == ["average/seen", "average/mean/0/w"]
    assert found[2:] == ["trace/trace/w", "ema/count", "ema/ema/w"]


def test_paths_that_read_alike_raise():
    tx = gx.trace(0.9)
    with pytest.raises(ValueError, match="two arrays of the state have the name 'trace/trace/a/b'"):
        export(tx, tx.init({"a/b": jnp.ones(1), "a": {"b": jnp.ones(1)}}))


def test_a_slash_in_a_key_alone_does_no_harm():
    assert names(gx.trace(0.9), {"mlp/~/linear_0": {"w": jnp.ones(1)}}) == [
        "trace/trace/mlp/~/linear_0/w"
    ]


def test_arrays_stay_where_they_are_unless_asked():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    tx = gx.trace(0.9)
    state = tx.init({"w": jax.device_put(jnp.ones(8), split)})
    assert export(tx, state)["trace/trace/w"] is state.trace["w"]
    assert isinstance(export(tx, state, to_host=True)["trace/trace/w"], np.ndarray)


def test_state_of_another_transformation_raises():
    with pytest.raises(ValueError, match="its state must be a tuple of 3 states"):
        export(gx.adamw(0.1), gx.sgd(0.1).init(PARAMS))
