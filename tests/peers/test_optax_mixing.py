"""Transformations of Optax in chains of gradtx, and of gradtx in chains of Optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from gradtx.testing import check_transformation

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3) - 2, "b": jnp.array([0.5, -3.0])}
FLOATS = ("float32", "bfloat16")

# What Optax asks of trees and of arithmetic is less, and what it promises too.
NOT_PROMISED = ("uniform", "mixed", "x64", "shapes", "missing", "derivative")


@pytest.fixture(autouse=True)
def _promotion():
    """Let Optax promote dtypes as it does for its users."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def run(tx, steps=3, **extra):
    """Return the updates and state after some steps."""
    state = tx.init(PARAMS)
    for t in range(steps):
        grads = jax.tree.map(lambda p, t=t: p * (t + 1.0), PARAMS)
        updates, state = tx.update(grads, state, PARAMS, **extra)
    return updates, state


MIXED = {
    "optax in gradtx": lambda: gx.chain(
        optax.clip_by_global_norm(1.0), optax.scale_by_adam(), gx.scale(-0.1)
    ),
    "gradtx in optax": lambda: optax.chain(
        gx.clip_by_global_norm(1.0), gx.scale_by_adam(), optax.scale(-0.1)
    ),
    "one in the other": lambda: optax.chain(
        gx.chain(optax.chain(gx.clip_by_global_norm(1.0)), optax.scale_by_adam()), gx.scale(-0.1)
    ),
    "gradtx": lambda: gx.chain(gx.clip_by_global_norm(1.0), gx.scale_by_adam(), gx.scale(-0.1)),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed_chains_agree(name):
    want, _ = run(
        optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(), optax.scale(-0.1))
    )
    got, _ = run(MIXED[name]())
    for key in PARAMS:
        np.testing.assert_allclose(got[key], want[key], rtol=1e-5)


def test_extra_arguments_reach_gradtx_through_optax():
    """Optax hands them only to instances of its own class."""
    tx = optax.chain(optax.scale(1.0), gx.polyak_sgd())
    got, _ = run(tx, value=2.0)
    want, _ = run(gx.polyak_sgd(), value=2.0)
    np.testing.assert_allclose(got["w"], want["w"], rtol=1e-6)
    run(optax.chain(gx.adam(0.1), optax.scale(1.0)), value=2.0)  # ignored


def test_extra_arguments_reach_optax_through_gradtx():
    tx = gx.chain(gx.scale(1.0), optax.polyak_sgd())
    got, _ = run(tx, value=2.0, unknown=1.0)
    want, _ = run(optax.polyak_sgd(), value=2.0)
    np.testing.assert_allclose(got["w"], want["w"], rtol=1e-6)


def test_named_chains_and_branches():
    run(gx.named_chain(("optax", optax.adam(0.1)), ("gradtx", gx.scale(2.0))))
    updates, _ = run(gx.parallel(optax.scale(2.0), gx.scale(3.0), merge=gx.add), steps=1)
    np.testing.assert_allclose(updates["w"], 5 * PARAMS["w"])


def test_wrappers_of_optax():
    inject = optax.inject_hyperparams(gx.sgd)(learning_rate=0.1)
    updates, _ = run(inject, steps=1)
    np.testing.assert_allclose(updates["w"], -0.1 * PARAMS["w"], rtol=1e-6)
    several = optax.MultiSteps(gx.adam(0.1), 2)
    assert run(several)[1].gradient_step == 1
    labels = {"w": "matrix", "b": "vector"}
    split = optax.partition({"matrix": gx.sgd(1.0), "vector": optax.sgd(2.0)}, labels)
    updates, _ = run(split, steps=1)
    np.testing.assert_allclose(updates["w"], -PARAMS["w"])
    np.testing.assert_allclose(updates["b"], -2 * PARAMS["b"])


def test_apply_updates_of_either():
    updates, _ = run(gx.adam(0.1))
    ours, theirs = gx.apply_updates(PARAMS, updates), optax.apply_updates(PARAMS, updates)
    np.testing.assert_array_equal(ours["w"], theirs["w"])


def test_gradtx_knows_itself():
    """It passes for Optax's class, and stays its own."""
    tx = gx.adam(0.1)
    assert isinstance(tx, gx.GradientTransformation)
    assert isinstance(tx, optax.GradientTransformationExtraArgs)
    assert type(tx) is gx.GradientTransformation
    assert tx == gx.adam(0.1)


@pytest.mark.parametrize(
    "tx",
    [optax.adam(0.1), optax.sgd(0.1, momentum=0.9), optax.lion(0.1)],
    ids=["adam", "sgd", "lion"],
)
def test_contract_takes_transformations_of_optax(tx):
    check_transformation(tx, dtypes=FLOATS, skip=NOT_PROMISED)
