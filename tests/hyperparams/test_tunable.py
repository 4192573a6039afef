"""Hyperparameters in the state: the same steps, the names, schedules, what cannot vary."""

import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core.body import run
from gradtx._core.flow import Flow
from gradtx._hyperparams import tunable as module
from tests.cases import CASES
from tests.core.test_fusion import counted

PARAMS = {"w": jnp.linspace(-1, 1, 8).reshape(2, 4), "b": jnp.ones(3)}


@gx.register
def falling(count):
    """Return a learning rate that falls with the step."""
    return 0.1 / (1.0 + jnp.asarray(count, jnp.float32))


@gx.register
def rising(count):
    """Return a decay that rises with the step."""
    return 1.0 - 0.1 / (1.0 + jnp.asarray(count, jnp.float32))


def gradient(params, t):
    """Return a gradient that turns with the step."""
    return jax.tree.map(lambda p: jnp.sin(p * (3 + t % 5) + t), params)


def after(tx, steps, params=PARAMS, state=None, jitted=True):
    """Return parameters and state after some steps."""
    state = tx.init(params) if state is None else state
    step = jax.jit(tx.step) if jitted else tx.step
    for t in range(steps):
        params, state = step(gradient(params, t), state, params)
    return params, state


def assert_same(one, other):
    """Assert that two trees have the same bits."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


LABELS = {"w": "a", "b": "b"}


def groups():
    """Return a transformation with two groups and names."""
    parts = {"a": gx.adamw(0.1), "b": gx.sgd(0.2, momentum=0.9)}
    return gx.chain(gx.clip_by_global_norm(1.0), gx.partition(parts, LABELS))


SAME = {
    "adamw": lambda: gx.adamw(1e-2, b2=0.99999),
    "lion": lambda: gx.lion(1e-2),
    "lamb": lambda: gx.lamb(1e-2),
    "sgd": lambda: gx.sgd(0.1, momentum=0.9, nesterov=True),
    "scheduled": lambda: gx.adamw(falling),
    "groups": groups,
    "scheduled decay": lambda: gx.ademamix(1e-2, b3=rising),
    "schedule_free": lambda: gx.schedule_free_adamw(0.01, warmup_steps=3),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("adamw", "bfloat16"),
        *(
            pytest.param(name, dtype, marks=pytest.mark.slow)
            for name in SAME
            for dtype in ("float32", "bfloat16")
        ),
    ],
)
def test_the_numbers_of_the_transformation_itself(name, dtype):
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    ours, state = after(gx.tunable(SAME[name]()), 40, params)
    expected, inner = after(SAME[name](), 40, params)
    assert_same((ours, state.inner_state), (expected, inner))


@pytest.mark.slow
def test_the_numbers_of_muon():
    """XLA folds its constant coefficients: compiled they differ by a rounding, eagerly not."""
    tx = gx.muon(0.02)
    ours, _ = after(gx.tunable(tx), 40)
    expected, _ = after(tx, 40)
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)
    assert_same(after(gx.tunable(tx), 3, jitted=False)[0], after(tx, 3, jitted=False)[0])


@pytest.mark.slow
def test_the_numbers_in_float64():
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), PARAMS)
        ours, state = after(gx.tunable(gx.adamw(1e-2, b2=0.99999)), 20, params)
        assert state.hyperparams["learning_rate"].dtype == jnp.float64
        expected, _ = after(gx.adamw(1e-2, b2=0.99999), 20, params)
        for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-14)


def test_a_narrow_parameter_leaves_the_numbers_alone():
    """optax#1414: in bfloat16 b2 = 0.999 would be 1."""
    params = jax.tree.map(lambda p: p.astype("bfloat16"), PARAMS)
    state = gx.tunable(gx.adam(1e-3)).init(params)
    b2 = state.hyperparams["b2"]
    assert {x.dtype for x in jax.tree.leaves(state.hyperparams)} == {jnp.dtype("float32")}
    assert (float(b2.value), float(b2.one_minus)) == (np.float32(0.999), np.float32(0.001))
    assert float(b2.log) == np.float32(np.log(0.999))


def test_decays_are_found_by_what_takes_them():
    state = gx.tunable(gx.schedule_free(gx.sgd(0.1), 0.1, b1=0.9)).init(PARAMS)
    assert isinstance(state.hyperparams["b1"], gx.HeldDecay)  # its annotation is (0, 1]


