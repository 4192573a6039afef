"""Where gradients are taken and what is evaluated: two methods of every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.testing import awkward_params, gradients_like
from tests.cases import CASES, matrices
from tests.cases.wrappers import WRAPPERS

TREE = {
    "w": jnp.arange(6.0).reshape(2, 3) / 4,
    "b": jnp.ones(3, jnp.bfloat16),
    "c": jnp.ones(2, jnp.complex64) * (1 + 1j),
}


def like(params):
    """Return shapes and dtypes of a tree."""
    return jax.tree.map(lambda p: (jnp.shape(p), jnp.result_type(p)), params)


def after(tx, params, steps=3, **extra):
    """Return parameters and state after some steps."""
    state = tx.init(params)
    for t in range(steps):
        params, state = tx.step(gradients_like(params, t), state, params, **extra)
    return params, state


@pytest.mark.parametrize("name", CASES)
def test_points_are_like_the_parameters(name):
    """For every transformation, seen as shapes: as they are inside jit and scan."""
    tx = CASES[name].make()
    params = awkward_params(CASES[name].options.get("dtypes", ("float32", "bfloat16", "int32")))
    state = jax.eval_shape(tx.init, params)
    for method in (tx.grad_params, tx.eval_params):
        assert like(jax.eval_shape(method, state, params)) == like(params)


@pytest.mark.parametrize("name", WRAPPERS)
def test_points_are_the_parameters_themselves_or_arrays_of_their_own(name):
    """So (params, state) can be donated while an evaluation still uses what it was given."""
    tx, params = WRAPPERS[name].make(), {"w": jnp.ones((2, 3)), "h": jnp.ones(2, jnp.bfloat16)}
    state = tx.init(params)
    held = {x.unsafe_buffer_pointer() for x in jax.tree.leaves(state) if isinstance(x, jax.Array)}
    for method in (tx.grad_params, tx.eval_params):
        for x, p in zip(*map(jax.tree.leaves, (method(state, params), params)), strict=True):
            assert x is p or x.unsafe_buffer_pointer() not in held


def evaluated_by(tx):
    """Return the evaluated parameters after some steps, and what the same tx says inside jit."""
    params, state = after(tx, {"w": TREE["w"]})
    got = tx.eval_params(state, params)["w"]
    np.testing.assert_array_equal(jax.jit(tx.eval_params)(state, params)["w"], got)
    return got, params["w"], state


def test_identity_is_the_same_object():
    params = {"w": jnp.ones(2)}
    for tx in (gx.adamw(0.1), gx.flatten(gx.sgd(0.1)), gx.split_real_and_imaginary(gx.sgd(0.1))):
        state = tx.init(params)
        assert tx.grad_params(state, params) is params
        assert tx.eval_params(state, params) is params


def test_pair_of_functions_is_the_identity():
    params = {"w": jnp.ones(2)}
    pair = gx.GradientTransformation(lambda params: (), lambda u, s, params=None: (u, s))
    assert pair.eval_params((), params) is params
    both = gx.chain(pair, gx.sgd(0.1))
    assert both.grad_params(both.init(params), params) is params


def test_classical_nesterov_takes_its_gradient_ahead():
    """`lookahead_point` is this protocol for those who have the state alone."""
    tx = gx.chain(gx.clip(1.0), gx.nesterov_lookahead(0.1, 0.9))
    params, state = after(tx, TREE)
    ahead = tx.grad_params(state, params)
    expected = gx.apply_updates(params, state[1].ahead)
    for name in TREE:
        assert ahead[name].dtype == TREE[name].dtype
        np.testing.assert_array_equal(ahead[name], expected[name])
        np.testing.assert_array_equal(ahead[name], gx.lookahead_point(params, state)[name])
    assert tx.eval_params(state, params) is params


@pytest.mark.parametrize(
    "around",
    [
        lambda tx: gx.chain(gx.identity(), tx),
        lambda tx: gx.named_chain(("a", gx.identity()), ("b", tx)),
        lambda tx: gx.masked(tx, {"w": True, "n": False}),
        lambda tx: gx.partition({"m": tx, "r": gx.sgd(0.1)}, {"w": "m", "n": "r"}),
        lambda tx: gx.MultiSteps(tx, 1),
        lambda tx: gx.apply_if_finite(tx, 2),
        lambda tx: gx.conditionally_mask(tx, lambda count: count >= 0),
        lambda tx: gx.inject_hyperparams(lambda rate: gx.chain(gx.scale(rate), tx))(rate=1.0),
        lambda tx: gx.flatten(tx),
        lambda tx: gx.split_real_and_imaginary(tx),
        lambda tx: gx.with_average(gx.with_ema(tx, 0.9), start=100),
        lambda tx: gx.lookahead(tx, 100, 0.5, slow_in_state=True),
    ],
    ids=[
        "chain",
        "named",
        "masked",
        "partition",
        "MultiSteps",
        "guard",
        "condition",
        "inject",
        "flatten",
        "split",
        "averages",
        "lookahead",
    ],
)
def test_points_are_found_inside(around):
    params = {"w": TREE["c"], "n": jnp.arange(2)}
    bare = gx.nesterov_lookahead(0.1)
    tx, grads = around(bare), {"w": TREE["c"], "n": None}
    wanted, expected_state = bare.step(grads, bare.init(params), params)
    new, state = tx.step(grads, tx.init(params), params)
    got = tx.grad_params(state, new)
    expected = bare.grad_params(expected_state, wanted)
    np.testing.assert_allclose(got["w"], expected["w"], rtol=1e-6)
    assert got["w"].dtype == params["w"].dtype
    assert got["n"] is params["n"]


def test_lookahead_trains_fast_and_evaluates_slow():
    tx = gx.lookahead(gx.sgd(0.1), 5, 0.5, slow_in_state=True)
    got, fast, state = evaluated_by(tx)
    np.testing.assert_array_equal(got, state.slow["w"])
    assert np.any(got != fast)
    pair = gx.LookaheadParams.init_synced({"w": TREE["w"]})
    tx = gx.chain(gx.clip(1.0), gx.lookahead(gx.sgd(0.1), 5, 0.5))
    state = tx.init(pair)
    pair, state = tx.step(pair.fit_updates({"w": TREE["w"]}), state, pair)
    assert tx.grad_params(state, pair)["w"] is pair.fast["w"]
    assert tx.eval_params(state, pair)["w"] is pair.slow["w"]


def test_sam_evaluates_where_the_ascent_began():
    tx = gx.sam(gx.sgd(0.1), gx.chain(gx.normalize(), gx.sgd(0.5)), sync_period=3)
    params, state = {"w": TREE["w"]}, tx.init({"w": TREE["w"]})
    origin = params["w"]
    for t in range(7):
        params, state = tx.step(gradients_like(params, t), state, params)
        if t % 3 == 2:
            origin = params["w"]
        np.testing.assert_array_equal(tx.eval_params(state, params)["w"], origin)
        assert (t % 3 == 2) == bool(np.all(params["w"] == origin))
    opaque = gx.sam(gx.sgd(0.1), gx.normalize(), opaque_mode=True)
    assert opaque.eval_params(opaque.init(params), params) is params


def test_sam_asks_the_one_whose_turn_it_is():
    tx = gx.sam(gx.nesterov_lookahead(0.1, 0.5), gx.sgd(0.1), sync_period=2)
    params, state = after(tx, {"w": TREE["w"]}, steps=2)
    np.testing.assert_array_equal(tx.grad_params(state, params)["w"], params["w"])
    params, state = tx.step(params, state, params)
    ahead = params["w"] + state.opt_state.ahead["w"]
    np.testing.assert_allclose(tx.grad_params(state, params)["w"], ahead, rtol=1e-6)


def test_schedule_free_evaluates_its_average():
    tx = gx.chain(gx.clip(1.0), gx.schedule_free_sgd(0.1))
    got, y, state = evaluated_by(tx)
    np.testing.assert_array_equal(got, gx.schedule_free_eval_params(state, {"w": y})["w"])
    assert tx.grad_params(state, {"w": y})["w"] is y
    groups = gx.partition({"a": gx.schedule_free_sgd(0.1), "b": gx.sgd(0.1)}, {"w": "a", "v": "b"})
    params, state = after(groups, {"w": TREE["w"], "v": TREE["w"]})
    got = groups.eval_params(state, params)
    np.testing.assert_array_equal(got["w"], gx.schedule_free_eval_params(state, params)["w"])
    assert got["v"] is params["v"]


def test_diloco_evaluates_the_anchor():
    """On which all replicas agree; gradients are taken where each of them is."""
    tx = gx.sharding.diloco(gx.nesterov_lookahead(0.1), every=4, axis=None, fragments=2)
    params, state = after(tx, {"w": TREE["w"], "b": TREE["b"]})
    got, ahead = tx.eval_params(state, params), tx.grad_params(state, params)
    for name, p in params.items():
        np.testing.assert_array_equal(got[name], state.anchor[name].astype(p.dtype))
        assert got[name].dtype == ahead[name].dtype == p.dtype
        step = state.inner_state.ahead[name]
        np.testing.assert_allclose(
            np.float32(ahead[name]), np.float32(p.astype("float32") + step), rtol=1e-2
        )


def test_projected_states_have_no_points():
    tx = gx.scale_by_galore(1, base_optimizer=gx.nesterov_lookahead(0.1))
    params = {"w": jnp.ones((4, 3))}
    assert tx.grad_params(tx.init(params), params) is params


def test_masks_that_are_functions_see_the_parameters():
    tx = gx.masked(gx.lookahead(gx.sgd(0.1), 5, 0.5, slow_in_state=True), matrices)
    params = {"w": TREE["w"], "b": TREE["b"]}
    moved, state = after(tx, params)
    got = tx.eval_params(state, moved)
    np.testing.assert_array_equal(got["w"], TREE["w"])
    assert got["b"] is moved["b"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("spread", [None, "replica"])
def test_averages_of_spread_parameters_are_those_of_whole_ones(kind, spread):
    mesh = jax.make_mesh((2, 4), ("replica", "data"), axis_types=(kind, kind))
    specs = {"w": P("data")}
    inner = gx.with_ema(gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1)), 0.9)
    params = {"w": jnp.arange(16.0).reshape(8, 2)}
    expected_params, expected_state = after(inner, params)
    tx = gx.sharding.sharded(inner, specs, spread=spread)
    with jax.set_mesh(mesh):
        placed = jax.device_put(params, jax.NamedSharding(mesh, specs["w"]))
        state, new = jax.jit(tx.init)(placed), placed
        for t in range(3):
            grads = jax.device_put(gradients_like(params, t), jax.NamedSharding(mesh, specs["w"]))
            new, state = jax.jit(tx.step)(grads, state, new)
        got = jax.jit(tx.eval_params)(state, new)["w"]
    expected = inner.eval_params(expected_state, expected_params)["w"]
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert kind is AxisType.Auto or got.sharding.spec[0] == "data"


def test_points_inside_a_scan_and_a_map():
    tx = gx.with_ema(gx.nesterov_lookahead(0.1), 0.9)

    def train(start):
        def step(carry, _):
            params, state = carry
            grads = jax.grad(lambda w: jnp.sum(w**2))(tx.grad_params(state, params))
            return tx.step(grads, state, params)[::1], None

        (params, state), _ = jax.lax.scan(step, (start, tx.init(start)), length=5)
        return tx.eval_params(state, params)

    one = train(jnp.ones(2))
    many = jax.vmap(train)(jnp.ones((3, 2)))
    np.testing.assert_allclose(many, jnp.stack([one] * 3), rtol=1e-6)
    assert np.all(np.abs(one) < 1)
