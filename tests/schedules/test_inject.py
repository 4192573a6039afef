"""Hyperparameters in the state: read, set, scheduled, and what may not be there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.array([1.0, 2.0]), "b": jnp.zeros((), jnp.bfloat16)}
ONES = jax.tree.map(jnp.ones_like, PARAMS)
RATE = gx.schedules.linear_schedule(0.75, 0.0, 3)


def weighted(weight, power=1):
    """Return a transformation, as a constructor of the user's own would."""
    return gx.stateless_with_tree_map(lambda g, p: g * jnp.asarray(weight, g.dtype) ** power)


def own(learning_rate, b2):
    """Return Adam with an epsilon of its own, as a constructor of the user's own would."""
    return gx.chain(gx.scale_by_adam(b2=b2, eps=1e-6), gx.scale(-learning_rate))


def ran(tx, steps=5, state=None, jitted=True):
    """Return the updates of the last step and the state after it."""
    state, updates = tx.init(PARAMS) if state is None else state, None
    update = jax.jit(tx.update) if jitted else tx.update
    for t in range(steps):
        gradient = jax.tree.map(lambda p, t=t: jnp.sin(p * (3 + t) + t), PARAMS)
        updates, state = update(gradient, state, PARAMS)
    return updates, state


def assert_same(one, other):
    """Assert that two trees have the same bits."""
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("jitted", [True, False], ids=["jit", "eager"])
@pytest.mark.parametrize("factory", [gx.adamw, own])
def test_the_numbers_are_those_of_the_bare_transformation(factory, jitted):
    """In float32 alone 1 - b2 would be 1.4e-3 off here."""
    updates, state = ran(gx.inject_hyperparams(factory)(0.1, b2=0.99999), jitted=jitted)
    assert_same((updates, state.inner_state), ran(factory(0.1, b2=0.99999), jitted=jitted))


@pytest.mark.parametrize("b2", [1 - 1e-9, 0.0])
def test_decays_at_the_ends(b2):
    """In float32 the first is 1."""
    tx = gx.inject_hyperparams(gx.scale_by_adam)(b2=b2)
    state = tx.init(PARAMS)
    assert state.hyperparams["b2"] == np.float32(b2)
    for jitted in (True, False):
        updates, _ = ran(tx, jitted=jitted)
        expected, _ = ran(gx.scale_by_adam(b2=b2), jitted=jitted)
        np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-6)


def test_a_decay_that_was_set_is_what_its_array_holds():
    """As `set_hyperparams` has it; 1 - decay of the number itself is another by 1.4e-3."""
    tx, tuned = gx.inject_hyperparams(gx.ema)(0.9, False), gx.tunable(gx.ema(0.9, False))
    expected, _ = ran(gx.ema(np.float32(0.99999), False))
    for value in (0.99999, np.float32(0.99999), jnp.float32(0.99999)):
        state = tx.init(PARAMS)
        state.hyperparams["decay"] = value
        np.testing.assert_allclose(ran(tx, state=state)[0]["w"], expected["w"], rtol=1e-6)
    state = gx.set_hyperparams(tuned, tuned.init(PARAMS), decay=jnp.float32(0.99999))
    np.testing.assert_allclose(ran(tuned, state=state)[0]["w"], expected["w"], rtol=1e-6)


def test_a_schedule_that_gives_a_number_gives_it_exactly():
    tx = gx.inject_hyperparams(gx.adam)(0.1, b2=lambda count: 0.99999)
    assert_same(ran(tx)[0], ran(gx.adam(0.1, b2=0.99999))[0])
    assert_same(ran(tx, jitted=False)[0], ran(gx.adam(0.1, b2=0.99999), jitted=False)[0])


def test_eager_steps_make_it_once():
    calls = []

    def counting(rate):
        calls.append(rate)
        return gx.scale(rate)

    tx = gx.inject_hyperparams(counting)(0.5)
    state, before = tx.init(PARAMS), len(calls)
    _, state = ran(tx, 3, state, jitted=False)
    assert len(calls) == before + 1
    state.hyperparams["rate"] = 0.25
    updates, _ = tx.update(ONES, state, PARAMS)
    assert updates["w"][0] == 0.25 and len(calls) == before + 2


def test_nothing_of_a_trace_is_kept():
    tx = gx.inject_hyperparams(gx.sgd)(RATE)
    jax.eval_shape(gx.with_metrics(tx, "learning_rate").init, PARAMS)
    (made,) = tx.update.body.children
    assert float(made.description.arguments["learning_rate"]) == 0.75