# Nothing of these may vary.
WITHOUT_NUMBERS = [
    "identity",
    "stateless",
    "stateless_with_tree_map",
    "scale_by_schedule",
    "centralize",
    "normalize",
    "scale_by_sign",
    "set_to_zero",
    "zero_nans",
    "apply_every",
    "keep_params_nonnegative",
    "moving_average",
    "scale_by_lbfgs",
    "hutchinson_estimator_diag_hessian",
    "gauss_newton_bartlett_estimator",
    "scale_by_path",
    "freeze",
    "inject_hyperparams",
    "snapshot",
]
WITH_NUMBERS = [n for n in CASES if " / " not in n and n != "tunable" and n not in WITHOUT_NUMBERS]


@pytest.mark.parametrize("name", WITHOUT_NUMBERS)
def test_nothing_may_vary(name):
    with pytest.raises(ValueError, match="there is no number that may vary"):
        gx.tunable(CASES[name].make())


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_every_constructor(name):
    """The first two steps of everything with a number, all of its numbers in the state."""
    tx, options = CASES[name].make(), CASES[name].options
    ours = gx.tunable(tx)
    extras, examples = options.get("extras", {}), options.get("examples")
    extras = extras(PARAMS) if callable(extras) else extras
    gradients = PARAMS if examples is None else gx.tree.batch_shape(PARAMS, (examples,))
    results = []
    for made in (tx, ours):
        params, state = PARAMS, made.init(PARAMS)
        for _ in range(2):
            updates, state = made.update(gradients, state, params, **extras)
            params = gx.apply_updates(params, updates)
        results.append((params, state if made is tx else state.inner_state))
    assert_same(*results)


def test_one_program_for_every_value():
    """optax#577: another learning rate is another program."""
    texts = set()
    for rate, b2 in ((1e-3, 0.999), (0.5, 0.5)):
        tx = gx.tunable(gx.chain(gx.clip_by_global_norm(rate), gx.adamw(rate, b2=b2)))
        state = tx.init(PARAMS)
        texts.add(jax.jit(tx.update).lower(PARAMS, state, PARAMS).as_text())
    assert len(texts) == 1


def test_setting_compiles_nothing():
    tx = gx.tunable(gx.adamw(falling), "learning_rate", "b1", "weight_decay")
    step = jax.jit(tx.step)
    params, state = step(PARAMS, tx.init(PARAMS), PARAMS)
    with counted("jaxpr_to_mlir_module_duration") as lowered:
        other = gx.set_hyperparams(tx, state, learning_rate=np.float64(1), b1=0, weight_decay=1)
        given = jax.tree.map(jax.typeof, state)
        assert jax.tree.map(jax.typeof, other) == given
        step(PARAMS, other, params)
        step(PARAMS, gx.release_hyperparams(tx, other), params)
    assert not any("step" in str(name) for name in lowered)
    assert step._cache_size() <= 1


def test_eager_steps_make_it_once(monkeypatch):
    tx, calls = gx.tunable(gx.adamw(0.1)), []
    made = module.rebuilt
    monkeypatch.setattr(module, "rebuilt", lambda *x: calls.append(0) or made(*x))
    _, state = after(tx, 3, jitted=False)
    assert len(calls) == 1
    state = gx.set_hyperparams(tx, state, b1=0.5)
    after(tx, 2, state=state, jitted=False)
    jax.jit(lambda p: tx.update(p, state, p))(PARAMS)  # nothing of a trace is kept
    after(tx, 1, state=state, jitted=False)
    assert len(calls) == 2


@pytest.mark.slow
def test_nothing_of_a_trace_is_kept():
    tx = gx.tunable(gx.prodigy(1.0))  # it computes a number of another one: b2 ** 0.5
    state = tx.init(PARAMS)
    jax.jit(lambda p: tx.update(p, state, p))(PARAMS)
    tx.update(PARAMS, state, PARAMS)


def test_schedules_stay_at_their_rules_count():
    """Within accumulation that is the optimizer's step, not the microbatch."""
    tx = gx.tunable(gx.MultiSteps(gx.sgd(falling), 2), "learning_rate")
    assert float(gx.hyperparams(tx, tx.init(PARAMS))["learning_rate"]) == np.float32(0.1)
    _, state = after(tx, 4)
    assert float(gx.hyperparams(tx, state)["learning_rate"]) == np.float32(0.1) / 3
    assert_same(after(tx, 7)[0], after(gx.MultiSteps(gx.sgd(falling), 2), 7)[0])


