"""`decay`: the same meaning for every optimizer, against what the optimizer does without it."""

import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.testing import gradient_sequence
from tests.cases import rate

RATE = 0.03
LR = 0.05


def falling(count):
    """Return a learning rate in the dtype of numbers."""
    return 0.1 / (1 + jnp.asarray(count, float))


# How each constructor that decays is made with a decay and without one, by a learning rate that is
# the last factor of its steps.
OPTIMIZERS = {
    "acprop": gx.acprop,
    "adabelief": gx.adabelief,
    "adadelta": gx.adadelta,
    "adagrad": gx.adagrad,
    "adafactor": lambda lr, **k: gx.adafactor(lr, multiply_by_parameter_scale=False, **k),
    "adahessian": gx.adahessian,
    "adamaxw": gx.adamaxw,
    "adamw": gx.adamw,
    "adan": gx.adan,
    "ademamix": gx.ademamix,
    "adopt": gx.adopt,
    "cocob": gx.cocob,
    "dadapt_adamw": gx.dadapt_adamw,
    "dog": gx.dog,
    "dowg": gx.dowg,
    "galore": lambda lr, **k: gx.galore(lr, 2, **k),
    "lamb": gx.lamb,
    "lars": gx.lars,
    "lion": gx.lion,
    "madgrad": gx.madgrad,
    "momo": gx.momo,
    "momo_adam": gx.momo_adam,
    "muon": gx.muon,
    "nadamw": gx.nadamw,
    "noisy_sgd": gx.noisy_sgd,
    "novograd": gx.novograd,
    "optimistic_adam": gx.optimistic_adam,
    "optimistic_adam_v2": gx.optimistic_adam_v2,
    "optimistic_gradient_descent": gx.optimistic_gradient_descent,
    "prodigy": gx.prodigy,
    "radam": gx.radam,
    "rmsprop": lambda lr, **k: gx.rmsprop(lr, momentum=0.9, **k),
    "schedule_free_adamw": gx.schedule_free_adamw,
    "schedule_free_sgd": gx.schedule_free_sgd,
    "sgd": lambda lr, **k: gx.sgd(lr, 0.9, **k),
    "sign_sgd": gx.sign_sgd,
    "signum": gx.signum,
    "simplified_ademamix": gx.simplified_ademamix,
    "sm3": gx.sm3,
    "sophia": gx.sophia,
    "yogi": gx.yogi,
}
# The rate that their decay is multiplied by is found by the rule.
FINDING = {"dadapt_adamw", "prodigy"}
# What they return is not p + u: the steps are those of another point.
AVERAGING = {"schedule_free_adamw", "schedule_free_sgd"}


def updates_of(tx, params, gradients):
    """Return the updates along fixed parameters, so that decays do not change the rest."""
    state, out = tx.init(params), []

    def objective(params):
        return sum(jnp.sum(jnp.cosh(p)) for p in jax.tree.leaves(params))

    for t, g in enumerate(gradients):
        u, state = tx.update(g, state, params, value=jnp.asarray(3.0 + t), obj_fn=objective)
        out.append(np.asarray(u["w"]))
    return np.array(out)


SLOW = pytest.mark.slow
# One of each way in which the parts are put together; all others are slow tests.
SHOWN = {"adamw", "adafactor", "lars", "momo", "prodigy", "rmsprop"}


def each(names):
    """Return a parameter for each optimizer."""
    return [pytest.param(n, marks=[] if n in SHOWN else SLOW) for n in names]


