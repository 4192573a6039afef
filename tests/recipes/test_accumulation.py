"""Accumulation, private training with it, steps in place and in one trace: what users ran into."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

# Micro-batches of a few tokens and of many, as sentences are.
LENGTHS = (3, 17, 1, 11)
WIDTH = 6


def data(rng):
    """Return tokens and what is to be said of them."""
    x = rng.normal(size=(sum(LENGTHS), WIDTH))
    return jnp.asarray(x, jnp.float32), jnp.asarray(x @ rng.normal(size=(WIDTH, 2)), jnp.float32)


def mean_loss(params, batch):
    """Return the mean over the tokens of a batch."""
    x, y = batch
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)


def micro_batches(batch):
    """Return the batch in pieces."""
    ends = np.cumsum(LENGTHS)[:-1]
    return list(zip(*(np.split(np.asarray(a), ends) for a in batch), strict=True))


def start():
    """Return parameters of two leaves."""
    return {"w": jnp.full((WIDTH, 2), 0.1), "b": jnp.zeros(2)}


OPTIMIZERS = {
    "sgd": lambda: gx.sgd(0.1, momentum=0.9),
    "clipped adamw": lambda: gx.chain(gx.clip_by_global_norm(0.5), gx.adamw(0.1, weight_decay=0.1)),
    "lion": lambda: gx.lion(0.01),
    "adafactor": lambda: gx.adafactor(0.1),
    "lamb": lambda: gx.lamb(0.1),
    "rmsprop": lambda: gx.rmsprop(0.1),
    "schedule": lambda: gx.adam(gx.schedules.linear_schedule(0.1, 0.0, 3)),
    "schedule-free": lambda: gx.schedule_free_adamw(0.1),
}
MORE = {
    "adagrad": lambda: gx.adagrad(0.1),
    "adabelief": lambda: gx.adabelief(0.1),
    "nadamw": lambda: gx.nadamw(0.1),
    "amsgrad": lambda: gx.amsgrad(0.1),
    "muon": lambda: gx.muon(0.1),
    "lookahead": lambda: gx.lookahead(gx.adam(0.1), 2, 0.5, slow_in_state=True),
    "guarded": lambda: gx.apply_if_finite(gx.adamw(0.1), 3),
    "prodigy": lambda: gx.prodigy(),
}


def large_and_small(make, rng):
    """Return what three steps on the whole batch make, and on its pieces by weight."""
    batch = data(rng)
    tx = make()
    whole, state = start(), tx.init(start())
    pieces, many = start(), gx.accumulate(make(), len(LENGTHS))
    other = many.init(pieces)
    for _ in range(3):
        whole, state = tx.step(jax.grad(mean_loss)(whole, batch), state, whole)
        for piece in micro_batches(batch):
            g = jax.grad(mean_loss)(pieces, piece)
            pieces, other = many.step(g, other, pieces, weight=len(piece[0]))
    return whole, pieces


@pytest.mark.parametrize("name", ["clipped adamw"])
def test_unequal_micro_batches_are_one_large_batch(name, rng):
    """The loss was wrong where micro-batches had other numbers of tokens, and nothing said so.

    optax#1567, keras#19990. Equal weights give a token of a short micro-batch more to say, and
    clipping, decay and schedules that see micro-steps do the rest.
    """
    whole, pieces = large_and_small(OPTIMIZERS[name], rng)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), whole, pieces)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OPTIMIZERS, *MORE])
def test_unequal_micro_batches_are_one_large_batch_for_all(name, rng):
    whole, pieces = large_and_small((OPTIMIZERS | MORE)[name], rng)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-5), whole, pieces)


def test_equal_weights_would_be_another_gradient(rng):
    """The problem: the mean of means is not the mean."""
    batch, params = data(rng), start()
    grads = [jax.grad(mean_loss)(params, piece) for piece in micro_batches(batch)]
    means = jax.tree.map(lambda *g: sum(g) / len(g), *grads)
    exact = jax.grad(mean_loss)(params, batch)
    assert np.max(np.abs(means["w"] - exact["w"])) > 0.05


def test_one_bad_micro_batch_does_not_stay():
    """An inf stayed in the accumulator for ever, because it was multiplied by 0 (optax#828)."""
    tx = gx.accumulate(gx.apply_if_finite(gx.sgd(1.0), 5), 2)
    w = jnp.zeros([])
    state, seen = tx.init(w), []
    for g in (jnp.inf, 1.0, 1.0, 1.0):
        w, state = tx.step(jnp.float32(g), state, w)
        seen.append(float(w))
    assert seen == [0.0, 0.0, 0.0, -1.0]


def test_the_short_last_group_of_an_epoch_is_a_step(rng):
    """Seven micro-batches in groups of three are three steps an epoch, the last of one alone."""
    tx, params = gx.accumulate(gx.sgd(0.1), 3), start()
    state, counts = tx.init(params), []
    pieces = (micro_batches(data(rng)) * 2)[:7]
    for i, piece in enumerate(pieces):
        g = jax.grad(mean_loss)(params, piece)
        last = i == len(pieces) - 1
        params, state = tx.step(g, state, params, weight=len(piece[0]), flush=last)
        counts.append(int(state.count))
    assert counts == [0, 0, 1, 1, 1, 2, 3]


def test_private_noise_is_drawn_once_a_step():
    """Noise of every micro-batch was added up, too much of it (optax#527).

    Here that order is refused, and the one that is right has the noise of one large batch.
    """
    params, g = {"w": jnp.zeros(20_000)}, {"w": jnp.zeros((8, 20_000))}
    early = gx.chain(gx.differentially_private_aggregate(1.0, 2.0, 1), gx.apply_every(4))
    state = early.init(params)
    for _ in range(4):
        updates, state = early.update(g, state, params)
    assert np.std(updates["w"]) > 1.9 * 2.0 / 8  # four of them, where one mean has 2 / 32
    refused = gx.chain(
        gx.differentially_private_aggregate(1.0, 2.0, 1), gx.accumulate(gx.sgd(1.0), 4)
    )
    with pytest.raises(ValueError, match="noise must be drawn once for a step"):
        refused.update(g, refused.init(params), params)
    noise = gx.add_private_noise(1.0, 2.0, key=1)
    tx = gx.chain(gx.clip_per_example(1.0), gx.accumulate(gx.chain(noise, gx.sgd(1.0)), 4))
    state = tx.init(params)
    for _ in range(4):
        updates, state = tx.update(g, state, params)
    assert abs(np.std(updates["w"]) / (2.0 / 32) - 1) < 0.03


def pointers(tree):
    """Return where the buffers of a tree's arrays lie."""
    keys = jax.dtypes.prng_key
    arrays = [x for x in jax.tree.leaves(tree) if x.size and not jnp.issubdtype(x.dtype, keys)]
    return {x.unsafe_buffer_pointer() for x in arrays if x.ndim}


IN_PLACE = {
    "accumulate": (lambda: gx.accumulate(gx.adamw(1e-3), 2), "float32"),
    "split": (lambda: gx.with_rounding(gx.adamw(1e-3), "split"), "bfloat16"),
}
MORE_IN_PLACE = {
    "adamw": (lambda: gx.adamw(1e-3), "float32"),
    "kahan": (lambda: gx.with_rounding(gx.adamw(1e-3), "kahan"), "bfloat16"),
    "stochastic": (lambda: gx.with_rounding(gx.lion(1e-3), "stochastic"), "bfloat16"),
    "both": (lambda: gx.accumulate(gx.with_rounding(gx.sgd(0.1, 0.9), "split"), 2), "bfloat16"),
    "prodigy": (lambda: gx.prodigy(), "float32"),
    "madgrad": (lambda: gx.madgrad(0.1), "float32"),
    "schedule-free": (lambda: gx.schedule_free_adamw(0.1), "float32"),
    "clipped": (lambda: gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1)), "bfloat16"),
}


