"""Line searches in any loop, errors, types, values, randomness, odd leaves."""

import itertools
import json
import pickle
import typing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx


def test_lbfgs_runs_in_the_loop_of_adam():
    """One loop for both; what a search did can be asked for; the loss never rises.

    optax#1201 (the loss rises), optax#1108 (compiled twice), optax#1559 (arguments dropped),
    flax#4812 (L-BFGS cannot be used like adam), eqx#796.
    """

    def loss(w):
        return jnp.sum(100.0 * (w[1:] - w[:-1] ** 2) ** 2 + (1.0 - w[:-1]) ** 2)

    def run(tx):
        traces = []

        @jax.jit
        def step(w, state):
            traces.append(1)
            value, grad = jax.value_and_grad(loss)(w)
            return value, tx.step(grad, state, w, value=value, grad=grad, value_fn=loss)

        w, losses = jnp.zeros(6), []
        state = tx.init(w)
        for _ in range(50):
            value, (w, state) = step(w, state)
            losses.append(float(value))
        assert len(traces) == 1
        return losses, state

    adam, _ = run(gx.adam(0.02))
    lbfgs, state = run(gx.with_metrics(gx.lbfgs(), "step_size"))
    assert lbfgs[-1] < 1e-8 < adam[-1]
    assert all(after <= before for before, after in itertools.pairwise(lbfgs))
    assert gx.metrics(state)["step_size"] >= 0


PARAMS = {"dense": {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}}
WRONG = {
    "structure": (lambda tx, s: tx.update({"dense": {"w": jnp.ones((3, 2))}}, s, PARAMS), "'b'"),
    "shape": (
        lambda tx, s: tx.update({"dense": {"w": jnp.ones((2, 3)), "b": jnp.ones(2)}}, s, PARAMS),
        r"'w'.*float32\[3, 2\]",
    ),
    "state": (lambda tx, s: tx.update(PARAMS, gx.adam(0.1).init(PARAMS)[0], PARAMS), "init"),
    "no parameters": (lambda tx, s: tx.update(PARAMS, s), "call update"),
    "no argument": (lambda tx, s: gx.adamw(0.1, weight_decy=0.1), "Did you mean `weight_decay`"),
    "no function": (lambda tx, s: gx.accumulate(tx, "2"), "every"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_leaf_and_the_cause(name):
    """Optax answers these by errors of the tree library, of NumPy, or not at all.

    optax#271 (nested masks), #808, #1131 (an unexpected keyword), #1649 ("Expected named tuple"),
    #1736 (an IndexError for a scalar), flax#5372, keras#2616 (a misspelt option is ignored).
    """
    call, message = WRONG[name]
    tx = gx.adamw(0.1)
    with pytest.raises((TypeError, ValueError), match=message):
        call(tx, tx.init(PARAMS))


def test_types_are_there_at_run_time():
    """Annotations say what arguments may be; a checker sees them, and so does the call.

    optax#384 (types of general trees), #516 (float is wrong for arrays), #1098.
    """
    hints = typing.get_type_hints(gx.adamw, include_extras=True)
    assert "learning_rate" in hints and hints["b1"] == gx.typing.Decay
    assert (Path(gx.__path__[0]) / "py.typed").exists()
    for rate in (0.1, np.float32(0.1), jnp.asarray(0.1), gx.linear_schedule(0.1, 0.0, 5)):
        assert isinstance(gx.sgd(rate), gx.GradientTransformation)


def test_optimizers_are_values():
    """Printed, compared, hashed, pickled and stored by what they were made of.

    optax#1 (inspect and compare), #197 (closures hash differently, so that jit compiles again),
    flax#1011, DeepSpeed#181.
    """
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(gx.linear_schedule(0.1, 0.0, 9)))
    same = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(gx.linear_schedule(0.1, 0.0, 9)))
    assert tx == same and hash(tx) == hash(same)
    assert "0x" not in repr(tx) and "learning_rate=linear_schedule(" in repr(tx)
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert gx.from_config(json.loads(json.dumps(tx.to_config()))) == tx
    traces = []

    def step(tx, w):
        traces.append(1)
        return tx.update(w, tx.init(w), w)[0]

    jitted = jax.jit(step, static_argnums=0)
    jitted(tx, jnp.ones(2))
    jitted(same, jnp.ones(2))
    assert len(traces) == 1


def test_noise_has_a_key_for_each_leaf_and_step():
    """Two leaves of one shape, two steps, two keys: all different; the same key: the same noise.

    optax#1137 (a key, not an integer seed), #1138, #1145, #1167, #1169.
    """
    zeros = {"a": jnp.zeros(4), "b": jnp.zeros(4)}

    def noise(key):
        tx = gx.add_noise(eta=0.1, gamma=0.55, key=jax.random.key(key))
        first, state = tx.update(zeros, tx.init(zeros))
        second, _ = tx.update(zeros, state)
        return [np.asarray(x) for x in (first["a"], first["b"], second["a"], second["b"])]

    drawn = noise(1) + noise(2)
    assert len({x.tobytes() for x in drawn}) == len(drawn)
    np.testing.assert_array_equal(noise(1), drawn[:4])


def test_odd_leaves_just_work():
    """A Python number, an empty array, integers, flags, None, complex numbers, full counters.

    optax#1736 (a scalar), dm-haiku#191, optax#46 (an integer beta), #1500 (a float loss).
    """
    odd = {
        "number": 1.0,
        "scalar": jnp.ones(()),
        "empty": jnp.zeros((0, 3)),
        "deep": jnp.ones((1, 1, 2, 1, 1)),
        "index": jnp.arange(3),
        "flag": jnp.array(True),
        "none": None,
        "complex": jnp.ones(2, jnp.complex64),
    }
    grads = {k: None if k in ("index", "flag", "none") else v for k, v in odd.items()}
    for tx in (gx.adamw(0.1), gx.accumulate(gx.guard(gx.lamb(0.1)), 1), gx.with_ema(gx.sgd(1), 0)):
        params, state = odd, tx.init(odd)
        state = gx.tree.set(state, count=jnp.asarray(2**31 - 1, jnp.int32))
        params, state = tx.step(grads, state, params)
        assert params["none"] is None and params["index"] is odd["index"]
        assert params["empty"].shape == (0, 3) and params["number"] != 1.0
        assert all(int(n) == 2**31 - 1 for _, n in gx.tree.get_all_with_path(state, "count"))
