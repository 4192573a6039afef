"""Sharpness-aware minimisation over calls and inside one, against the paper's two gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

import gradtx as gx

CURVATURE = np.array([1.0, 4.0, 0.5])
START = np.array([1.0, -0.5, 2.0])


def loss(w):
    """Return a loss whose gradient is CURVATURE sinh(w)."""
    return jnp.sum(CURVATURE * jnp.cosh(w))


grad = jax.grad(loss)


def paper(w, steps, lr, rho, ascents=1):
    """Return the parameters after each step."""
    seen = []
    for _ in range(steps):
        top = w
        for _ in range(ascents):
            g = CURVATURE * np.sinh(top)
            top = top + rho * g / np.linalg.norm(g)
        w = w - lr * CURVATURE * np.sinh(top)
        seen.append(w)
    return seen


def make(lr=0.1, rho=0.3, period=2, **arguments):
    """Return SAM with the paper's ascent and gradient descent."""
    return gx.sam(gx.sgd(lr), gx.chain(gx.normalize(), gx.sgd(rho)), period, **arguments)


@pytest.mark.parametrize(("period", "step"), [(1, True), (2, False), (3, True)])
def test_transparent(period, step, x64):
    tx, w = make(period=period), jnp.asarray(START)
    state = tx.init(w)

    @jax.jit
    def advance(w, state):
        if step:
            return tx.step(grad(w), state, w)
        u, state = tx.update(grad(w), state, w)
        return gx.apply_updates(w, u), state

    for expected in paper(START, 4, 0.1, 0.3, period - 1):
        for _ in range(period):
            w, state = advance(w, state)
        np.testing.assert_allclose(w, expected, rtol=1e-12)
    assert state.steps_since_sync == 0


@pytest.mark.parametrize("step", [pytest.param(False, marks=pytest.mark.slow), True])
def test_opaque(step, x64):
    tx, w, seen = make(period=3, opaque_mode=True), jnp.asarray(START), []

    def grad_fn(params, i):
        seen.append(i)
        return grad(params)

    state = tx.init(w)
    assert state.cache is None
    for expected in paper(START, 3, 0.1, 0.3, 2):
        if step:
            w, state = tx.step(grad(w), state, w, grad_fn=grad_fn)
        else:
            u, state = tx.update(grad(w), state, w, grad_fn=grad_fn)
            w = gx.apply_updates(w, u)
        np.testing.assert_allclose(w, expected, rtol=1e-12)
    assert seen == [0, 1] * 3


@pytest.mark.slow
def test_opaque_is_the_gradient_norm_penalty():
    w = jnp.asarray(START, jnp.float32)
    ours, other = make(opaque_mode=True), gx.penalize_gradient_norm(gx.sgd(0.1), rho=0.3)
    u, _ = ours.update(grad(w), ours.init(w), w, grad_fn=lambda p, i: grad(p))
    v, _ = other.update(grad(w), other.init(w), w, grad_fn=grad)
    np.testing.assert_allclose(u, v, rtol=1e-6)


@pytest.mark.parametrize(("by", "jit"), [("step", False), ("update", True)])
def test_guards_inside_give_up_the_ascent_or_the_descent(by, jit):
    tx = gx.with_ema(gx.sam(gx.guard(gx.sgd(0.1)), gx.guard(gx.sgd(0.5))), 0.9)
    w, state, seen = jnp.ones([]), tx.init(jnp.ones([])), []
    call = jax.jit(getattr(tx, by)) if jit else getattr(tx, by)
    for bad in (0, 0, 1, 0, 0, 1, 0, 0):
        made, state = call(w * (jnp.nan if bad else 1), state, w)  # of w^2 / 2
        w = made if by == "step" else gx.apply_updates(w, made)
        seen.append(float(w))
    np.testing.assert_allclose(seen[1::2], np.cumprod([0.85, 0.9, 1, 0.85]), rtol=1e-6)
    assert int(state.count) == 3  # what is around it hears of three steps


@pytest.mark.parametrize("step", [False, True])
def test_an_accumulation_inside_averages_ascents_of_their_own(step):
    tx = gx.with_ema(gx.sam(gx.accumulate(gx.sgd(0.1), 2), gx.sgd(0.5)), 0.9)
    w, state, seen = jnp.ones([]), tx.init(jnp.ones([])), []
    for scale in (1, 1, 2, 2, 1, 1, 2, 2):
        if step:
            w, state = tx.step(scale * w, state, w)
        else:
            u, state = tx.update(scale * w, state, w)
            w = gx.apply_updates(w, u)
        seen.append(float(w))
    once = 1 - 0.1 * (1.5 + 2 * 2) / 2
    expected = [1.5, 1, 2, once, 1.5 * once, once, 2 * once, once**2]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    assert int(state.count) == 2


def test_an_adversary_that_starts_anew_cannot_accumulate():
    parts = gx.sgd(0.1), gx.chain(gx.normalize(), gx.accumulate(gx.sgd(0.3), 2))
    with pytest.raises(ValueError, match=r"it would never ascend. Put it around: accumulate\(sam"):
        gx.sam(*parts)
    gx.sam(*parts, reset_state=False)


