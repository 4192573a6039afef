"""Averages of the parameters: their formulas, when they move, what they cost, where they stand."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.testing import gradient_sequence
from tests.cases import matrices

KINDS = {
    "ema": (lambda tx: gx.with_ema(tx, 0.8), lambda w, t: recent(w[1 : t + 1], 0.8)),
    "ema from the start": (
        lambda tx: gx.with_ema(tx, 0.8, debias=False),
        lambda w, t: from_first(w[: t + 1], 0.8),
    ),
    "ema now and then": (
        lambda tx: gx.with_ema(tx, 0.8, every=2, start=1),
        lambda w, t: recent(w[3 : t + 1 : 2], 0.8) if t >= 3 else w[t],
    ),
    "ema from later on": (
        lambda tx: gx.with_ema(tx, 0.8, debias=False, every=3, start=2),
        lambda w, t: from_first(w[2 : t + 1 : 3], 0.8) if t >= 2 else w[t],
    ),
    "mean": (gx.with_average, lambda w, t: np.mean(w[1 : t + 1], 0)),
    "mean from later on": (
        lambda tx: gx.with_average(tx, start=4),
        lambda w, t: np.mean(w[5 : t + 1], 0) if t >= 5 else w[t],
    ),
    "swa": (
        lambda tx: gx.with_swa(tx, start=3, every=2),
        lambda w, t: np.mean(w[3 : t + 1 : 2], 0) if t >= 3 else w[t],
    ),
    "swa with the start": (
        lambda tx: gx.with_swa(tx, start=0, every=3),
        lambda w, t: np.mean(w[: t + 1 : 3], 0),
    ),
}


def recent(iterates, decay):
    """Return the mean with weights decay^(age)."""
    weights = [decay ** (len(iterates) - 1 - i) for i in range(len(iterates))]
    return sum(c * w for c, w in zip(weights, iterates, strict=True)) / sum(weights)


def from_first(iterates, decay):
    """Return the moving average that starts at the first."""
    average = iterates[0]
    for w in iterates[1:]:
        average = decay * average + (1 - decay) * w
    return average


def trained(tx, params, gradients, how="step"):
    """Yield (parameters, state) after each step."""
    state = tx.init(params)
    for g in gradients:
        if how == "update":
            updates, state = tx.update(g, state, params)
            params = gx.apply_updates(params, updates)
        else:
            params, state = tx.step(g, state, params)
        yield params, state


@pytest.mark.parametrize("name", KINDS)
def test_formula(name, x64):
    make, expected = KINDS[name]
    tx, gradients = make(gx.sgd(0.1)), gradient_sequence((3,), 9)
    iterates = [np.ones(3), *(1 - 0.1 * np.cumsum(gradients, 0))]
    start, given = jnp.ones(3), [jnp.asarray(g) for g in gradients]
    for t, (params, state) in enumerate(trained(tx, start, given), 1):
        np.testing.assert_allclose(params, iterates[t], rtol=1e-12)
        got = tx.eval_params(state, params)
        np.testing.assert_allclose(got, expected(iterates, t), rtol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_before_the_first_step_it_is_the_parameters(name):
    tx, params = KINDS[name][0](gx.sgd(0.1)), {"w": jnp.arange(3.0)}
    got = tx.eval_params(tx.init(params), params)
    np.testing.assert_array_equal(got["w"], params["w"])


def test_correction_is_exact_for_a_decay_near_one():
    """After n equal parameters the average is that parameter, also early and for long memories."""
    tx, params = gx.with_ema(gx.sgd(0.0), 0.99999), jnp.full(3, 1 / 3)
    for p, state in trained(tx, params, [jnp.zeros(3)] * 5):
        np.testing.assert_array_equal(tx.eval_params(state, p), params)
    tx = gx.with_ema(gx.sgd(1.0), 0.99999)
    *_, (p, state) = trained(tx, jnp.zeros(1), [-jnp.ones(1)] * 100)
    weights = 0.99999 ** np.arange(99, -1, -1)
    expected = np.sum(weights * np.arange(1, 101)) / np.sum(weights)
    np.testing.assert_allclose(tx.eval_params(state, p), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_update_and_step_average_the_same_parameters(dtype):
    """The average is that of parameters as they were rounded."""
    tx = gx.with_ema(gx.adamw(0.1), 0.7)
    params = {"w": jnp.ones((2, 3), dtype)}
    gradients = [{"w": jnp.asarray(g, dtype)} for g in gradient_sequence((2, 3), 5)]
    pairs = zip(
        trained(tx, params, gradients), trained(tx, params, gradients, "update"), strict=True
    )
    iterates = []
    for (p, state), (q, other) in pairs:
        np.testing.assert_array_equal(p["w"], q["w"])
        np.testing.assert_array_equal(state.average["w"], other.average["w"])
        iterates.append(np.asarray(p["w"], np.float64))
    assert state.average["w"].dtype == jnp.float32
    np.testing.assert_allclose(state.average["w"], recent(iterates, 0.7), rtol=1e-5)
    assert tx.eval_params(state, p)["w"].dtype == dtype


def wrapped(name, average):
    """Return an average around and inside of something that does not step each time."""
    around = {
        "accumulation": lambda tx: gx.MultiSteps(tx, 3),
        "guard": lambda tx: gx.apply_if_finite(tx, 5),
        "condition": lambda tx: gx.conditionally_mask(tx, lambda count: count % 2 == 1),
        "both": lambda tx: gx.MultiSteps(gx.apply_if_finite(tx, 5), 2),
        "masked": lambda tx: gx.masked(gx.MultiSteps(tx, 2), {"w": True}),
        "chain": lambda tx: gx.chain(gx.clip(10.0), gx.MultiSteps(tx, 2)),
    }[name]
    return average(around(gx.adam(0.1))), around(average(gx.adam(0.1)))


@pytest.mark.parametrize(
    ("name", "how", "jitted"),
    [
        ("accumulation", "step", True),
        ("accumulation", "update", False),
        ("guard", "step", False),
        ("guard", "update", False),
        ("condition", "step", False),
        pytest.param("both", "step", True, marks=pytest.mark.slow),
        ("both", "step", False),
        ("masked", "step", False),
        ("chain", "step", False),
    ],
)
def test_moves_on_real_steps_only(name, how, jitted):
    """Around and inside: equal averages of the parameters that changed, and of those alone."""

    def average(tx):
        return gx.with_average(tx)

    gradients = [{"w": jnp.asarray(g, jnp.float32)} for g in gradient_sequence((3,), 12)]
    if name in ("guard", "both"):
        gradients[4] = {"w": jnp.full(3, jnp.nan)}
    results = []
    for tx in wrapped(name, average):
        params, state, iterates = {"w": jnp.ones(3)}, tx.init({"w": jnp.ones(3)}), []

        def by_update(g, state, params, tx=tx):
            updates, state = tx.update(g, state, params)
            return gx.apply_updates(params, updates), state

        step: Any = by_update if how == "update" else tx.step
        step = jax.jit(step) if jitted else step
        for g in gradients:
            before, (params, state) = params, step(g, state, params)
            if np.any(before["w"] != params["w"]):
                iterates.append(np.asarray(params["w"], np.float64))
        evaluated = tx.eval_params(state, params)["w"]
        assert 3 < len(iterates) < 12
        np.testing.assert_allclose(evaluated, np.mean(iterates, 0), rtol=1e-5)
        results.append(evaluated)
    np.testing.assert_allclose(*results, rtol=1e-6)


@pytest.mark.parametrize(
    "frozen",
    [
        lambda tx: gx.selective_transform(tx, freeze_mask={"w": False, "still": True}),
        lambda tx: gx.partition({"go": tx, "stop": gx.set_to_zero()}, {"w": "go", "still": "stop"}),
        lambda tx: gx.groups(("w", tx), ("still", None)),
        lambda tx: gx.chain(tx, gx.freeze({"w": False, "still": True})),
        lambda tx: gx.with_ema(gx.chain(tx, gx.freeze({"w": False, "still": True})), 0.5),
    ],
    ids=["selective", "partition", "groups", "frozen at the end", "averaged twice"],
)
def test_costs_one_copy_of_what_is_trained(frozen):
    params = {"w": jnp.ones((2, 3), jnp.bfloat16), "still": jnp.ones(4)}
    tx = gx.with_ema(frozen(gx.sgd(0.1)), 0.9)
    state = jax.eval_shape(tx.init, params)
    assert state.average == {"w": jax.ShapeDtypeStruct((2, 3), "float32"), "still": None}
    new, state = tx.step(params, tx.init(params), params)
    assert tx.eval_params(state, new)["still"] is new["still"]
    np.testing.assert_array_equal(new["still"], params["still"])


def test_leaves_that_are_no_arrays_have_no_average():
    params = {"w": jnp.ones(2), "n": jnp.arange(3), "none": None, "key": jax.random.key(0)}
    tx = gx.with_ema(gx.sgd(0.1), 0.9)
    state = tx.init(params)
    assert {k for k, a in state.average.items() if a is not None} == {"w"}
    grads = {"w": jnp.ones(2), "n": None, "none": None, "key": None}
    params, state = tx.step(grads, state, params)
    assert tx.eval_params(state, params)["n"] is params["n"]


def test_in_groups_an_average_is_of_its_leaves():
    tx = gx.partition(
        {"matrix": gx.with_ema(gx.sgd(0.1), 0.5), "rest": gx.sgd(0.1)},
        {"w": "matrix", "b": "rest"},
    )
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    state = tx.init(params)
    for _ in range(2):
        params, state = tx.step({"w": jnp.ones((2, 2)), "b": jnp.ones(2)}, state, params)
    evaluated = tx.eval_params(state, params)
    np.testing.assert_allclose(evaluated["w"], 0.9 / 3 + 0.8 * 2 / 3, rtol=1e-6)
    assert evaluated["b"] is params["b"]


def test_average_of_what_is_evaluated_inside():
    """Around SAM it is that of the unperturbed parameters, once for each descent."""
    sam = gx.sam(gx.sgd(0.1), gx.sgd(0.5), sync_period=2)
    tx, params = gx.with_average(sam), jnp.ones(2)
    state, descents = tx.init(params), []
    for t in range(6):
        params, state = tx.step(jnp.full(2, 1.0 + t), state, params)
        if t % 2:
            descents.append(np.asarray(params))
    np.testing.assert_allclose(tx.eval_params(state, params), np.mean(descents, 0), rtol=1e-6)
    assert int(state.count) == 3


def test_pair_of_lookahead_is_refused():
    tx = gx.with_ema(gx.lookahead(gx.sgd(0.1), 2, 0.5), 0.9)
    params = gx.LookaheadParams.init_synced({"w": jnp.ones(2)})
    grads = params.fit_updates({"w": jnp.ones(2)})
    with pytest.raises(TypeError, match="slow_in_state=True"):
        tx.step(grads, tx.init(params), params)


def test_state_of_other_parameters_is_named():
    tx = gx.with_ema(gx.sgd(0.1), 0.9)
    with pytest.raises(ValueError, match=r"with_ema: .* the state field `average`"):
        tx.eval_params(tx.init({"w": jnp.ones(2)}), {"v": jnp.ones(2)})
    with pytest.raises(ValueError, match="with_ema needs the parameters"):
        tx.update({"w": jnp.ones(2)}, tx.init({"w": jnp.ones(2)}))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gx.with_ema(gx.sgd(0.1), 1.0), r"`decay` must be a finite number in \[0, 1\)"),
        (lambda: gx.with_ema(gx.sgd(0.1), 0.9, every=0), "`every` must be an integer in"),
        (lambda: gx.with_swa(gx.sgd(0.1), start=-1, every=1), "`start` must be an integer in"),
    ],
)
def test_arguments_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def shapes(dtype):
    """Return a tree of 8M parameters, as shapes only."""
    layers = itertools.product(range(2), [(512, 512), (2048, 512), (512, 1024), (512,)])
    return {f"{i}": jax.ShapeDtypeStruct(s, dtype) for i, (_, s) in enumerate(layers)}


def cost(tx, dtype):
    """Return (temporary bytes, bytes read and written for each parameter) of a step."""
    params = shapes(dtype)

    def step(params, state, grads):
        return tx.step(grads, state, params)

    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(
        params, jax.eval_shape(tx.init, params), params
    )
    compiled = lowered.compile()
    size = sum(math.prod(p.shape) for p in params.values())
    moved = compiled.cost_analysis()["bytes accessed"]
    return compiled.memory_analysis().temp_size_in_bytes, moved / size


@pytest.mark.parametrize(
    "make",
    [
        lambda: gx.with_ema(gx.adamw(1e-3), 0.999),
        pytest.param(
            lambda: gx.with_swa(gx.adamw(1e-3), start=10, every=5), marks=pytest.mark.slow
        ),
    ],
)
def test_reads_the_parameters_and_moves_the_average_once(make):
    """12 bytes for each float32 parameter beside AdamW's, and no temporaries."""
    _, bare = cost(gx.adamw(1e-3), "float32")
    temporary, moved = cost(make(), "float32")
    assert temporary < 1e5
    assert moved - bare == pytest.approx(12, abs=0.5)


def test_average_in_a_group_known_by_a_function():
    tx = gx.masked(gx.with_average(gx.sgd(0.1)), matrices)
    state = tx.init({"w": jnp.ones((2, 2)), "b": jnp.ones(2)})
    assert state.inner_state.average["b"] is None


def test_of_branches_one_that_steps_is_enough():
    every = (gx.accumulate(gx.identity(), 2), gx.accumulate(gx.identity(), 3))
    tx = gx.with_ema(gx.chain(gx.parallel(*every, merge=jnp.add), gx.scale(-0.1)), 0.5)
    params = {"w": jnp.ones(2)}
    state, counts = tx.init(params), []
    for _ in range(6):
        _, state = tx.update(params, state, params)
        counts.append(int(state.count))
    assert counts == [0, 1, 2, 3, 3, 4]
