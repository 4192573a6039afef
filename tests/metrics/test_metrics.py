"""Numbers out of a step: right, stable, and nothing that was not asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAMS = {"w": jnp.array([[1.0, -2.0], [2.0, 4.0]]), "b": jnp.array([3.0])}
GRADS = {"w": jnp.array([[3.0, 0.0], [0.0, -4.0]]), "b": jnp.array([12.0])}
NORMS = ("grad_norm", "update_norm", "param_norm", "update_ratio")
LABELS = {"w": "matrix", "b": "rest"}


def size(tree):
    """Return the norm of a tree in float64."""
    parts = [np.asarray(x, np.complex128).ravel() for x in jax.tree.leaves(tree)]
    return np.sqrt(sum(np.sum(np.abs(x) ** 2) for x in parts))


def floats(state):
    """Return the metrics as numbers of Python."""
    return {name: float(x) for name, x in gx.metrics(state).items()}


def partitioned():
    """Return a transformation with two groups."""
    return gx.partition({"matrix": gx.adamw(0.1), "rest": gx.sgd(0.5)}, LABELS)


OPTIMIZERS = {
    "adamw": lambda: gx.adamw(0.1),
    "clip": lambda: gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1)),
    "no numbers": gx.scale_by_sign,
    "nothing": gx.identity,
    "empty": gx.chain,
    "partition": partitioned,
    "masked": lambda: gx.masked(gx.adam(0.1), {"w": True, "b": False}),
    "guard": lambda: gx.guard(gx.adamw(0.1)),
    "accumulate": lambda: gx.MultiSteps(gx.adamw(0.1), 1),
    "lookahead": lambda: gx.lookahead(gx.sgd(0.1), 2, 0.5, slow_in_state=True),
    "schedule free": lambda: gx.schedule_free(gx.sgd(0.1), 0.1),
    "conditional": lambda: gx.conditionally_transform(gx.adam(0.1), lambda count: count % 2 == 0),
    "mechanize": lambda: gx.mechanize(gx.sgd(1.0)),
    "tunable": lambda: gx.tunable(gx.adamw(0.1)),
}


QUICK = {("adamw", True), ("guard", True), ("no numbers", False), ("mechanize", False)}


@pytest.mark.parametrize(
    ("name", "jit"),
    [
        pytest.param(name, jit, marks=[] if (name, jit) in QUICK else [pytest.mark.slow])
        for name in OPTIMIZERS
        for jit in (False, True)
    ],
)
def test_norms_are_those_of_what_comes_in_and_what_is_applied(name, jit):
    tx = gx.with_metrics(OPTIMIZERS[name](), *NORMS)
    bare = OPTIMIZERS[name]()
    wrap = jax.jit if jit else (lambda f: f)
    update, step, plain = wrap(tx.update), wrap(tx.step), wrap(bare.update)
    params, state, stepped, inner = PARAMS, tx.init(PARAMS), tx.init(PARAMS), bare.init(PARAMS)
    for t in (1.0, 2.0):
        grads = jax.tree.map(lambda g, t=t: g * t, GRADS)
        updates, state = update(grads, state, params)
        expected, inner = plain(grads, inner, params)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-6), updates, expected)
        moved, stepped = step(grads, stepped, params)
        wanted = (size(grads), size(updates), size(params), size(updates) / size(params))
        for found in (floats(state), floats(stepped)):
            np.testing.assert_allclose([found[n] for n in NORMS], wanted, 1e-5)
        params = moved


def falling(count):
    """Return a learning rate that falls with the step."""
    return 0.1 / (1.0 + jnp.asarray(count, jnp.float32))


def test_what_rules_say_of_themselves():
    tx = gx.chain(gx.clip_by_global_norm(6.5), gx.adamw(falling))
    tx = gx.with_metrics(tx)
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    _, state = jax.jit(tx.update)(GRADS, state, PARAMS)
    found = floats(state)
    assert set(found) == {"learning_rate", "clip_scale", "grad_norm", "update_norm"}
    np.testing.assert_allclose((found["learning_rate"], found["clip_scale"]), (0.05, 0.5), 1e-6)


@pytest.mark.parametrize(
    ("make", "rate"),
    [
        (lambda: gx.scale_by_learning_rate(0.25, flip_sign=False), 0.25),
        (lambda: gx.fromage(0.25), 0.25),
        (lambda: gx.nesterov_lookahead(0.25), 0.25),
        (lambda: gx.madgrad(0.25), 0.25),
        (lambda: gx.inject_hyperparams(gx.adamw)(0.25), 0.25),
        (lambda: gx.tunable(gx.adamw(0.25)), 0.25),
    ],
)
def test_who_has_a_learning_rate_says_it(make, rate):
    tx = gx.with_metrics(make(), "learning_rate")
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert floats(state) == {"learning_rate": rate}


FINDING_THEIR_OWN = {
    "dog": (lambda: gx.dog(), {}),
    "dowg": (lambda: gx.dowg(), {}),
    "prodigy": (lambda: gx.prodigy(), {}),
    "dadapt_adamw": (lambda: gx.dadapt_adamw(), {}),
    "momo": (lambda: gx.momo(), {"value": 2.0}),
    "momo_adam": (lambda: gx.momo_adam(), {"value": 2.0}),
    "polyak_sgd": (lambda: gx.polyak_sgd(), {"value": 2.0}),
    "mechanize": (lambda: gx.mechanize(gx.sgd(1.0)), {}),
    "schedule": (lambda: gx.scale_by_schedule(lambda count: 0.5), {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FINDING_THEIR_OWN)
def test_who_finds_a_step_size_says_it_once(name):
    make, extra = FINDING_THEIR_OWN[name]
    tx = gx.with_metrics(make(), "step_size")
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS, **extra)
    found = floats(state)
    assert set(found) == {"step_size"}
    assert 0 < found["step_size"] < np.inf


def test_several_of_one_name():
    """They are numbered in the order of the chain."""
    tx = gx.chain(gx.scale_by_learning_rate(0.5), gx.sgd(0.25))
    asked = gx.with_metrics(tx, "learning_rate")
    _, state = jax.jit(asked.update)(GRADS, asked.init(PARAMS), PARAMS)
    assert floats(state) == {"learning_rate": 0.5, "learning_rate#2": 0.25}
    one = gx.with_metrics(tx, "learning_rate#2")
    _, state = one.update(GRADS, one.init(PARAMS), PARAMS)
    assert floats(state) == {"learning_rate#2": 0.25}


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("guarded", [False, True])
def test_groups(grouped, guarded):
    tx = partitioned()
    if grouped:
        tx = gx.groups(("matrix", "w", gx.adamw(0.1)), ("rest", "b", gx.sgd(0.5)))
    tx = gx.with_metrics(gx.guard(tx) if guarded else tx, "learning_rate", *NORMS, per_group=True)
    updates, state = jax.jit(tx.update)(GRADS, tx.init(PARAMS), PARAMS)
    _, stepped = jax.jit(tx.step)(GRADS, tx.init(PARAMS), PARAMS)
    for found in (floats(state), floats(stepped)):
        rates = {n: x for n, x in found.items() if n.startswith("learning_rate")}
        assert rates == pytest.approx({"learning_rate/matrix": 0.1, "learning_rate/rest": 0.5})
        for leaf, group in LABELS.items():
            pairs = {"grad_norm": GRADS, "param_norm": PARAMS, "update_norm": updates}
            for name, tree in pairs.items():
                np.testing.assert_allclose(found[f"{name}/{group}"], size(tree[leaf]), 1e-5)
        np.testing.assert_allclose(found["update_norm"], size(updates), 1e-5)


def test_a_group_without_leaves_is_nothing():
    tx = gx.partition({"a": gx.sgd(0.1), "b": gx.sgd(0.2)}, "a")
    tx = gx.with_metrics(tx, "grad_norm", "nonfinite_leaves", per_group=True)
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert floats(state) == {
        "grad_norm": 13.0,
        "grad_norm/a": 13.0,
        "nonfinite_leaves": 0.0,
        "nonfinite_leaves/a": 0.0,
    }


@pytest.mark.parametrize("call", ["update", "step"])
def test_a_skipped_step_keeps_the_numbers_of_the_last(call):
    tx = gx.with_metrics(
        gx.apply_if_finite(gx.chain(gx.clip_by_global_norm(1.0), gx.adam(0.1)), 9),
        *("learning_rate", "clip_scale", "skipped_steps", "nonfinite_leaves"),
        *NORMS,
    )
    run = jax.jit(getattr(tx, call))
    _, state = run(GRADS, tx.init(PARAMS), PARAMS)
    before = floats(state)
    _, state = run(GRADS | {"b": jnp.array([jnp.nan])}, state, PARAMS)
    after = floats(state)
    assert before["skipped_steps"] == before["nonfinite_leaves"] == 0
    assert after["skipped_steps"] == after["nonfinite_leaves"] == 1
    assert np.isnan(after["grad_norm"])
    for name in ("learning_rate", "clip_scale", "update_norm", "param_norm", "update_ratio"):
        assert after[name] == before[name] > 0


def test_micro_steps_keep_the_numbers_of_the_last_step():
    outside = gx.with_metrics(gx.MultiSteps(gx.sgd(0.5), 2), "grad_norm", "update_norm")
    inside = gx.MultiSteps(gx.with_metrics(gx.sgd(0.5), "grad_norm", "skipped_steps"), 2)
    found = []
    for tx in (outside, inside):
        run, state = jax.jit(tx.step), tx.init(PARAMS)
        for t in (1.0, 3.0, 5.0):
            _, state = run(jax.tree.map(lambda g, t=t: g * t, GRADS), state, PARAMS)
            found.append(floats(state))
    assert [x["grad_norm"] for x in found] == [13.0, 39.0, 65.0, 0.0, 26.0, 26.0]
    assert [x["update_norm"] for x in found[:3]] == [0.0, 13.0, 13.0]
    assert [x["skipped_steps"] for x in found[3:]] == [0.0, 0.0, 0.0]


def test_what_guards_say_is_of_each_call():
    tx = gx.with_metrics(gx.guard(gx.sgd(0.5)), "learning_rate", "streak")
    _, state = jax.jit(tx.update)(GRADS, tx.init(PARAMS), PARAMS)
    for streak in (1.0, 2.0):
        _, state = jax.jit(tx.update)(GRADS | {"b": jnp.array([jnp.inf])}, state, PARAMS)
        assert floats(state) == {"learning_rate": 0.5, "streak": streak}


def test_line_searches_say_how_far_they_went():
    def loss(w):
        return jnp.sum(w**2)

    w = jnp.array([1.0, -2.0])
    for tx in (gx.lbfgs(), gx.chain(gx.sgd(1.0), gx.scale_by_backtracking_linesearch(10))):
        tx = gx.with_metrics(tx, "step_size", "linesearch_steps", "decrease_error")
        extra = {"value": loss(w), "grad": 2 * w, "value_fn": loss}
        _, state = jax.jit(lambda g, s, p, tx=tx, extra=extra: tx.update(g, s, p, **extra))(
            2 * w, tx.init(w), w
        )
        found = floats(state)
        assert found["step_size"] > 0
        assert found["linesearch_steps"] >= 1
        assert found["decrease_error"] <= 0


def test_searched_in_branches_nothing_is_heard():
    """The optimizers of `sam` run in branches: what they say does not leak."""
    tx = gx.with_metrics(gx.sam(gx.sgd(0.5), gx.normalize()), "grad_norm", "update_norm")
    run, state = jax.jit(tx.step), tx.init(PARAMS)
    params, state = run(GRADS, state, PARAMS)
    assert floats(state)["update_norm"] == 0  # an ascent is no step
    moved, state = run(GRADS, state, params)
    change = jax.tree.map(jnp.subtract, moved, params)
    np.testing.assert_allclose(floats(state)["update_norm"], size(change), 1e-5)
    with pytest.raises(ValueError, match="nothing here says 'learning_rate'"):
        gx.with_metrics(gx.sam(gx.sgd(0.5), gx.normalize()), "learning_rate")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64"])
def test_narrow_and_complex_arrays(dtype):
    """Squares of float16 gradients would overflow at 256."""
    params = {"w": jnp.full((4, 8), 2, dtype), "e": jnp.zeros((0, 3), dtype), "n": None, "i": 3}
    grads = {"w": jnp.full((4, 8), 1000, dtype), "e": params["e"], "n": None, "i": None}
    if dtype == "complex64":
        grads["w"] = grads["w"] * 1j
    tx = gx.with_metrics(gx.sgd(0.5), *NORMS, "nonfinite_leaves")
    _, state = jax.jit(tx.update)(grads, tx.init(params), params)
    found, root = floats(state), np.sqrt(32)
    expected = (1000 * root, 500 * root, 2 * root, 250)
    np.testing.assert_allclose([found[n] for n in NORMS], expected, 1e-5)


def test_a_tree_without_arrays():
    tx = gx.with_metrics(gx.adamw(0.1), *NORMS, "nonfinite_leaves")
    _, state = tx.update({}, tx.init({}), {})
    assert set(floats(state).values()) == {0.0}


def test_long_arrays_are_summed_as_exactly_as_others():
    """Whatever the number of entries, and in whatever order they are added."""
    for n in (128 * 1000, 128 * 1000 + 1):
        g = jnp.asarray(np.random.default_rng(0).standard_normal(n).astype(np.float32))
        tx = gx.with_metrics(gx.sgd(0.5), *NORMS)
        _, state = jax.jit(tx.update)(g, tx.init(g), g)
        expected = (size(g), size(g) / 2, size(g), 0.5)
        np.testing.assert_allclose([floats(state)[k] for k in NORMS], expected, 1e-6)


@pytest.mark.slow
def test_gradients_go_through_the_step_and_not_through_its_norms():
    tx = gx.with_metrics(gx.adam(0.1), *NORMS)

    def moved(g):
        params, _ = tx.step(g, tx.init(PARAMS), PARAMS)
        return sum(jnp.sum(p) for p in jax.tree.leaves(params))

    bare = gx.adam(0.1)

    def plainly(g):
        return sum(jnp.sum(u) for u in jax.tree.leaves(bare.update(g, bare.init(PARAMS))[0]))

    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, 1e-4, 1e-9),
        jax.grad(moved)(GRADS),
        jax.grad(plainly)(GRADS),
    )


@pytest.mark.parametrize("inner", [gx.sgd(0.1), gx.chain(gx.clip_by_global_norm(1.0), gx.sgd(0.1))])
def test_numbers_have_no_derivative(inner):
    tx = gx.with_metrics(inner)

    def said(g):
        return sum(gx.metrics(tx.update(g, tx.init(PARAMS), PARAMS)[1]).values())

    jax.tree.map(lambda x: np.testing.assert_array_equal(x, 0.0), jax.grad(said)(GRADS))


@pytest.mark.slow
def test_under_vmap_and_scan():
    tx = gx.with_metrics(gx.guard(gx.adamw(0.1)), "learning_rate", *NORMS)

    def train(scale):
        def body(carry, _):
            params, state = carry
            return tx.step(jax.tree.map(lambda g: g * scale, GRADS), state, params), None

        (_, state), _ = jax.lax.scan(body, (PARAMS, tx.init(PARAMS)), length=3)
        return gx.metrics(state)

    found = jax.jit(jax.vmap(train))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(found["grad_norm"], [13.0, 26.0], 1e-6)
    assert found["update_norm"].shape == (2,)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("grad_nrom",), r"nothing here says 'grad_nrom'.*Is 'grad_norm' meant\?"),
        (
            ("clip_scale",),
            r"nothing here says 'clip_scale'\. What can be asked for is grad",
        ),
        (("skipped_steps/a",), "nothing here says"),
    ],
)
def test_unknown_names(names, message):
    with pytest.raises(ValueError, match=message):
        gx.with_metrics(gx.adamw(0.1), *names)


def test_other_errors():
    with pytest.raises(TypeError, match="a name must be a string, but is 3"):
        gx.with_metrics(gx.adamw(0.1), 3)
    with pytest.raises(ValueError, match="`per_group` needs groups"):
        gx.with_metrics(gx.adamw(0.1), per_group=True).init(PARAMS)
    tx = gx.with_metrics(gx.sgd(0.1), "param_norm")
    with pytest.raises(ValueError, match="needs the parameters"):
        tx.update(GRADS, tx.init(PARAMS))
    with pytest.raises(ValueError, match="must have a MetricsState in it, but is a tuple"):
        gx.metrics(gx.adamw(0.1).init(PARAMS))


@pytest.mark.slow
def test_several_in_one_state():
    inner = gx.with_metrics(gx.scale_by_learning_rate(0.5), "learning_rate", "update_norm")
    tx = gx.with_metrics(gx.chain(inner, gx.sgd(0.25)), "learning_rate", "update_norm")
    _, state = jax.jit(tx.update)(GRADS, tx.init(PARAMS), PARAMS)
    assert floats(state) == {
        "learning_rate": 0.5,
        "learning_rate#2": 0.25,
        "update_norm": 1.625,
        "learning_rate#3": 0.5,
        "update_norm#2": 6.5,
    }


def test_of_several_in_one_state_none_takes_the_place_of_another():
    rates = gx.chain(gx.scale_by_learning_rate(0.5), gx.scale_by_learning_rate(0.25))
    for first, found in (
        ("learning_rate", ["", "#2", "#3", "#4"]),
        ("learning_rate#2", ["#2", "", "#3"]),
    ):
        tx = gx.chain(*(gx.with_metrics(rates, name) for name in (first, "learning_rate")))
        _, state = tx.update(PARAMS, tx.init(PARAMS))
        numbers = gx.metrics(state)
        assert list(numbers) == [f"learning_rate{number}" for number in found]
        assert list(numbers.values()) == [x for kept in state for x in kept.values.values()]


def test_the_scale_of_a_plateau_stands_beside_the_rate():
    tx = gx.with_metrics(gx.chain(gx.sgd(0.1), gx.reduce_on_plateau(factor=0.5, patience=1)))
    params, state = jnp.ones(1), tx.init(jnp.ones(1))
    for loss in (1.0, 1.0, 1.0):
        params, state = tx.step(jnp.ones(1), state, params, value=loss)
    kept = {name: float(x) for name, x in gx.metrics(state).items()}
    expected = {
        "learning_rate": 0.1,
        "plateau_scale": 0.25,
        "grad_norm": 1.0,
        "update_norm": 0.025,
    }
    assert kept == pytest.approx(expected)