def test_points_are_those_of_the_numbers_in_the_state():
    tx = gx.inject_hyperparams(lambda rho: gx.sam(gx.sgd(0.1), gx.sgd(rho)))(0.5)
    _, state = tx.step(ONES, tx.init(PARAMS), PARAMS)
    for rho in (jnp.float32(0.25), 0.25):
        state.hyperparams["rho"] = rho
        bare = gx.sam(gx.sgd(0.1), gx.sgd(0.25))
        expected = bare.eval_params(state.inner_state, PARAMS)
        assert_same(tx.eval_params(state, PARAMS), expected)


def test_they_are_read_and_set():
    tx = gx.inject_hyperparams(gx.sgd)(0.5)
    state = tx.init(PARAMS)
    assert state.hyperparams == {"learning_rate": 0.5}
    assert state.hyperparams["learning_rate"].dtype == jnp.float32
    for value in (0.25, np.float64(0.25), jnp.float32(0.25)):
        state.hyperparams["learning_rate"] = value
        updates, after = tx.update(ONES, state, PARAMS)
        np.testing.assert_array_equal(updates["w"], [-0.25, -0.25])
        assert after.hyperparams["learning_rate"].dtype == jnp.float32
        assert not after.hyperparams["learning_rate"].weak_type
        params, _ = jax.jit(tx.step)(ONES, state, PARAMS)
        np.testing.assert_array_equal(params["w"], PARAMS["w"] - 0.25)


def test_a_schedule_in_the_place_of_a_number():
    """Also where the constructor takes numbers only; the first step sees count 0."""
    tx = gx.inject_hyperparams(gx.trace)(RATE)
    state, seen = tx.init(PARAMS), []
    for _ in range(3):
        _, state = tx.update(ONES, state, PARAMS)
        seen.append(float(state.hyperparams["decay"]))
    np.testing.assert_allclose(seen, [0.75, 0.5, 0.25])
    assert (state.count, state.hyperparams_states["decay"].count) == (3, 3)


class Falling:
    """A schedule that halves its number whenever it is told that the loss is high."""

    def init(self):
        return jnp.float32(1.0)

    def update(self, state, *, value, **extra):
        return jnp.where(value > 1, state / 2, state)

    def __call__(self, state, **extra):
        return state


def test_a_schedule_with_a_state():
    tx = gx.inject_hyperparams(gx.scale)(Falling())
    state, seen = tx.init(PARAMS), []
    for value in (2.0, 0.0, 2.0, 0.0):
        updates, state = tx.update(ONES, state, PARAMS, value=value)
        seen.append(float(updates["w"][0]))
    assert seen == [1.0, 0.5, 0.5, 0.25]


def test_constructors_of_your_own():
    """Every number is one, and every function a schedule, unless said otherwise."""
    tx = gx.inject_hyperparams(weighted)(RATE)
    assert set(tx.init(PARAMS).hyperparams) == {"weight", "power"}
    tx = gx.inject_hyperparams(weighted, static_args="power")(2.0, power=3)
    updates, state = tx.update(ONES, tx.init(PARAMS), PARAMS)
    assert set(state.hyperparams) == {"weight"}
    np.testing.assert_array_equal(updates["w"], [8.0, 8.0])


@pytest.mark.parametrize("key", [jax.random.key(0), jax.random.PRNGKey(0)], ids=["key", "raw"])
def test_arrays_with_axes_and_keys_of_your_own_stay_out(key):
    def noisy(scale, weights, key, on, of=None):
        assert on
        assert of is None
        noise = jax.random.normal(key, (2,))
        return gx.stateless_with_tree_map(lambda g, p: jnp.asarray(scale) * g + weights * noise)

    params = {"w": PARAMS["w"]}
    tx = gx.inject_hyperparams(noisy)(0.5, jnp.array([1.0, 2.0]), key, np.array(True))
    state = tx.init(params)
    assert set(state.hyperparams) == {"scale"}
    updates, _ = jax.jit(tx.update)(params, state, params)
    noise = jax.random.normal(key, (2,))
    expected = 0.5 * params["w"] + jnp.array([1.0, 2.0]) * noise
    np.testing.assert_allclose(updates["w"], expected, rtol=1e-6)


