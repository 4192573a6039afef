"""Schedule-Free: the averages of the paper, their precision, and where they are found."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.testing import check_formula, gradient_sequence, run_steps
from tests.cases import rate


def averaged(w, gradients, lr, b1, power=2.0):
    """Yield (y, x) of schedule-free gradient descent."""
    x, z, highest, total = w, w, 0.0, 0.0
    for t, g in enumerate(gradients):
        highest = max(highest, lr(t))
        total += highest**power
        c = highest**power / total if total else 0.0
        z = z - lr(t) * g
        x = (1 - c) * x + c * z
        yield b1 * x + (1 - b1) * z, x


def rising(count):
    """Return 0, 0.1, 0.2, 0.2, ..."""
    return 0.1 * jnp.minimum(jnp.asarray(count, float), 2)


@pytest.mark.parametrize(("b1", "power"), [(0.9, 2.0), (1.0, 0.0)])
def test_formula(b1, power):
    def loop(w, gradients):
        return [y for y, _ in averaged(w, gradients, lambda t: 0.1 * min(t, 2), b1, power)]

    check_formula(gx.schedule_free(gx.sgd(rising), rising, b1, power), loop, steps=40)


@pytest.mark.parametrize("step", [pytest.param(False, marks=pytest.mark.slow), True])
def test_evaluated_parameters_are_the_average(step, x64):
    tx = gx.schedule_free(gx.sgd(0.1), 0.1, 0.8)
    w, gradients = np.ones(3), gradient_sequence((3,), 20)
    params = {"w": jnp.asarray(w), "n": jnp.arange(2)}
    state = tx.init(params)
    for g, (_, x) in zip(gradients, averaged(w, gradients, lambda t: 0.1, 0.8), strict=True):
        grads = {"w": jnp.asarray(g), "n": None}
        if step:
            params, state = tx.step(grads, state, params)
        else:
            u, state = tx.update(grads, state, params)
            params = gx.apply_updates(params, u)
        found = gx.schedule_free_eval_params(state, params)
        np.testing.assert_allclose(found["w"], x, rtol=1e-12)
    np.testing.assert_array_equal(found["n"], params["n"])


def test_with_a_constant_rate_it_is_the_mean_of_all_iterates(x64):
    tx, g = gx.schedule_free(gx.sgd(1.0), 1.0), jnp.ones([])
    params, state = jnp.zeros([]), tx.init(jnp.zeros([]))
    for _ in range(4):
        params, state = tx.step(g, state, params)
    assert float(gx.schedule_free_eval_params(state, params)) == pytest.approx(-2.5, rel=1e-14)
    assert float(state.z) == -4


def test_narrow_parameters_keep_an_exact_average():
    """y moves by less than the spacing of bfloat16 in most of these steps."""
    tx = gx.schedule_free(gx.sgd(1e-3), 1e-3)
    gradients = [jnp.asarray(g, jnp.bfloat16) for g in gradient_sequence((2, 4), 200)]
    wide, narrow = jnp.ones((2, 4)), jnp.ones((2, 4), jnp.bfloat16)
    states, params = [tx.init(wide), tx.init(narrow)], [wide, narrow]
    step = jax.jit(tx.step)
    for g in gradients:
        for i in range(2):
            params[i], states[i] = step(g, states[i], params[i])
    exact = gx.schedule_free_eval_params(states[0], params[0])
    assert (states[1].z.dtype, states[1].x.dtype) == (jnp.float32, jnp.float32)
    assert states[0].x is None
    np.testing.assert_allclose(states[1].x, exact, rtol=2e-5)
    found = gx.schedule_free_eval_params(states[1], params[1])
    np.testing.assert_array_equal(found, states[1].x.astype(jnp.bfloat16))


def test_zero_steps_leave_everything_where_it_is():
    tx = gx.schedule_free(gx.sgd(0.1), 0.1)
    w = jnp.array([0.1, 1 / 3, 7e5])
    params, state = w, tx.init(w)
    for _ in range(3):
        params, state = tx.step(jnp.zeros(3), state, params)
    np.testing.assert_array_equal(params, w)
    np.testing.assert_array_equal(gx.schedule_free_eval_params(state, params), w)


@pytest.mark.parametrize("by", ["step", "update"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_around_an_accumulation_it_averages_steps(dtype, by):
    """Outside and inside are the same bits."""
    make = functools.partial(gx.schedule_free, learning_rate=rising, b1=0.8)
    txs = [make(gx.accumulate(gx.sgd(rising), 4)), gx.accumulate(make(gx.sgd(rising)), 4)]
    w = jnp.linspace(-1, 1, 5).astype(dtype)
    params, states = [w, w], [tx.init(w) for tx in txs]
    calls = [jax.jit(getattr(tx, by)) for tx in txs]
    for t in range(13):
        for i in range(2):
            made, states[i] = calls[i](jnp.sin(w + t), states[i], params[i])
            params[i] = made if by == "step" else gx.apply_updates(params[i], made)
        np.testing.assert_array_equal(*params)
        points = [tx.eval_params(s, p) for tx, s, p in zip(txs, states, params, strict=True)]
        np.testing.assert_array_equal(*points)
    assert int(states[0].step_count) == 3


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda average: average(gx.guard(gx.sgd(0.1))),
        lambda average: gx.chain(gx.guard(gx.identity()), average(gx.sgd(0.1))),
    ],
)
def test_a_step_that_a_guard_leaves_out_is_none(make, jit):
    tx = make(lambda inner: gx.schedule_free(inner, 0.1, jnp.float32(0.5)))
    step, params = jax.jit(tx.step) if jit else tx.step, jnp.ones([])
    state, seen = tx.init(params), []
    for g in (1.0, np.nan, np.nan, 1.0):
        params, state = step(jnp.float32(g), state, params)
        seen.append(float(tx.eval_params(state, params)))
    np.testing.assert_allclose(seen, [0.9, 0.9, 0.9, 0.85], rtol=1e-6)


@pytest.mark.parametrize("each", [False, True])
def test_groups_that_rest_alone(each):
    """Around groups what rests is averaged once more; with one in each group it waits."""
    average = functools.partial(gx.schedule_free, learning_rate=0.1, b1=0.5)
    inside, around = (average, lambda tx: tx) if each else (lambda tx: tx, average)
    tx = around(gx.groups(("a", inside(gx.guard(gx.sgd(0.1)))), ("*", inside(gx.sgd(0.1)))))
    params = {"a": jnp.ones([]), "b": jnp.ones([])}
    state, step = tx.init(params), jax.jit(tx.step)
    for a in (1.0, np.nan, 1.0):
        params, state = step({"a": jnp.float32(a), "b": jnp.float32(1)}, state, params)
    x = tx.eval_params(state, params)
    of_a = [0.9, 0.8] if each else [0.9, 0.9, 0.8]
    np.testing.assert_allclose(x["a"], np.mean(of_a), rtol=1e-6)
    np.testing.assert_allclose(x["b"], 0.8, rtol=1e-6)
    np.testing.assert_allclose(params["a"], (np.mean(of_a) + 0.8) / 2, rtol=1e-6)


def test_sam_inside_must_be_opaque():
    """The transparent one goes up by all of rho, but the parameters by (1 - b1) of it."""
    parts = gx.sgd(0.1), gx.sgd(0.5)
    with pytest.raises(ValueError, match=r"schedule_free: `sam` inside it must be opaque"):
        gx.schedule_free(gx.chain(gx.sam(*parts), gx.identity()), 0.1)
    gx.schedule_free(gx.sam(*parts, opaque_mode=True), 0.1)
    gx.schedule_free(gx.sam(*parts, sync_period=1), 0.1)
    gx.sam(gx.schedule_free(parts[0], 0.1), parts[1])


def test_what_is_around_it_hears_of_steps():
    tx = gx.with_ema(gx.schedule_free(gx.accumulate(gx.sgd(0.1), 2), 0.1), 0.9)
    w, state = jnp.ones([]), tx.init(jnp.ones([]))
    for _ in range(4):
        w, state = tx.step(jnp.ones([]), state, w)
    assert int(state.count) == 2


def test_state_dtype():
    params = {"w": jnp.ones(2), "z": jnp.ones(2, jnp.complex64)}
    state = gx.schedule_free(gx.sgd(0.1), 0.1, state_dtype="bfloat16").init(params)
    assert (state.z["w"].dtype, state.z["z"].dtype) == (jnp.bfloat16, jnp.complex64)
    assert jax.tree.leaves(state.x) == []


def test_the_state_is_found_in_whatever_is_around_it():
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    sf = gx.schedule_free(gx.sgd(0.5), 0.5)
    inside = {
        "alone": sf,
        "chain": gx.chain(gx.clip_by_global_norm(1e9), sf),
        "named": gx.named_chain(("first", gx.identity()), ("sf", sf)),
        "MultiSteps": gx.MultiSteps(sf, 1),
        "partition": gx.partition({"w": sf, "b": sf}, {"w": "w", "b": "b"}),
    }
    for name, tx in inside.items():
        state = tx.init(params)
        for _ in range(2):
            moved, state = tx.step(params, state, params)
        x = gx.schedule_free_eval_params(state, moved)
        assert float(x["w"][0]) == pytest.approx(float(x["b"][0]))
        assert float(x["w"][0]) != pytest.approx(float(moved["w"][0])), name


@pytest.mark.slow
def test_leaves_of_another_optimizer_stay():
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    sf = gx.schedule_free_sgd(0.5)
    tx = gx.partition({"w": sf, "b": gx.sgd(0.1)}, {"w": "w", "b": "b"})
    moved, state = tx.step(params, tx.init(params), params)
    x = gx.schedule_free_eval_params(state, moved)
    np.testing.assert_array_equal(x["b"], moved["b"])


@pytest.mark.slow
def test_update_and_step_agree(x64):
    tx, w = gx.schedule_free_adamw(0.1, 3, weight_decay=0.1), jnp.linspace(-1, 1, 6)
    gradients = [jnp.asarray(g) for g in gradient_sequence((6,), 10)]
    params, state = w, tx.init(w)
    for g, by_update in zip(gradients, run_steps(tx, w, gradients), strict=True):
        params, state = tx.step(g, state, params)
        np.testing.assert_allclose(params, by_update, rtol=1e-13)


def test_dtype_change_reaches_what_it_wraps():
    tx = gx.with_state_dtype(gx.schedule_free_adamw(0.1), nu="bfloat16")
    assert tx.init(jnp.ones(2)).base_optimizer_state[0].nu.dtype == jnp.bfloat16


def test_abstract_parameters_give_an_abstract_state():
    params = {"w": jnp.ones(2, jnp.bfloat16), "n": jnp.arange(2)}
    tx = gx.schedule_free(gx.adam(0.1), rate)
    shapes, made = tx.init(jax.eval_shape(lambda: params)), tx.init(params)
    assert jax.tree.structure(shapes) == jax.tree.structure(made)
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(shapes))


def test_messages():
    w = {"w": jnp.ones(2)}
    tx = gx.schedule_free_sgd(0.1)
    state = tx.init(w)
    with pytest.raises(ValueError, match="schedule_free needs the parameters: call update"):
        tx.update(w, state)
    with pytest.raises(ValueError, match="must be a ScheduleFreeState, but is a tuple"):
        tx.update(w, (), w)
    with pytest.raises(ValueError, match="must have a ScheduleFreeState in it, but is a tuple"):
        gx.schedule_free_eval_params(gx.sgd(0.1).init(w), w)
    with pytest.raises(ValueError, match=r"has 2 ScheduleFreeStates, and two of them hold \['w'\]"):
        gx.schedule_free_eval_params((state, state), w)
    with pytest.raises(ValueError, match=r"the state field `z`.*\['w'\].*of other parameters"):
        gx.schedule_free_eval_params(state, {"v": w["w"]})
    with pytest.raises(ValueError, match=r"`b1` must be a finite number in \(0, 1\]"):
        gx.schedule_free(gx.sgd(0.1), 0.1, b1=0.0)
    with pytest.raises(TypeError, match="schedule_free: every part must be a transformation"):
        gx.schedule_free(gx.sgd, 0.1)
