"""Differential privacy in two parts: the noise of k micro-batches is that of one large batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

CLIP, MULTIPLIER = 0.5, 1.5
PARAMS = {"w": jnp.zeros((4, 3)), "b": jnp.zeros(2)}


def examples(rng, count):
    """Return gradients of single examples, of norms on both sides of the limit."""
    return jax.tree.map(
        lambda p: jnp.asarray(rng.normal(0.0, 0.15, (count, *p.shape)), jnp.float32), PARAMS
    )


def split(g, *sizes):
    """Return gradients of examples in consecutive pieces."""
    ends = np.cumsum(sizes)
    return [
        jax.tree.map(lambda x, a=e - n, b=e: x[a:b], g) for n, e in zip(sizes, ends, strict=True)
    ]


def private(every):
    """Return a private chain with accumulation."""
    noise = gx.add_private_noise(CLIP, MULTIPLIER, key=7)
    return gx.chain(
        gx.clip_per_example(CLIP), gx.accumulate(gx.chain(noise, gx.scale(-1.0)), every)
    )


def test_both_halves_are_the_aggregate_without_noise(rng):
    g = examples(rng, 6)
    halves = gx.chain(gx.clip_per_example(CLIP), gx.add_private_noise(CLIP, 0.0, key=1))
    whole = gx.differentially_private_aggregate(CLIP, 0.0, key=1)
    a, _ = halves.update(g, halves.init(PARAMS), PARAMS)
    b, _ = whole.update(g, whole.init(PARAMS), PARAMS)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), a, b)


def test_clipping_against_numpy(rng):
    g = examples(rng, 6)
    u, _ = gx.clip_per_example(CLIP).update(g, gx.EmptyState(), PARAMS)
    flat = np.concatenate([np.asarray(x, float).reshape(6, -1) for x in (g["w"], g["b"])], axis=1)
    norms = np.linalg.norm(flat, axis=1)
    assert min(norms) < CLIP < max(norms)
    mean = np.mean(flat * np.minimum(1, CLIP / norms)[:, None], axis=0)
    np.testing.assert_allclose(np.concatenate([u["w"].ravel(), u["b"]]), mean, rtol=1e-5)


@pytest.mark.parametrize("sizes", [(4, 4), (2, 5, 1)])
def test_micro_batches_are_one_large_batch_noise_included(rng, sizes):
    """The noise is the very same numbers: those of a step, drawn once, for all examples in it."""
    g = examples(rng, sum(sizes))
    many, one = private(len(sizes)), private(1)
    state, other = many.init(PARAMS), one.init(PARAMS)
    for _ in range(2):
        expected, other = one.update(g, other, PARAMS)
        for piece in split(g, *sizes):
            updates, state = many.update(piece, state, PARAMS)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), updates, expected)


@pytest.mark.parametrize("flush", [False, True])
def test_the_standard_deviation_of_the_noise(flush):
    """With s C / B for the B examples of the step, also where the group is cut short."""
    size, k = 20_000, 3
    params = {"w": jnp.zeros(size)}
    tx, g = private(k), {"w": jnp.zeros((5, size))}
    state, used = tx.init(params), 0
    for t in range(2 if flush else k):
        updates, state = tx.update(g, state, params, flush=flush and t == 1)
        used += 5
    noise = np.asarray(updates["w"], float)
    assert abs(np.std(noise) / (MULTIPLIER * CLIP / used) - 1) < 4 / np.sqrt(2 * size)
    assert abs(np.mean(noise)) < 4 * np.std(noise) / np.sqrt(size)


def test_both_parts_of_a_complex_number_are_hidden():
    g = jnp.zeros(20_000, jnp.complex64)
    tx = gx.add_private_noise(CLIP, MULTIPLIER, key=1)
    noise, _ = tx.update(g, tx.init(g), weight=10)
    for part in (noise.real, noise.imag):
        assert abs(np.std(part) / (MULTIPLIER * CLIP / 10) - 1) < 0.03


def test_errors(rng):
    tx = private(2)
    with pytest.raises(TypeError, match="`weight` must not be given: a micro-batch counts by its"):
        tx.update(examples(rng, 2), tx.init(PARAMS), PARAMS, weight=3.0)
    noise = gx.add_private_noise(1.0, 1.0, key=1)
    with pytest.raises(TypeError, match="add_private_noise needs the extra argument `weight`"):
        noise.update(PARAMS, noise.init(PARAMS), PARAMS)
    with pytest.raises(ValueError, match="exactly one of `key` and `seed`"):
        gx.add_private_noise(1.0, 1.0)
    late = gx.chain(gx.clip_per_example(1.0), noise, gx.accumulate(gx.sgd(0.1), 2))
    with pytest.raises(ValueError, match="but add_private_noise before it draws at every"):
        late.update(examples(rng, 2), late.init(PARAMS), PARAMS)