def test_an_overridden_schedule_is_overridden():
    """In Optax what is set is overwritten by the schedule, without a word."""
    tx = gx.tunable(gx.sgd(falling))
    _, state = after(tx, 3)
    state = gx.set_hyperparams(tx, state, learning_rate=0.5)
    updates, state = jax.jit(tx.update)(PARAMS, state, PARAMS)
    np.testing.assert_array_equal(updates["w"], -0.5 * PARAMS["w"])
    assert float(gx.hyperparams(tx, state)["learning_rate"]) == 0.5
    state = gx.release_hyperparams(tx, state, "learning_rate")
    assert float(gx.hyperparams(tx, state)["learning_rate"]) == np.float32(0.1) / 5


@pytest.mark.slow
def test_a_constant_may_be_scheduled():
    """optax#415: the first step is at 0."""
    tx = gx.tunable(gx.adamw(0.1, weight_decay=0.3), weight_decay=falling)
    assert_same(after(tx, 9)[0], after(gx.adamw(0.1, weight_decay=falling), 9)[0])


@pytest.mark.slow
def test_a_number_that_takes_no_schedule_goes_by_the_steps_made():
    tx = gx.tunable(gx.apply_if_finite(gx.adam(0.1), 5), b1=rising)
    params, state = after(tx, 4)
    _, state = jax.jit(tx.update)(jax.tree.map(lambda p: p * np.nan, params), state, params)
    assert int(state.count) == 4
    assert float(gx.hyperparams(tx, state)["b1"]) == np.float32(rising(4))
    updates, _ = tx.update(params, state, params)
    expected = gx.apply_if_finite(gx.adam(0.1, b1=rising(4)), 5)
    same, _ = expected.update(params, state.inner_state, params)
    np.testing.assert_allclose(updates["w"], same["w"], rtol=1e-6)


@pytest.mark.slow
def test_numbers_inside_wrappers_and_around_them():
    rules = gx.with_state_dtype(gx.tunable(gx.adamw(0.1)), mu="bfloat16")
    outer = gx.tunable(gx.with_state_dtype(gx.adamw(0.1), mu="bfloat16"))
    plain = gx.with_state_dtype(gx.adamw(0.1), mu="bfloat16")
    assert_same(after(rules, 5)[0], after(plain, 5)[0])
    assert_same(after(outer, 5)[0], after(plain, 5)[0])
    with pytest.raises(TypeError, match="cannot be replaced"):
        gx.tunable(gx.adamw(0.1)).update.body.with_children(())


def test_the_rate_of_a_decay_goes_by_the_name_of_the_argument():
    decay = gx.decay(0.1, coupling="schedule", peak=0.2)
    one = gx.tunable(gx.sgd(0.1, weight_decay=decay))
    state = gx.set_hyperparams(one, one.init(PARAMS), {"weight_decay/peak": 0.5}, weight_decay=0.25)
    now = {name: float(x) for name, x in gx.hyperparams(one, state).items()}
    assert now == {"learning_rate": np.float32(0.1), "weight_decay": 0.25, "weight_decay/peak": 0.5}
    with pytest.raises(ValueError, match="sgd: `weight_decay` must be a finite number"):
        gx.set_hyperparams(one, state, weight_decay=-1.0)
    two = gx.partition({"a": gx.sgd(0.1, weight_decay=decay), "b": gx.adamw(0.1)}, LABELS)
    two = gx.tunable(two, "a/weight_decay", "b/weight_decay", "peak")
    names = ["a/weight_decay", "weight_decay/peak", "b/weight_decay"]
    assert list(gx.hyperparams(two, two.init(PARAMS))) == names


@pytest.mark.slow
def test_numbers_of_what_an_argument_is_made_of():
    rate = gx.schedules.warmup_cosine_decay_schedule(0.0, 0.1, 2, 9)
    plain = gx.adamw(rate, weight_decay=gx.decay(0.1, coupling="schedule"))
    tx = gx.tunable(plain, "weight_decay")
    assert list(gx.hyperparams(tx, tx.init(PARAMS))) == ["weight_decay"]
    assert_same(after(gx.tunable(plain), 4)[0], after(plain, 4)[0])
    state = gx.set_hyperparams(tx, tx.init(PARAMS), weight_decay=0.5)
    other = gx.adamw(rate, weight_decay=gx.decay(0.5, coupling="schedule"))
    assert_same(after(tx, 4, state=state)[0], after(other, 4)[0])