@pytest.mark.parametrize("coupling", ["learning_rate", "schedule", "independent"])
@pytest.mark.parametrize("name", each(sorted(set(OPTIMIZERS) - FINDING - AVERAGING)))
def test_formula(name, coupling, x64):
    """u = u without decay - share p, with the share that the coupling says."""
    make, peak = OPTIMIZERS[name], 0.1
    params = {"w": jnp.asarray(gradient_sequence((3, 4), 1)[0])}
    gradients = [{"w": jnp.asarray(g)} for g in gradient_sequence((3, 4), 3)]
    options = {"peak": peak} if coupling == "schedule" else {}
    value = gx.decay(RATE, coupling=coupling, **options)
    got = updates_of(make(falling, weight_decay=value), params, gradients)
    bare = updates_of(make(falling, weight_decay=0.0), params, gradients)
    lr = peak / (1 + np.arange(3))
    shares = RATE * {"learning_rate": lr, "schedule": lr / peak}.get(coupling, np.ones(3))
    expected = bare - shares[:, None, None] * np.asarray(params["w"])
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("coupling", ["schedule", "independent"])
@pytest.mark.parametrize("name", each(sorted(FINDING)))
def test_formula_of_those_that_find_a_rate(name, coupling, x64):
    make, params = OPTIMIZERS[name], {"w": jnp.asarray(gradient_sequence((3, 4), 1)[0])}
    gradients = [{"w": jnp.asarray(g)} for g in gradient_sequence((3, 4), 3)]
    value = gx.decay(RATE, coupling=coupling)
    got = updates_of(make(LR, weight_decay=value), params, gradients)
    bare = updates_of(make(LR, weight_decay=0.0), params, gradients)
    np.testing.assert_allclose(got, bare - RATE * np.asarray(params["w"]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", each(sorted(set(OPTIMIZERS) - {"adahessian", "sophia"})))
def test_coupled_to_the_gradient_it_is_a_penalty(name, x64):
    make, params = OPTIMIZERS[name], {"w": jnp.asarray(gradient_sequence((3, 4), 1)[0])}
    gradients = [{"w": jnp.asarray(g)} for g in gradient_sequence((3, 4), 2)]
    got = updates_of(make(LR, weight_decay=gx.decay(RATE, coupling="gradient")), params, gradients)
    penalized = [{"w": g["w"] + RATE * params["w"]} for g in gradients]
    expected = updates_of(make(LR, weight_decay=0.0), params, penalized)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("name", each(sorted(FINDING)))
def test_coupled_to_a_rate_that_is_found(name):
    """Then the rule decays by itself, as with a number."""
    make = OPTIMIZERS[name]
    params = {"w": jnp.ones(3)}
    gradients = [{"w": jnp.asarray(g, jnp.float32)} for g in gradient_sequence((3,), 3)]
    got = updates_of(make(LR, weight_decay=gx.decay(RATE)), params, gradients)
    np.testing.assert_array_equal(got, updates_of(make(LR, weight_decay=RATE), params, gradients))


# What a decay of each kind takes its share of, for u the step without one: by leaf.
WAYS = {
    "where": ({"where": "a"}, lambda leaf, p, s, u: p * (leaf == "a")),
    "towards": ({"towards": "start"}, lambda leaf, p, s, u: p - s),
    "cautious": ({"cautious": True}, lambda leaf, p, s, u: np.where(u * p <= 0, p, 0)),
    "all": (
        {"cautious": True, "towards": "start", "where": lambda p: {"a": False, "b": True}},
        lambda leaf, p, s, u: np.where(u * (p - s) <= 0, p - s, 0) * (leaf == "b"),
    ),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(
            n, k, marks=[] if (n, k) in (("prodigy", "all"), ("dadapt_adamw", "all")) else SLOW
        )
        for n in sorted(FINDING)
        for k in WAYS
    ],
)
def test_formula_at_a_rate_that_is_found(name, kind, x64):
    """A run that decays by a number tells the rate: parameters rest, so only the decay differs."""
    make, (options, way) = OPTIMIZERS[name], WAYS[kind]
    start, params, *gradients = [
        {"a": jnp.asarray(x[:4]), "b": jnp.asarray(x[4:])} for x in gradient_sequence((6,), 5, 3)
    ]

    def run(weight_decay):
        tx = make(LR, weight_decay=weight_decay)
        state, out = tx.init(start), []
        for g in gradients:
            u, state = tx.update(g, state, params)
            out.append(u)
        return out

    runs = run(0.0), run(1.0), run(gx.decay(RATE, **options))
    for bare, full, got in zip(*runs, strict=True):
        for leaf in ("a", "b"):
            u, p, s = (np.asarray(tree[leaf]) for tree in (bare, params, start))
            rate = np.max(np.abs(u - full[leaf])) / np.max(np.abs(p))
            expected = u - rate * RATE * way(leaf, p, s, u)
            np.testing.assert_allclose(got[leaf], expected, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("name", each(sorted(FINDING)))
def test_where_must_be_a_mask_there_too(name):
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    for wrong, message in ((3, "at a leaf it is 3"), (None, "is None")):
        tx = OPTIMIZERS[name](LR, weight_decay=gx.decay(RATE, where={"a": wrong, "b": True}))
        with pytest.raises(TypeError, match=f"decay: `where` must be .*{message}"):
            tx.update(params, tx.init(params), params)


def test_momo_knows_a_number_but_not_what_decay_returns(x64):
    """The number is in the model and its step; `decay` means what it means everywhere."""
    params, g = {"w": jnp.asarray(2.0)}, [{"w": jnp.asarray(0.5)}]
    bare = updates_of(gx.momo(0.1), params, g)[0]
    np.testing.assert_allclose(
        updates_of(gx.momo(0.1, weight_decay=0.3), params, g)[0], (bare - 0.03 * 2) / 1.03
    )
    said = updates_of(gx.momo(0.1, weight_decay=gx.decay(0.3)), params, g)[0]
    np.testing.assert_allclose(said, bare - 0.03 * 2)


def test_schedule_free_decays_z(x64):
    """By a share of y, where the gradient is taken: z is what the base optimizer moves."""
    params, g = {"w": jnp.ones(3)}, {"w": jnp.zeros(3)}
    tx = gx.schedule_free_sgd(0.1, weight_decay=gx.decay(0.2, coupling="independent"))
    state = tx.update(g, tx.init(params), params)[1]
    np.testing.assert_allclose(state.z["w"], 0.8, rtol=1e-12)


@pytest.mark.parametrize("name", each(["adamw", "lion", "adan", "nadamw", "muon"]))
def test_number_is_the_decay_of_that_rate(name):
    """Bit for bit, where the optimizer's source has decoupled decay."""
    make, params = OPTIMIZERS[name], {"w": jnp.ones((2, 2))}
    gradients = [{"w": jnp.asarray(g, jnp.float32)} for g in gradient_sequence((2, 2), 3)]
    plain = updates_of(make(rate, weight_decay=0.1), params, gradients)
    said = updates_of(make(rate, weight_decay=gx.decay(0.1)), params, gradients)
    np.testing.assert_array_equal(plain, said)


@pytest.mark.parametrize("coupling", ["learning_rate", "independent"])
def test_cautious_leaves_out_entries_that_move_the_other_way(coupling):
    tx = gx.sgd(0.5, weight_decay=gx.decay(0.1, coupling=coupling, cautious=True))
    p, g = jnp.array([1.0, -1.0, 1.0, -1.0, 2.0]), jnp.array([1.0, 1.0, -1.0, -1.0, 0.0])
    share = 0.05 if coupling == "learning_rate" else 0.1
    expected = -0.5 * g - share * np.where(np.asarray(g * p) >= 0, p, 0)
    np.testing.assert_allclose(tx.update(g, tx.init(p), p)[0], expected, rtol=1e-6)


def test_cautious_goes_by_signs_not_by_a_product_that_underflows():
    tx = gx.sgd(1.0, weight_decay=gx.decay(0.1, cautious=True))
    p, g = jnp.array([1e-30]), jnp.array([-1e-30])
    np.testing.assert_array_equal(tx.update(g, tx.init(p), p)[0], -g)


def test_cautious_complex_entries_agree_by_their_angle():
    tx = gx.sgd(1.0, weight_decay=gx.decay(0.1, cautious=True))
    p, g = jnp.array([1 + 1j, 1 + 1j]), jnp.array([1.0 + 0j, -1.0 + 0j])
    u = tx.update(g, tx.init(p), p)[0]
    np.testing.assert_allclose(u, -g - 0.1 * np.array([1 + 1j, 0]), rtol=1e-6)


@pytest.mark.parametrize("coupling", ["learning_rate", "independent", "gradient"])
def test_towards_the_start(coupling):
    """With zero gradients parameters go back to where `init` saw them."""
    tx = gx.sgd(1.0, weight_decay=gx.decay(0.5, coupling=coupling, towards="start"))
    start = {"w": jnp.array([1.0, 2.0])}
    state, moved = tx.init(start), {"w": jnp.array([3.0, 2.0])}
    new, state = tx.step({"w": jnp.zeros(2)}, state, moved)
    np.testing.assert_allclose(new["w"], [2.0, 2.0], rtol=1e-6)
    jax.jit(tx.step, donate_argnums=(1, 2))({"w": jnp.zeros(2)}, state, new)


def test_start_is_kept_for_those_that_decay_alone():
    tx = gx.adamw(0.1, weight_decay=gx.decay(0.1, towards="start", where="*/kernel"))
    state = tx.init({"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}})
    assert state[1].start["dense"]["bias"] is None


def test_where_and_mask_both_hold():
    where = {"a": True, "b": False, "c": True}
    tx = gx.adamw(
        1.0, weight_decay=gx.decay(0.5, where=where), mask={"a": True, "b": True, "c": False}
    )
    params = {name: jnp.ones(1) for name in "abc"}
    zeros = {name: jnp.zeros(1) for name in "abc"}
    new, _ = tx.step(zeros, tx.init(params), params)
    assert [float(new[name][0]) for name in "abc"] == [0.5, 1, 1]


def test_pattern_without_a_match_raises():
    tx = gx.adamw(1.0, weight_decay=gx.decay(0.5, where="*/kernal"))
    with pytest.raises(ValueError, match="kernel"):
        tx.init({"dense": {"kernel": jnp.ones(2)}})


def test_rate_may_be_a_schedule():
    tx = gx.sgd(0.1, weight_decay=gx.decay(rate, coupling="independent"))
    params, state = jnp.ones(1), tx.init(jnp.ones(1))
    for t in range(3):
        u, state = tx.update(jnp.zeros(1), state, params)
        np.testing.assert_allclose(u, -0.1 / (1 + t), rtol=1e-6)


def test_peak_of_a_schedule_that_says_it():
    schedule = gx.schedules.warmup_cosine_decay_schedule(0.0, 0.2, 2, 10)
    params = jnp.ones(1)
    tx = gx.sgd(schedule, weight_decay=gx.decay(0.1, coupling="schedule"))
    state, shares = tx.init(params), []
    for _ in range(4):
        u, state = tx.update(jnp.zeros(1), state, params)
        shares.append(-float(u[0]))
    expected = [0.1 * float(schedule(t)) / 0.2 for t in range(4)]
    np.testing.assert_allclose(shares, expected, rtol=1e-5, atol=1e-9)
    constant = gx.sgd(0.2, weight_decay=gx.decay(0.1, coupling="schedule"))
    u, _ = constant.update(jnp.zeros(1), constant.init(params), params)
    np.testing.assert_allclose(u, -0.1, rtol=1e-6)


def test_rate_that_is_tuned_is_its_own_peak():
    """Each number is the run that it makes: its decay does not go by it, unless `peak` is given."""
    params, zeros = {"w": jnp.ones(1)}, {"w": jnp.zeros(1)}
    paper = gx.decay(0.1, coupling="schedule")
    tx = gx.tunable(gx.adamw(0.5, weight_decay=paper))
    state = tx.init(params)
    for rate_set in (0.5, 0.05):
        state = gx.set_hyperparams(tx, state, learning_rate=rate_set)
        np.testing.assert_allclose(tx.step(zeros, state, params)[0]["w"], 0.9, rtol=1e-6)
    state = gx.set_hyperparams(tx, state, learning_rate=0.0)
    np.testing.assert_array_equal(tx.step(zeros, state, params)[0]["w"], 1)
    many, states = gx.sweep(tx, params, learning_rate=[0.5, 0.05])
    new, _ = jax.vmap(tx.step, in_axes=(None, 0, 0))(zeros, states, many)
    np.testing.assert_allclose(new["w"], np.full((2, 1), 0.9), rtol=1e-6)
    told = gx.tunable(gx.adamw(0.5, weight_decay=gx.decay(0.1, coupling="schedule", peak=0.5)))
    state = gx.set_hyperparams(told, told.init(params), learning_rate=0.05)
    np.testing.assert_allclose(told.step(zeros, state, params)[0]["w"], 0.99, rtol=1e-6)


def test_it_is_a_value():
    made = gx.decay(0.1, coupling="independent", cautious=True, where="*/kernel|head/*")
    tx = gx.adamw(1e-3, weight_decay=made)
    assert made == gx.decay(0.1, coupling="independent", cautious=True, where="*/kernel|head/*")
    assert made != gx.decay(0.1, coupling="independent", where="*/kernel|head/*")
    assert pickle.loads(pickle.dumps(tx)) == tx == gx.from_config(tx.to_config())
    assert hash(made) == hash(pickle.loads(pickle.dumps(made)))
    assert "decay(rate=0.1, coupling='independent'" in str(tx)


def test_injected_hyperparameters_leave_it_as_it_is():
    made = gx.inject_hyperparams(gx.adamw)(0.1, weight_decay=gx.decay(0.5))
    params = {"w": jnp.ones(2)}
    state = made.init(params)
    assert "weight_decay" not in state.hyperparams
    new, _ = made.step({"w": jnp.zeros(2)}, state, params)
    np.testing.assert_allclose(new["w"], 0.95, rtol=1e-6)


def test_rate_may_be_traced():
    @jax.jit
    def shrunk(rate):
        tx = gx.adamw(0.1, weight_decay=gx.decay(rate, coupling="independent"))
        return tx.step(jnp.zeros(2), tx.init(jnp.ones(2)), jnp.ones(2))[0]

    np.testing.assert_allclose(shrunk(0.25), 0.75, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gx.decay(-0.1), r"decay: `rate` must be a finite number in \[0, inf\)"),
        (lambda: gx.decay(0.1, coupling="learningrate"), "Did you mean 'learning_rate'"),
        (lambda: gx.decay(0.1, towards="begin"), "`towards` must be one of"),
        (lambda: gx.decay(0.1, coupling="gradient", cautious=True), "`cautious` must be False"),
        (lambda: gx.decay(0.1, peak=1.0), "`peak` is for the coupling 'schedule'"),
        (lambda: gx.sgd(rate, weight_decay=gx.decay(0.1, coupling="schedule")), "peak="),
        (
            lambda: gx.add_decayed_weights(gx.decay(0.1, coupling="independent")),
            "needs a place behind the learning rate",
        ),
        (lambda: gx.shrink_weights(gx.decay(0.1)), "needs `learning_rate`"),
        (lambda: gx.shrink_weights(gx.decay(0.1, coupling="gradient")), "first in the chain"),
        (lambda: gx.adamw(0.1, weight_decay=-1.0), "adamw: `weight_decay` must be"),
        (lambda: gx.adafactor(weight_decay=0.1, weight_decay_rate=0.1), "give one of"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_every_constructor_that_decays_calls_it_weight_decay():
    """Optax's other names stand beside it; what is not of parameters is in this list."""
    others = {"mechanize", "scale_by_novograd", "add_decayed_weights", "shrink_weights"}
    named, lacking = set(), set()
    for name in dir(gx):
        thing = getattr(gx, name)
        if not inspect.isfunction(thing) or not hasattr(thing, "__signature__"):
            continue
        arguments = set(inspect.signature(thing).parameters)
        if any("weight_decay" in a and "mask" not in a for a in arguments):
            (named if "weight_decay" in arguments else lacking).add(name)
    assert not lacking
    assert named - others == set(OPTIMIZERS)
