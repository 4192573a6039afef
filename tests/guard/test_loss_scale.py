"""Loss scaling: the scale against a loop, exact quotients, and a problem that needs it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAM = jnp.zeros(2)
same = functools.partial(jax.tree.map, np.testing.assert_array_equal)


def scales(tx, finite):
    """Return the scales before each step and after the last, and the last state."""
    update = jax.jit(tx.update)
    state, found = tx.init(PARAM), []
    for flag in finite:
        found.append(float(gx.loss_scale(state)))
        g = jnp.array([1.0, 1.0 if flag else np.inf]) * gx.loss_scale(state)
        _, state = update(g, state, PARAM)
    return [*found, float(gx.loss_scale(state))], state


def expected(finite, scale, factor, period, least, most):
    """The scales, in a loop."""
    found, good = [scale], 0
    for flag in finite:
        if not flag:
            scale, good = max(scale / factor, least), 0
        elif (good := good + 1) == period:
            scale, good = min(scale * factor, most), 0
        found.append(scale)
    return found


@pytest.mark.parametrize("factor", [2.0, pytest.param(4.0, marks=pytest.mark.slow)])
def test_formula(factor):
    finite = np.random.default_rng(0).random(120) > 0.2
    finite[:20], finite[60:75] = True, False
    tx = gx.loss_scaling(gx.sgd(0.1), 2.0**4, factor, 3, 0.25, 2.0**6)
    found, state = scales(tx, finite)
    assert found == expected(finite, 2.0**4, factor, 3, 0.25, 2.0**6)
    assert {min(found), max(found)} == {0.25, 2.0**6}
    assert (state.count, state.nonfinite) == (120, np.sum(~finite))


def test_the_quotient_is_exact_and_what_is_inside_sees_it():
    """Clipping, too: the limit is in units of the gradient of the loss itself."""
    inner = gx.chain(gx.clip_by_global_norm(1.0), gx.adam(0.1))
    tx = gx.loss_scaling(inner, 2.0**9)
    g, state, bare = jnp.array([0.3, -1.7]), tx.init(PARAM), inner.init(PARAM)
    for _ in range(2):
        updates, state = tx.update(g * 2.0**9, state, PARAM)
        plain, bare = inner.update(g, bare, PARAM)
        same(updates, plain)
    same(state.inner_state, bare)


def test_the_quotient_is_wide():
    """2^-20 / 2^15 would be 0 in float16."""
    tx = gx.loss_scaling(gx.trace(0.9))
    g = jnp.array([2.0**-20, 1.0], jnp.float16)
    _, state = jax.jit(tx.update)(g, tx.init(g), g)
    assert state.inner_state.trace.tolist() == [2.0**-35, 2.0**-15]


def test_a_skipped_step_leaves_no_trace():
    tx = gx.loss_scaling(gx.adam(0.1), 8.0)
    step = jax.jit(tx.step)
    params, state = step(jnp.ones(2), tx.init(PARAM), PARAM)
    after, new = step(jnp.array([1.0, np.nan]), state, params)
    same((after, new.inner_state), (params, state.inner_state))
    assert (new.scale, new.good_steps, new.streak, new.bad_leaves[0]) == (4.0, 0, 1, 0)


def loss(w):
    """A parabola around 3, behind a factor that float16 holds and whose square it does not."""
    narrow = w.astype(jnp.float16) * jnp.float16(2.0**-14)
    return jnp.square(narrow.astype(jnp.float32) - 3.0 * 2.0**-14)


def trained(scaled, steps=40):
    """Return the parameter after training, its gradients without jit: XLA computes wider there."""
    w, lr = jnp.zeros(()), 2.0**26
    tx = gx.loss_scaling(gx.sgd(lr), period=30) if scaled else gx.sgd(lr)
    state, step = tx.init(w), jax.jit(tx.step)
    for _ in range(steps):
        scale = gx.loss_scale(state) if scaled else 1.0
        g = jax.grad(lambda w, scale=scale: loss(w) * scale)(w)
        w, state = step(g, state, w)
    return w, state


def test_a_problem_whose_gradients_vanish_in_float16():
    assert trained(False)[0] == 0.0
    w, state = trained(True)
    np.testing.assert_allclose(w, 3.0, rtol=2e-3)
    assert gx.loss_scale(state) == 2.0**16


def scalar(tx, gradients):
    """Return the updates of one number; gradients are scaled here."""
    state, updates, update = tx.init(jnp.zeros(())), [], jax.jit(tx.update)
    for g in gradients:
        u, state = update(jnp.asarray(g * float(gx.loss_scale(state)), jnp.float32), state)
        updates.append(float(u))
    return updates, state


def test_around_accumulation_each_micro_batch_has_a_scale_of_its_own():
    tx = gx.loss_scaling(gx.MultiSteps(gx.sgd(1.0), 2), 8.0)
    updates, state = scalar(tx, [1, np.inf, 3, 5, 7])
    assert updates == [0, 0, -2, 0, -6]
    assert gx.loss_scale(state) == 4.0


def test_inside_accumulation_the_scale_changes_with_steps_only():
    tx = gx.MultiSteps(gx.loss_scaling(gx.sgd(1.0), 8.0), 2)
    updates, state = scalar(tx, [1, np.inf, 3, 5, 7, 9])
    assert updates == [0, 0, 0, -4, 0, -8]
    assert gx.loss_scale(state) == 4.0


def test_it_ends_where_no_scale_helps():
    """deepspeedai/DeepSpeed#8415: every step skipped, and nothing said."""
    tx = gx.loss_scaling(gx.sgd(0.1), 4.0, give_up_after=4)
    state = tx.init({"w": PARAM})
    for _ in range(3):
        _, state = tx.update({"w": jnp.full(2, np.nan)}, state)
    with pytest.raises(FloatingPointError, match=r"loss_scaling: stopped at step 3 .*\['w'\]"):
        tx.update({"w": jnp.full(2, np.nan)}, state)
    quiet = gx.loss_scaling(gx.sgd(0.1), 4.0, give_up_after=1, callback=False)
    _, state = jax.jit(quiet.update)(PARAM * np.nan, quiet.init(PARAM))
    with pytest.raises(FloatingPointError, match="loss_scaling: stopped at step 0"):
        gx.check_guards(state)