def check_in_place(make, dtype):
    """Assert that three donated steps write into the buffers that they were given."""
    tx, params = make(), {"w": jnp.ones((64, 64), dtype), "b": jnp.ones(64, dtype)}
    state = tx.init(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train_step(params, state, x):
        grads = jax.grad(lambda p: jnp.mean((x @ p["w"] + p["b"]) ** 2))(params)
        return tx.step(grads, state, params)

    x = jnp.ones((4, 64), dtype)
    for _ in range(3):
        before = jax.tree.leaves((params, state))
        lay = pointers((params, state))
        params, state = train_step(params, state, x)
        assert pointers((params, state)) == lay
        assert all(x.is_deleted() for x in before if x.ndim)


@pytest.mark.parametrize("name", IN_PLACE)
def test_donated_buffers_are_really_used(name):
    """Donating both failed on the first step, or was silently not done.

    optax#1059, keras-core#897, spd#971: state shared a buffer with the parameters, and a donation
    that does not happen is no error. Here the pointers are the same after each step as before.
    """
    check_in_place(*IN_PLACE[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_IN_PLACE)
def test_donated_buffers_are_really_used_by_more(name):
    check_in_place(*MORE_IN_PLACE[name])


def check_one_trace(make, dtype):
    """Assert that two steps from init on are one trace, in shapes, dtypes and weak types."""
    tx, traces = make(), []

    @jax.jit
    def train_step(params, state, grads):
        traces.append(1)
        return tx.step(grads, state, params)

    params = {"w": jnp.ones((4, 4), dtype), "b": jnp.ones(4, dtype)}
    state = tx.init(params)
    for _ in range(3):
        kinds = jax.tree.map(
            lambda x: (x.shape, x.dtype, getattr(x, "weak_type", False)), (params, state)
        )
        params, state = train_step(params, state, jax.tree.map(jnp.ones_like, params))
        assert kinds == jax.tree.map(
            lambda x: (x.shape, x.dtype, getattr(x, "weak_type", False)), (params, state)
        )
    assert len(traces) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["accumulated"])
def test_two_steps_are_one_trace(name, dtype):
    """A weak type or another dtype after the first step compiled everything a second time.

    optax#1440, optax#1108: the maintainers' answer was that any optimizer in mixed precision may.
    """
    check_one_trace(TRACED[name], dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", [*OPTIMIZERS, *MORE, "accumulated", "kahan", "stochastic"])
def test_two_steps_are_one_trace_for_all(name, dtype):
    check_one_trace(TRACED[name], dtype)


TRACED = {
    **OPTIMIZERS,
    **MORE,
    "accumulated": lambda: gx.accumulate(gx.with_rounding(gx.adamw(0.1), "split"), 2),
    "kahan": lambda: gx.with_rounding(gx.adamw(0.1), "kahan"),
    "stochastic": lambda: gx.with_rounding(gx.lion(0.1), "stochastic"),
}
