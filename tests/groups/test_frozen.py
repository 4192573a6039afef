"""Frozen parameters cost nothing, wherever the groups stand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

import gradtx as gx
from tests.sharding import runs
from tests.sharding.test_sharded import run_like_one_device, shard_map_like_one_device

PARAMS = {"lora": jnp.zeros((4, 2)), "base": jnp.ones((40, 40), jnp.bfloat16)}
GRADIENTS = {"lora": jnp.full((4, 2), 0.5), "base": jnp.full((40, 40), 9.0, jnp.bfloat16)}
FROZEN = gx.groups(("lora", gx.adam(0.1)), ("base", None))
ALONE = gx.adam(0.1)

AROUND = {
    "accumulate": lambda tx: gx.accumulate(tx, 2),
    "MultiSteps": lambda tx: gx.MultiSteps(tx, 2).gradient_transformation(),
    "guard": gx.guard,
    "loss_scaling": gx.loss_scaling,
    "with_metrics": gx.with_metrics,
    "with_rounding": lambda tx: gx.with_rounding(tx, "kahan"),
    "with_ema": lambda tx: gx.with_ema(tx, 0.9),
    "tunable": gx.tunable,
    "lookahead": lambda tx: gx.lookahead(tx, 5, 0.5, slow_in_state=True),
    "schedule_free": lambda tx: gx.schedule_free(tx, 0.1),
    "mechanize": gx.mechanize,
    "sam": lambda tx: gx.sam(tx, gx.sgd(0.05)),
    "chain": lambda tx: gx.chain(gx.clip_by_global_norm(1.0), gx.trace(0.9), tx),
    "deep": lambda tx: gx.with_ema(gx.accumulate(gx.guard(gx.chain(gx.clip(1.0), tx)), 2), 0.9),
}


def nbytes(state):
    return sum(x.nbytes for x in jax.tree.leaves(state))


@pytest.mark.parametrize("name", AROUND)
def test_what_stands_around_holds_and_does_what_it_would_without_them(name):
    tx, alone = AROUND[name](FROZEN), AROUND[name](ALONE)
    lora = {"lora": PARAMS["lora"]}
    params, state = PARAMS, tx.init(PARAMS)
    expected, other = lora, alone.init(lora)
    assert nbytes(state) == nbytes(other)
    for _ in range(3):
        updates, _ = tx.update(GRADIENTS, state, params)
        assert updates["base"].dtype == jnp.bfloat16 and not updates["base"].any()
        params, state = tx.step(GRADIENTS, state, params)
        expected, other = alone.step({"lora": GRADIENTS["lora"]}, other, expected)
        np.testing.assert_array_equal(params["lora"], expected["lora"])
        assert params["base"] is PARAMS["base"]
    evaluated = tx.eval_params(state, params)
    np.testing.assert_array_equal(evaluated["base"], PARAMS["base"])
    np.testing.assert_array_equal(evaluated["lora"], alone.eval_params(other, expected)["lora"])
    assert "frozen" in tx.explain(params)


@pytest.mark.parametrize("around", [gx.guard, gx.loss_scaling, lambda tx: gx.accumulate(tx, 1)])
def test_a_nan_in_a_frozen_gradient_is_of_no_matter(around):
    broken = GRADIENTS | {"base": jnp.full((40, 40), jnp.nan, jnp.bfloat16)}
    tx = around(FROZEN)
    params, _ = tx.step(broken, tx.init(PARAMS), PARAMS)
    assert jnp.abs(params["lora"]).min() > 0.09 and params["base"] is PARAMS["base"]


def test_metrics_are_of_what_is_trained():
    tx = gx.with_metrics(FROZEN, "grad_norm", "param_norm")
    _, state = tx.step(GRADIENTS, tx.init(PARAMS), PARAMS)
    assert gx.metrics(state)["grad_norm"] == jnp.sqrt(8 * 0.25)
    assert gx.metrics(state)["param_norm"] < 1  # 40 with the others


def test_frozen_gradients_are_not_computed():
    """The first of three layers is frozen: what reaches it alone is not multiplied."""

    def loss(params):
        x = jnp.ones((32, 64))
        for name in "abc":
            x = jnp.tanh(x @ params[name])
        return jnp.sum(x**2)

    params = dict.fromkeys("abc", jnp.eye(64))

    def flops(tx):
        step = jax.jit(lambda s, p: tx.step(jax.grad(loss)(p), s, p))
        return step.lower(tx.init(params), params).compile().cost_analysis()["flops"]

    least = flops(gx.trainable(gx.sgd(0.1), "b|c"))
    assert flops(gx.sgd(0.1)) > 1.15 * least
    assert flops(gx.guard(gx.groups(("a", None), ("*", gx.sgd(0.1))))) < 1.03 * least


def test_what_is_moved_behind_the_groups_counts():
    """Weight decay behind the groups moves all parameters, so that all are in the mean."""
    tx = gx.accumulate(gx.chain(FROZEN, gx.add_decayed_weights(0.1), gx.scale(-1.0)), 1)
    state = tx.init(PARAMS)
    params, _ = tx.step(GRADIENTS, state, PARAMS)
    np.testing.assert_allclose(params["base"].astype(float), 0.9, rtol=1e-2)


def test_set_to_zero_is_a_transformation_like_others():
    """As in Optax its gradients count; it rests, but it is not left out."""
    clip, rest = gx.clip_by_global_norm(1.0), {"lora": gx.sgd(1.0), "base": gx.set_to_zero()}
    tx = gx.chain(clip, gx.partition(rest, {"lora": "lora", "base": "base"}))
    params, _ = tx.step(GRADIENTS, tx.init(PARAMS), PARAMS)
    norm = np.sqrt(8 * 0.25 + 1600 * 81.0)
    np.testing.assert_allclose(params["lora"], -0.5 / norm, rtol=1e-5)


def test_groups_in_groups():
    params = {"a": {"x": jnp.ones(2), "y": jnp.ones(3)}, "b": jnp.ones(4)}
    inner = gx.groups(("a/x", gx.sgd(1.0)), ("a/y", None))
    tx = gx.accumulate(gx.groups(("a/*", inner), ("b", gx.sgd(0.5))), 1)
    state = tx.init(params)
    assert state.acc_grads["a"]["y"] is None and state.acc_grads["b"].shape == (4,)
    updates, _ = tx.update(params, state, params)
    assert jax.tree.map(lambda u: float(u[0]), updates) == {"a": {"x": -1, "y": 0}, "b": -0.5}


@pytest.mark.parametrize("around", [lambda tx: gx.accumulate(tx, 2), gx.guard, gx.tunable])
def test_mistakes_are_told_from_inside(around):
    with pytest.raises(ValueError, match=r"'bas' matches no path\. Did you mean 'base'"):
        around(gx.groups(("lora", gx.sgd(0.1)), ("bas", None))).init(PARAMS)
    with pytest.raises(ValueError, match=r"'lor' matches no path\. Did you mean 'lora'"):
        around(gx.trainable(gx.sgd(0.1), "lor")).init(PARAMS)
    with pytest.raises(ValueError, match="no rule matches 'base'"):
        around(gx.groups(("lora", gx.sgd(0.1)))).init(PARAMS)


@pytest.mark.slow
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_on_many_devices(axis_type, monkeypatch):
    frozen = gx.groups(("odd", None), ("*", gx.adamw(0.1)))
    tx = gx.accumulate(gx.chain(gx.clip_by_global_norm(1.0), frozen), 2)
    monkeypatch.setitem(runs.OPTIMIZERS, "frozen", lambda: tx)
    for mode in ("tensor and zero 2 x 4", "tensor and fsdp 2 x 4"):
        run_like_one_device("frozen", runs.MODES[mode], axis_type, "float32", 4)
    shard_map_like_one_device("frozen", runs.MODES[mode], "float32", 4)


IDENTITY = gx.identity()
TWO = {"body": {"w": jnp.ones((4, 3)), "b": jnp.ones(3)}, "frozen": {"w": jnp.ones((3, 2))}}
BODY = gx.trainable(gx.sgd(0.1), "body/*")


@pytest.mark.parametrize(
    "behind", [IDENTITY, gx.scale(1.0), gx.clip(1.0), gx.trainable(IDENTITY, "body/*")]
)
def test_what_makes_nothing_of_nothing_may_stand_behind(behind):
    """A clip in front is over what is trained, whatever passes on behind."""
    tx = gx.chain(gx.clip_by_global_norm(0.1), BODY, behind)
    updates, _ = tx.update(TWO, tx.init(TWO), TWO)
    np.testing.assert_allclose(updates["body"]["b"], -0.01 / np.sqrt(15), rtol=1e-6)


@pytest.mark.parametrize(
    "tx",
    [
        gx.chain(gx.groups(("bodi/*", None), ("*", gx.adam(0.1))), BODY),
        gx.sam(BODY, gx.groups(("bodi/*", gx.sgd(0.1)), ("*", gx.sgd(0.1)))),
    ],
)
def test_mistakes_in_groups_beside_frozen_ones_are_told(tx):
    with pytest.raises(ValueError, match=r"'bodi/\*' matches no path"):
        tx.init(TWO)


def test_masks_around_are_told_of_all_parameters():
    """To freeze a group does not change what masks and patterns elsewhere are asked."""

    def mask(params):
        return jax.tree.map(lambda p: p.ndim > 1, params)

    decays = gx.add_decayed_weights(0.1, mask), gx.add_decayed_weights(0.1, gx.matching("frozen/w"))
    for decay in (*decays, gx.scale_by_path(("frozen/*", 0.1))):
        tx = gx.chain(decay, BODY)
        updates, _ = tx.update(TWO, tx.init(TWO), TWO)
        np.testing.assert_allclose(updates["body"]["b"], -0.1)


def test_gradients_of_examples():
    """The update of what is frozen has the shape of the parameter, without the examples."""
    mean = gx.differentially_private_aggregate(1.0, 0.1, key=jax.random.key(0))
    examples = jax.tree.map(lambda p: jnp.stack([p] * 5), TWO)
    for tx in (
        gx.chain(mean, BODY),
        gx.groups(("frozen/*", None), ("*", gx.chain(mean, gx.sgd(0.1)))),
    ):
        updates, _ = tx.update(examples, tx.init(TWO), TWO)
        assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, TWO)