def test_what_decides_about_structure_stays_out():
    tx = gx.inject_hyperparams(gx.adafactor)(0.1, min_dim_size_to_factor=2, momentum=0.5)
    state = jax.jit(tx.init)(PARAMS)
    assert "min_dim_size_to_factor" not in state.hyperparams
    assert {"learning_rate", "momentum", "decay_rate"} <= set(state.hyperparams)
    mask = lambda params: jax.tree.map(lambda p: p.ndim == 1, params)  # noqa: E731
    state = gx.inject_hyperparams(gx.adamw)(0.1, mask=mask).init(PARAMS)
    assert not {"mask", "nesterov", "mu_dtype"} & set(state.hyperparams)


def test_the_dtype_of_the_numbers():
    wide = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    assert gx.inject_hyperparams(gx.adam)(0.1).init(wide).hyperparams["b2"] == np.float32(0.999)
    tx = gx.inject_hyperparams(gx.sgd, hyperparam_dtype=jnp.bfloat16)(0.1)
    assert tx.init(PARAMS).hyperparams["learning_rate"].dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"`b2` must be a finite number .* but is 1"):
        gx.inject_hyperparams(gx.adam, hyperparam_dtype=jnp.bfloat16)(0.1).init(PARAMS)


def test_a_sweep_is_a_vmap():
    tx = gx.inject_hyperparams(gx.sgd)(0.1)

    def final(rate):
        state = tx.init(PARAMS)
        state.hyperparams["learning_rate"] = rate
        return tx.step(ONES, state, PARAMS)[0]["w"]

    np.testing.assert_allclose(
        jax.vmap(final)(jnp.array([0.0, 0.5])), [[1.0, 2.0], [0.5, 1.5]], rtol=1e-6
    )


def test_it_prints_as_it_is_called():
    tx = gx.inject_hyperparams(gx.sgd)(0.1, momentum=0.9)
    assert repr(tx) == "inject_hyperparams(sgd)(learning_rate=0.1, momentum=0.9)"
    assert tx == gx.inject_hyperparams(gx.sgd)(learning_rate=0.1, momentum=0.9)
    assert gx.from_config(tx.to_config()) == tx
    static = gx.inject_hyperparams(gx.sgd, static_args=("momentum",))(0.1)
    assert repr(static).startswith("inject_hyperparams(sgd, static_args=('momentum',))(")


def test_dtypes_of_states_are_changed_inside_too():
    tx = gx.with_state_dtype(gx.inject_hyperparams(gx.adam)(0.1), mu="bfloat16")
    state = tx.init(PARAMS)
    assert state.inner_state[0].mu["w"].dtype == jnp.bfloat16
    _, state = tx.update(ONES, state, PARAMS)
    assert state.inner_state[0].mu["w"].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: gx.inject_hyperparams(gx.adam(0.1)),
            TypeError,
            "Give the arguments in a second call",
        ),
        (
            lambda: gx.inject_hyperparams(gx.adam, static_args="lr"),
            ValueError,
            "`static_args` must be arguments of adam, .* but 'lr' is not",
        ),
        (
            lambda: gx.inject_hyperparams(gx.adam)(learning_rat=0.1),
            TypeError,
            "Did you mean `learning_rate`",
        ),
        (lambda: gx.inject_hyperparams(gx.adam)(0.1, b1=2.0), ValueError, r"`b1` must be"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make().init(PARAMS)


def test_errors_at_a_step():
    tx = gx.inject_hyperparams(gx.sgd)(0.1)
    state = tx.init(PARAMS)
    state.hyperparams["lr"] = 0.2
    with pytest.raises(ValueError, match=r"must be \['learning_rate'\], but are \['learning_rat"):
        tx.update(ONES, state, PARAMS)
    state = tx.init(PARAMS)
    state.hyperparams["learning_rate"] = jnp.ones(2)
    with pytest.raises(TypeError, match="`learning_rate` must be one number"):
        tx.update(ONES, state, PARAMS)
    for value in (None, RATE, "0.1", True, jax.random.key(0)):
        state.hyperparams["learning_rate"] = value
        with pytest.raises(TypeError, match="`learning_rate` must be one number, but is "):
            tx.update(ONES, state, PARAMS)
    state.hyperparams["learning_rate"] = -1.0
    with pytest.raises(ValueError, match="sgd: `learning_rate` must be a finite number in"):
        tx.update(ONES, state, PARAMS)
