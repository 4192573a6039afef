"""Reading, setting and sweeping hyperparameters that are in a state."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from tests.hyperparams.test_tunable import PARAMS, after, assert_same, falling, gradient, groups


def test_names_and_values():
    tx = gx.tunable(groups())
    now = gx.hyperparams(tx, tx.init(PARAMS))
    assert list(now) == [
        *("max_norm", "a/learning_rate", "b1", "b2", "eps", "eps_root", "weight_decay"),
        *("b/learning_rate", "momentum"),
    ]
    assert {x.shape for x in now.values()} == {()}
    assert float(now["b/learning_rate"]) == np.float32(0.2)


def test_names_are_understood_with_any_of_what_leads_to_them():
    tx = gx.tunable(groups())
    state = tx.init(PARAMS)
    for name in ("a/learning_rate", "adamw/learning_rate", "a/adamw/learning_rate"):
        changed = gx.set_hyperparams(tx, state, {name: 0.5})
        assert float(gx.hyperparams(tx, changed)["a/learning_rate"]) == 0.5


def test_several_tunables_in_one_transformation():
    one, two = gx.tunable(gx.sgd(0.1), "learning_rate"), gx.tunable(gx.adam(0.2), "learning_rate")
    same = gx.chain(one, one)
    assert list(gx.hyperparams(same, same.init(PARAMS))) == [
        *("tunable#1/learning_rate", "tunable#2/learning_rate")
    ]
    tx = gx.apply_if_finite(gx.partition({"a": one, "b": two}, {"w": "a", "b": "b"}), 2)
    state = gx.set_hyperparams(tx, tx.init(PARAMS), {"b/learning_rate": 0.5})
    now = {name: float(x) for name, x in gx.hyperparams(tx, state).items()}
    assert now == {"a/learning_rate": np.float32(0.1), "b/learning_rate": 0.5}


def test_what_is_set_is_what_is_made():
    tx = gx.tunable(gx.adamw(0.1))
    state = gx.set_hyperparams(tx, tx.init(PARAMS), {"adamw/b2": 0.99999}, learning_rate=0.01)
    assert_same(after(tx, 5, state=state)[0], after(gx.adamw(0.01, b2=0.99999), 5)[0])


def test_setting_inside_jit():
    tx = gx.tunable(gx.adamw(0.1))
    state = tx.init(PARAMS)
    inside = jax.jit(lambda s, b: gx.set_hyperparams(tx, s, b1=b, b2=0.9))(state, 0.5)
    outside = gx.set_hyperparams(tx, state, b1=0.5, b2=0.9)
    assert jax.tree.map(jax.typeof, inside) == jax.tree.map(jax.typeof, outside)
    for x, y in zip(jax.tree.leaves(inside), jax.tree.leaves(outside), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)


def test_the_first_state_is_described_alike():
    tx = gx.tunable(gx.adamw(falling))
    described = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), PARAMS)
    shapes = [(x.shape, x.dtype) for x in jax.tree.leaves(tx.init(described))]
    assert shapes == [(x.shape, x.dtype) for x in jax.tree.leaves(tx.init(PARAMS))]


def test_a_place_on_devices_is_kept():
    mesh = jax.make_mesh((8,), ("x",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    tx = gx.tunable(gx.sgd(0.1))
    state = jax.device_put(tx.init(PARAMS), everywhere)
    state = gx.set_hyperparams(tx, state, learning_rate=0.2)
    assert state.hyperparams["learning_rate"].sharding == everywhere


RUNS = {"learning_rate": [0.1, 0.02, 0.3], "b1": [0.9, 0.5, 0.0]}


@pytest.mark.slow
def test_sweep():
    """All runs at once are the runs one by one."""
    tx = gx.tunable(gx.adamw(0.1))
    params, states = gx.sweep(tx, PARAMS, RUNS)
    np.testing.assert_array_equal(gx.hyperparams(tx, states)["b1"], np.float32(RUNS["b1"]))
    step = jax.jit(jax.vmap(tx.step))
    for t in range(10):
        params, states = step(gradient(params, t), states, params)
    for run, (rate, b1) in enumerate(zip(*RUNS.values(), strict=True)):
        expected, _ = after(gx.adamw(rate, b1=b1), 10)
        for x, y in zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(x[run], y, rtol=1e-5, atol=1e-6)


def test_sweep_of_numbers_that_the_first_state_is_made_of():
    tx = gx.tunable(gx.adagrad(0.1, 0.1))
    _, states = gx.sweep(tx, PARAMS, initial_accumulator_value=[0.1, 0.7])
    start = gx.adagrad(0.1, 0.7).init(PARAMS)
    assert_same(jax.tree.map(lambda x: x[1], states.inner_state), start)


def test_sweep_of_a_scheduled_number():
    tx = gx.tunable(gx.sgd(falling))
    _, states = gx.sweep(tx, PARAMS, learning_rate=[0.1, 0.7])
    np.testing.assert_allclose(gx.hyperparams(tx, states)["learning_rate"], [0.1, 0.7])
    states = gx.release_hyperparams(tx, states)
    np.testing.assert_allclose(gx.hyperparams(tx, states)["learning_rate"], [0.1, 0.1])
    states = gx.set_hyperparams(tx, states, learning_rate=np.array([0.5, 0.25]))
    np.testing.assert_allclose(gx.hyperparams(tx, states)["learning_rate"], [0.5, 0.25])


def test_a_product_is_that_of_itertools():
    grid = zip(*itertools.product([0.1, 0.2], [0.9, 0.8]), strict=True)
    tx = gx.tunable(gx.adam(0.1))
    _, states = gx.sweep(tx, PARAMS, dict(zip(("learning_rate", "b1"), grid, strict=True)))
    np.testing.assert_allclose(gx.hyperparams(tx, states)["learning_rate"], [0.1, 0.1, 0.2, 0.2])


@pytest.mark.slow
def test_gradients_with_respect_to_them():
    """Through unrolled steps, against central differences."""
    tx = gx.tunable(gx.adamw(0.01), "learning_rate", "b1", "weight_decay")

    def loss(values):
        params = jnp.linspace(-1.0, 1.0, 5)
        carry = params, gx.set_hyperparams(tx, tx.init(params), values)
        (params, _), _ = jax.lax.scan(
            lambda c, t: (tx.step(gradient(c[0], t), c[1], c[0]), None), carry, jnp.arange(4.0)
        )
        return jnp.sum(jnp.square(params))

    with jax.enable_x64(True):
        values, h = {"learning_rate": 0.01, "b1": 0.9, "weight_decay": 0.1}, 1e-6
        compiled = jax.jit(loss)
        for name, slope in jax.grad(loss)(values).items():
            up, down = (compiled(values | {name: values[name] + d}) for d in (h, -h))
            np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=1e-5)


ADAM = gx.tunable(gx.adam(0.1), "learning_rate", "b1")


def set_on(tx, **named):
    """Return a call of set_hyperparams on the first state."""
    return lambda: gx.set_hyperparams(tx, tx.init(PARAMS), **named)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (set_on(ADAM, b1=1.0), ValueError, "adam: `b1` must be a finite number in [0, 1), but"),
        (set_on(ADAM, b1=np.array([0.1, 0.2])), TypeError, "but has the shape (2,)"),
        (set_on(ADAM, learning_rate=-1), ValueError, "`learning_rate` must be a finite number in"),
        (set_on(ADAM, learning_rate=falling), TypeError, "given to tunable(tx, learning_rate=..."),
        (set_on(ADAM, learning_rate=None), TypeError, "Whether it is there decides"),
        (set_on(ADAM, learning_rate="x"), TypeError, "must be a finite number"),
        (set_on(ADAM, b11=0.1), ValueError, "no number `b11`. Did you mean `b1`? There are `lear"),
        (set_on(gx.tunable(groups()), learning_rate=1), ValueError, "`learning_rate` is ambiguous"),
        (set_on(gx.adam(0.1), b1=0.1), ValueError, "no hyperparameters are in the state of adam("),
        (
            lambda: gx.set_hyperparams(ADAM, ADAM.init(PARAMS), {"adam/b1": 0.1}, b1=0.2),
            ValueError,
            "given twice",
        ),
        (
            lambda: gx.release_hyperparams(ADAM, ADAM.init(PARAMS), "b1"),
            ValueError,
            "`b1` follows no schedule",
        ),
        (lambda: gx.sweep(ADAM, PARAMS), ValueError, "of one length"),
        (lambda: gx.sweep(ADAM, PARAMS, b1=0.5), TypeError, "must be a list of numbers"),
        (lambda: gx.sweep(ADAM, PARAMS, b1=[0.5, 2.0]), ValueError, "in [0, 1), but is 2.0"),
        (
            lambda: gx.sweep(ADAM, PARAMS, b1=[0.5, 0.2], learning_rate=[0.1]),
            ValueError,
            "{'b1': 2, 'learning_rate': 1}",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert message in str(raised.value)


def test_a_sweep_over_one_tunable_in_two_places():
    live = gx.tunable(gx.adagrad(0.1, initial_accumulator_value=0.1))
    tx = gx.groups(("a", live), ("*", live))
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    ours = {"a/learning_rate": [0.1, 0.2], "*/initial_accumulator_value": [0.5, 0.6]}
    _, states = gx.sweep(tx, params, ours)
    now = gx.hyperparams(tx, states)
    np.testing.assert_allclose(now["a/learning_rate"], [0.1, 0.2])
    np.testing.assert_allclose(now["*/learning_rate"], [0.1, 0.1])
    sums = states["*"].inner_state[0].sum_of_squares["b"]
    np.testing.assert_allclose(sums, [[0.5, 0.5], [0.6, 0.6]])
    np.testing.assert_allclose(states["a"].inner_state[0].sum_of_squares["a"], 0.1)
    with pytest.raises(ValueError, match=r"of one length, but .*'a/learning_rate': 2, '\*/learn"):
        gx.sweep(tx, params, {"a/learning_rate": [0.1, 0.2], "*/learning_rate": [0.5, 0.6, 0.7]})


def test_a_sweep_over_a_tunable_that_is_made_anew_by_another():
    tx = gx.tunable(gx.tunable(gx.adamw(1e-3), "b1"))
    _, states = gx.sweep(tx, PARAMS, learning_rate=[0.1, 0.2], b1=[0.5, 0.6])
    now = gx.hyperparams(tx, states)
    np.testing.assert_allclose(now["b1"], [0.5, 0.6])
    np.testing.assert_allclose(now["learning_rate"], [0.1, 0.2])


def test_nothing_traced_is_kept_of_a_sweep_outside_of_jit():
    tx = gx.tunable(gx.sgd(0.1))
    with jax.checking_leaks():
        params, states = gx.sweep(tx, PARAMS, learning_rate=[0.1, 0.2])
        jax.vmap(lambda p, s: tx.step(p, s, p))(params, states)


def test_a_sweep_of_parameters_among_other_leaves():
    """Modules hold functions, flags and texts beside their arrays."""
    tx = gx.tunable(gx.adam(0.1))
    model = {"w": jnp.ones(2), "activation": jnp.tanh, "name": "layer", "none": None, "x": 2.0}
    models, states = gx.sweep(tx, model, learning_rate=[0.1, 0.2])
    assert models["activation"] is jnp.tanh and models["name"] == "layer"
    assert models["w"].shape == (2, 2) and models["x"].shape == (2,)
    assert states.inner_state[0].mu["w"].shape == (2, 2)

    def step(w, state):
        grads = {key: w if key == "w" else None for key in model}
        return tx.step(grads, state, model | {"w": w})[0]["w"]

    found = jax.vmap(step)(models["w"], states)
    np.testing.assert_allclose(found, [[0.9, 0.9], [0.8, 0.8]], rtol=1e-5)