@pytest.mark.slow
def test_a_tunable_inside_a_tunable_keeps_its_own():
    tx = gx.tunable(gx.chain(gx.clip_by_global_norm(1.0), gx.tunable(gx.adamw(0.1), "b1")))
    assert list(tx.init(PARAMS).hyperparams) == [
        *("max_norm", "learning_rate", "b2", "eps", "eps_root", "weight_decay")
    ]
    assert_same(after(tx, 9)[0], after(gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1)), 9)[0])
    state = gx.set_hyperparams(tx, tx.init(PARAMS), b1=0.5, learning_rate=0.3)
    expected = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.3, b1=0.5))
    assert_same(after(tx, 9, state=state)[0], after(expected, 9)[0])


@pytest.mark.slow
def test_the_points_are_those_of_the_numbers_in_the_state():
    tx = gx.tunable(gx.schedule_free(gx.sgd(0.1), 0.1, b1=0.9))
    _, state = after(tx, 3)
    state = gx.set_hyperparams(tx, state, b1=0.5)
    params, state = after(tx, 1, state=state)
    assert float(state.inner_state.b1) == 0.5
    inner = tx.update.body.inner
    assert_same(tx.eval_params(state, params), inner.eval_params(state.inner_state, params))


def test_what_it_is_reports():
    """A listener outside hears the rule inside."""
    tx = gx.tunable(gx.clip_by_global_norm(1.0))
    flow = Flow("test", PARAMS, PARAMS, {})
    flow.reports = []
    run(tx.update.body, flow, tx.init(PARAMS))
    assert [x.name for x in flow.reports] == ["clip_scale"]


def test_it_is_a_value():
    tx = gx.tunable(gx.adamw(0.1), "b1", weight_decay=falling)
    assert repr(tx) == "tunable(adamw(learning_rate=0.1), 'b1', weight_decay=falling)"
    assert tx == gx.tunable(gx.adamw(0.1), "b1", weight_decay=falling)
    assert tx != gx.tunable(gx.adamw(0.1), "b2", weight_decay=falling)
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert gx.from_config(json.loads(json.dumps(tx.to_config()))) == tx


def test_a_state_goes_into_a_transformation_with_other_start_values():
    """A checkpoint is plain arrays; what starts otherwise goes on from it."""
    params, state = after(gx.tunable(gx.adamw(0.1)), 3)
    saved = jax.tree.map(np.asarray, state)
    other = gx.tunable(gx.adamw(0.7, b1=0.1))
    assert jax.tree.structure(other.init(params)) == jax.tree.structure(saved)
    restored = jax.tree.map(jnp.asarray, saved)
    assert_same(
        after(other, 3, params, restored)[0], after(gx.tunable(gx.adamw(0.1)), 3, params, state)[0]
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gx.tunable(0.1), TypeError, "Was a constructor not called"),
        (lambda: gx.tunable(gx.identity()), ValueError, "no number that may vary in identity()"),
        (lambda: gx.tunable(groups(), "learning_rate"), ValueError, "`a/learning_rate`, `b/lea"),
        (lambda: gx.tunable(gx.sgd(0.1), "learning_rat"), ValueError, "mean `learning_rate`"),
        (lambda: gx.tunable(gx.sgd(0.1), "momentum"), ValueError, "is None, and whether it is"),
        (lambda: gx.tunable(gx.sgd(0.1), "nesterov"), ValueError, "is False, which decides"),
        (lambda: gx.tunable(gx.adafactor(0.1), "nope"), ValueError, "There are `learning_rate`"),
        (lambda: gx.tunable(gx.sgd(0.1), learning_rate=0.3), TypeError, "must be a schedule"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert message in str(raised.value)


def test_a_state_of_something_else():
    tx = gx.tunable(gx.sgd(0.1))
    with pytest.raises(ValueError, match="must be a TunableState"):
        tx.update(PARAMS, gx.sgd(0.1).init(PARAMS), PARAMS)
    state = gx.tunable(gx.adam(0.1)).init(PARAMS)
    with pytest.raises(ValueError, match=r"must be \['learning_rate'\], but are \['b1', 'b2'"):
        tx.update(PARAMS, state, PARAMS)
    tx = gx.tunable(gx.adam(0.1))
    wrong = state._replace(hyperparams=state.hyperparams | {"b1": jnp.float32(0.5)})
    with pytest.raises(ValueError, match=r"`b1` must be a HeldDecay.*Set it by set_hyperparams"):
        tx.update(PARAMS, wrong, PARAMS)