def test_optimizers_run_where_they_are_due_and_see_their_parameters():
    """The optimizer's decay is that of the parameters where the ascent began."""
    tx = gx.sam(gx.chain(gx.add_decayed_weights(0.5), gx.sgd(0.1), gx.trace(0.5)), gx.sgd(1.0))
    w, top = jnp.array([1.0]), jnp.array([100.0])
    _, state = tx.update(-w, tx.init(w), w)
    np.testing.assert_array_equal(state.opt_state[2].trace, [0.0])
    u, state = tx.update(w, state, top)
    np.testing.assert_allclose(top + u, 1 - 0.1 * (1 + 0.5), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("reset_state", [False, True])
@pytest.mark.parametrize("opaque_mode", [False, True])
def test_reset_state(reset_state, opaque_mode):
    tx = gx.sam(gx.sgd(0.1), gx.trace(0.9), 2, reset_state, opaque_mode)
    w = jnp.ones(2)
    state = tx.init(w)
    for _ in range(1 if opaque_mode else 2):
        _, state = tx.update(w, state, w, grad_fn=lambda p, i: p)
    np.testing.assert_array_equal(state.adv_state.trace, jnp.zeros(2) if reset_state else w)


@pytest.mark.slow
def test_opaque_sees_narrow_parameters_in_float32():
    w, seen = jnp.ones(16, jnp.bfloat16), []

    def spy(p, i):
        seen.append(p)
        return jnp.ones_like(w)

    for keep_dtype in (False, True):
        tx = make(rho=4e-3, opaque_mode=True, keep_dtype=keep_dtype)
        u, _ = tx.update(jnp.ones_like(w), tx.init(w), w, grad_fn=spy)
        assert u.dtype == jnp.bfloat16
    np.testing.assert_allclose(seen[0], np.full(16, 1.001), rtol=1e-6)
    np.testing.assert_array_equal(seen[1], w)


@pytest.mark.slow
def test_opaque_averages_over_an_axis():
    """Each device has a batch of its own, whose gradient is its number."""
    w = jnp.zeros(2)
    tx = gx.sam(gx.sgd(1.0), gx.sgd(1.0), opaque_mode=True, batch_axis_name="batch")

    def update(number):
        grad_fn = lambda p, i: number * jnp.ones_like(p)  # noqa: E731
        return tx.update(w, tx.init(w), w, grad_fn=grad_fn)[0]

    u = jax.vmap(update, axis_name="batch")(jnp.array([1.0, 3.0]))
    np.testing.assert_array_equal(u, -2 * np.ones((2, 2)))


def test_what_nothing_trains_stays_where_it_is():
    params = {"w": jnp.ones(2), "n": jnp.arange(3), "frozen": jnp.ones(2)}
    grads = {"w": jnp.ones(2), "n": None, "frozen": None}
    tx, state = make(), make().init(params)
    assert state.cache["n"] is None
    for _ in range(2):
        u, state = tx.update(grads, state, params)
        assert (u["n"], u["frozen"]) == (None, None)
    new, _ = tx.step(grads, state, params)
    np.testing.assert_array_equal(new["frozen"], params["frozen"])
    np.testing.assert_array_equal(new["n"], params["n"])


def test_dtype_change_reaches_both():
    tx = gx.with_state_dtype(gx.sam(gx.adam(0.1), gx.adam(0.1)), mu="bfloat16")
    state = tx.init(jnp.ones(2))
    assert state.opt_state[0].mu.dtype == state.adv_state[0].mu.dtype == jnp.bfloat16


def test_layout_of_a_state_without_cache():
    mesh = AbstractMesh((2,), ("data",))
    layout = gx.sharding.state_layout(make(opaque_mode=True), {"w": jnp.ones(4)}, P("data"), mesh)
    assert layout.cache is None
    layout = gx.sharding.state_layout(make(), {"w": jnp.ones(4)}, P("data"), mesh)
    assert layout.cache["w"].sharding.spec == P("data")


def test_messages():
    w = {"w": jnp.ones(2)}
    tx, opaque = make(), make(opaque_mode=True)
    with pytest.raises(ValueError, match="sam needs the parameters"):
        tx.update(w, tx.init(w))
    with pytest.raises(ValueError, match="must be a SAMState, but is a tuple"):
        tx.update(w, (), w)
    with pytest.raises(TypeError, match="sam needs the extra argument `grad_fn`"):
        opaque.update(w, opaque.init(w), w)
    with pytest.raises(ValueError, match=r"\['w'\].*`grad_fn` must return the gradients alone"):
        opaque.update(w, opaque.init(w), w, grad_fn=lambda p, i: (p, 1.0))
    with pytest.raises(ValueError, match=r"`sync_period` must be an integer in \[1, inf\)"):
        make(period=0)
    with pytest.raises(TypeError, match="sam: every part must be a transformation"):
        gx.sam(gx.sgd(0.1), gx.normalize)