def test_metrics():
    tx = gx.with_metrics(gx.loss_scaling(gx.sgd(0.1), 4.0), "loss_scale", "streak")
    _, state = jax.jit(tx.update)(PARAM * np.inf, tx.init(PARAM), PARAM)
    assert gx.metrics(state) == {"loss_scale": 4.0, "streak": 1.0}


def test_errors():
    with pytest.raises(
        ValueError, match="`initial` must be from `minimum`, 1, to `maximum`, 8, but"
    ):
        gx.loss_scaling(gx.sgd(0.1), 16.0, maximum=8.0)
    with pytest.raises(ValueError, match="`factor` must be a finite number in"):
        gx.loss_scaling(gx.sgd(0.1), factor=1.0)
    with pytest.raises(ValueError, match="one `loss_scaling` in it, but has none"):
        gx.loss_scale(gx.sgd(0.1).init(PARAM))
    with pytest.raises(ValueError, match="but has 2"):
        gx.loss_scale(gx.loss_scaling(gx.loss_scaling(gx.sgd(0.1))).init(PARAM))


def test_metric_before_the_first_step():
    tx = gx.with_metrics(gx.loss_scaling(gx.sgd(0.1), 4.0), "loss_scale", "streak")
    state = tx.init(PARAM)
    assert {k: float(v) for k, v in gx.metrics(state).items()} == {"loss_scale": 4.0, "streak": 0}
    shapes = jax.eval_shape(tx.init, PARAM)
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, shapes)
    grouped = gx.with_metrics(gx.groups(("all", "*", gx.loss_scaling(gx.sgd(0.1)))), "loss_scale")
    assert float(gx.metrics(grouped.init(PARAM))["loss_scale/all"]) == 2.0**15
    jax.jit(tx.step, donate_argnums=(1, 2))(PARAM, state, PARAM + 0)


def test_what_would_hide_gradients_from_the_scale():
    inside = "there is a `loss_scaling` inside, which has to see gradients that are not finite"
    with pytest.raises(ValueError, match=f"^apply_if_finite: {inside}.*loss_scaling.apply_if_fin"):
        gx.apply_if_finite(gx.loss_scaling(gx.sgd(0.1)), 2)
    tx = gx.chain(gx.scale(1.0), gx.loss_scaling(gx.sgd(0.1)))
    with pytest.raises(ValueError, match=f"^MultiSteps: {inside}"):
        gx.MultiSteps(tx, 2, should_skip_update_fn=gx.skip_not_finite)
    gx.MultiSteps(tx, 2)


@pytest.mark.parametrize(
    "clip", [gx.clip_by_global_norm(1.0), gx.clip(1.0), gx.adaptive_grad_clip(1.0)]
)
def test_clip_of_scaled_gradients(clip):
    name = clip.description.name
    text = rf"chain: `{name}` stands before `loss_scaling`, .* loss_scaling\(chain\({name}\(...\)"
    scaled = gx.loss_scaling(gx.sgd(0.1))
    for make in (
        lambda: gx.chain(clip, scaled),
        lambda: gx.named_chain(
            ("a", gx.chain(gx.scale(2.0), clip)), ("b", gx.accumulate(scaled, 2))
        ),
    ):
        with pytest.raises(ValueError, match=text):
            make()
    gx.chain(scaled, clip)
