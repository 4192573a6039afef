"""Spikes of the loss and of the gradient's norm: the rule against NumPy, and what it spares."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

PARAM = jnp.zeros(2)


@functools.cache
def compiled(tx):
    """Return the step of a transformation, compiled once for all tests."""
    return jax.jit(lambda p, s, g, v: tx.step(g, s, p, value=v))


def run(tx, gradients, losses):
    """Return (whether each step moved the parameter, the last state)."""
    step = compiled(tx)
    state, p, taken = tx.init(PARAM), PARAM, []
    for g, loss in zip(gradients, losses, strict=True):
        new, state = step(p, state, jnp.full(2, g, jnp.float32), jnp.float32(loss))
        taken.append(bool(np.any(new != p)))
        p = new
    return taken, state


def expected(rows, window, sigma, after, floor):
    """Which steps are taken, in NumPy: rows of what is watched."""
    held, taken, streak = [], [], 0
    for row in np.asarray(rows, np.float64):
        last = np.array(held[-window:])
        far = False
        if len(held) >= after:
            limits = last.mean(0) + sigma * np.maximum(
                last.std(0, ddof=1), floor * abs(last.mean(0))
            )
            far = (row > limits).any()
        held, far = ([], False) if far and streak >= window else (held, far)
        bad = far or not np.isfinite(row).all()
        streak = streak + 1 if bad else 0
        held = held if bad else [*held, row]
        taken.append(not bad)
    return taken


@pytest.mark.parametrize(
    "of", [pytest.param("loss", marks=pytest.mark.slow), ("loss", "grad_norm")]
)
def test_formula(of):
    draw = np.random.default_rng(1)
    losses = draw.normal(3.0, 0.1, 60)
    norms = np.exp(draw.normal(0.0, 0.1, 60))
    losses[[9, 20, 21]] += 2
    losses[30], losses[44:] = np.nan, losses[44:] + 5
    norms[[12, 33]] *= 9
    taken, state = run(gx.guard(gx.sgd(0.1), spikes=gx.spikes(8, 3.0, of)), norms, losses)
    rows = {"loss": losses, "grad_norm": norms * 2**0.5}
    watched = (of,) if isinstance(of, str) else of
    rows = np.stack([rows[name] for name in watched], 1)
    assert taken == expected(rows, 8, 3.0, 4, 2e-3)
    assert 40 < sum(taken) < 50
    assert (state.count, state.spikes) == (60, 60 - sum(taken))
    kept = rows[taken][-8:][::-1]
    for name, column in zip(watched, kept.T, strict=True):
        np.testing.assert_allclose(state.windows[name], column, rtol=1e-6)


def test_only_accepted_values_enter_the_window():
    """A spike must not make the next one look usual, as with a window of all steps."""
    losses = [1.0, 1.1, 0.9, 1.0, 50.0, 50.0, 50.0, 1.0]
    taken, state = run(
        gx.guard(gx.sgd(0.1), spikes=gx.spikes(16, of="loss", after=4)), [1] * 8, losses
    )
    assert taken == [True] * 4 + [False] * 3 + [True]
    assert state.filled == 5


def test_a_new_level_is_accepted_after_a_window_of_skips():
    """As with other data: no run is frozen for ever by what it was used to."""
    losses = [1.0, 1.1, 0.9, 1.0] + [9.0, 9.1, 9.2, 8.9, 9.0, 9.1, 9.0]
    taken, state = run(gx.guard(gx.sgd(0.1), spikes=gx.spikes(4, of="loss")), [1] * 11, losses)
    assert taken == [True] * 4 + [False] * 4 + [True] * 3
    assert (state.filled, state.spikes, state.streak) == (3, 4, 0)


def test_a_loss_that_hardly_moves_has_no_spikes():
    """A standard deviation of 0 would make the last digit of bfloat16 a spike."""
    tx = gx.guard(gx.sgd(0.1), spikes=gx.spikes(4, of="loss"))
    assert all(run(tx, [1] * 8, [2.5] * 6 + [2.515625, 2.5])[0])
    bare = gx.guard(gx.sgd(0.1), spikes=gx.spikes(4, of="loss", floor=0.0))
    assert not all(run(bare, [1] * 8, [2.5] * 6 + [2.515625, 2.5])[0])


def test_the_state_inside_is_frozen_at_a_spike():
    tx = gx.guard(gx.adam(0.1), spikes=gx.spikes(4))
    losses = [1.0, 1.1, 0.9, 50.0]
    _, before = run(tx, [1] * 3, losses[:3])
    _, after = run(tx, [1] * 4, losses)
    jax.tree.map(np.testing.assert_array_equal, after.inner_state, before.inner_state)
    assert (after.spikes, after.nonfinite) == (1, 0)


def test_a_loss_that_is_not_finite_is_skipped_from_the_start():
    taken, state = run(gx.guard(gx.sgd(0.1), spikes=gx.spikes(4)), [1] * 3, [np.nan, 1.0, np.inf])
    assert taken == [False, True, False]
    assert (state.spikes, state.nonfinite, state.filled) == (2, 0, 1)


@pytest.mark.parametrize("dtype", ["float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_norms_of_narrow_gradients_do_not_overflow(dtype):
    """In float16 the square of 300 is inf, and so would be the norm."""
    params = jnp.zeros(4, dtype)
    tx = gx.guard(gx.sgd(0.1), spikes=gx.spikes(4, of="grad_norm"))
    _, state = jax.jit(tx.step)(jnp.full(4, 300.0, dtype), tx.init(params), params)
    assert state.windows["grad_norm"][0] == 600.0
    assert (state.spikes, state.nonfinite) == (0, 0)


@pytest.mark.slow
def test_giving_up_on_spikes():
    tx = gx.guard(
        gx.sgd(0.1), spikes=gx.spikes(8, of="loss", after=2), give_up_after=2, callback=False
    )
    _, state = run(tx, [1] * 5, [1.0, 1.1, 50.0, 50.0, 50.0])
    with pytest.raises(
        FloatingPointError, match=r"stopped at step 3 .*was a spike\. .* 2 were spikes"
    ):
        gx.check_guards(state)


def test_sigma_may_be_traced():
    def spiked(sigma):
        tx = gx.guard(gx.sgd(0.1), spikes=gx.spikes(4, sigma, of="loss"))
        state = tx.init(PARAM)
        for loss in (1.0, 1.2, 1.1, 1.4):
            _, state = tx.update(jnp.ones(2), state, PARAM, value=loss)
        return state.spikes

    assert jax.jit(jax.vmap(spiked))(jnp.array([1.0, 6.0])).tolist() == [1, 0]


def test_errors():
    with pytest.raises(ValueError, match=r"`of` must be .* but is 'value'\. The loss is given as"):
        gx.spikes(of="value")
    with pytest.raises(ValueError, match="`after` must be from 2 to `window`, 8, but is 9"):
        gx.spikes(8, after=9)
    with pytest.raises(ValueError, match="`window` must be an integer in"):
        gx.spikes(1)
    with pytest.raises(ValueError, match="`sigma` must be a finite number in"):
        gx.spikes(sigma=0.0)
    tx = gx.guard(gx.sgd(0.1), spikes=gx.spikes())
    with pytest.raises(TypeError, match=r"guard needs the extra argument `value`.*`val` was given"):
        tx.update(PARAM, tx.init(PARAM), val=1.0)
    with pytest.raises(TypeError, match=r"guard: `value` must be the loss, one real number"):
        tx.update(PARAM, tx.init(PARAM), value=jnp.ones(2))
