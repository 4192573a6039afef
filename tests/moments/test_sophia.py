"""Sophia's rule against the loop of the paper, and where curvature, estimates or numbers lack."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import check_formula

B1, B2, EPS, GAMMA, CLIP = 0.83, 0.96, 1e-3, 0.3, 0.7
STEPS, EVERY = 60, 4


def diagonals(steps=STEPS, shape=(3, 4)):
    """Return a diagonal for each step, of any sign and scale."""
    rng = np.random.default_rng(7)
    return list(10.0 ** rng.uniform(-3, 3, shape) * (rng.normal(size=(steps, *shape)) + 1))


def extras(every=EVERY):
    """Return the extra arguments of each step; between estimates the diagonal is nonsense."""
    return [
        {"hessian_diagonal": {"w": d}, "hessian_is_fresh": t % every == 0}
        for t, d in enumerate(diagonals())
    ]


def sophia(clip=CLIP, corrected=False):
    """Return the loop of the paper, with the authors' later correction if asked for."""

    def loop(w, gradients):
        m = h = 0.0
        for t, (g, estimate) in enumerate(zip(gradients, diagonals(), strict=True), 1):
            m = B1 * m + (1 - B1) * g
            if t % EVERY == 1:
                h = B2 * h + (1 - B2) * estimate
            u = (m / (1 - B1**t) if corrected else m) / np.maximum(GAMMA * h, EPS)
            w = w + (u if clip is None else np.clip(u, -clip, clip))
            yield w

    return loop


@pytest.mark.parametrize(("clip", "corrected"), [(CLIP, False), (CLIP, True), (None, False)])
def test_formula(clip, corrected):
    tx = gradtx.scale_by_sophia(B1, B2, EPS, GAMMA, clip, bias_correction=corrected)
    loop = sophia(clip, corrected)
    check_formula(
        tx, loop, steps=STEPS, extras=extras(), tolerance=1e-11 if clip is None else 1e-12
    )


def test_a_diagonal_without_a_word_is_fresh():
    g = {"w": jnp.array([1.0, 2.0])}
    tx = gradtx.scale_by_sophia(b2=0.75)
    _, state = tx.update(g, tx.init(g), hessian_diagonal={"w": jnp.array([4.0, -8.0])})
    np.testing.assert_array_equal(state.nu["w"], [1.0, -2.0])


def test_a_stale_diagonal_leaves_the_mean_to_the_last_bit():
    g = {"w": jnp.array([0.1, 0.3])}
    tx = gradtx.scale_by_sophia()
    _, state = tx.update(g, tx.init(g), hessian_diagonal=g)
    _, later = tx.update(g, state, hessian_diagonal={"w": g["w"] * 0}, hessian_is_fresh=False)
    np.testing.assert_array_equal(later.nu["w"], state.nu["w"])


def test_negative_or_missing_curvature_is_a_step_by_sign():
    """Also with eps 0, where the quotient itself would be infinite or 0/0."""
    g = {"w": jnp.array([2.0, -3.0, 1e-30, 0.0])}
    tx = gradtx.scale_by_sophia(eps=0.0, clip_threshold=0.5)
    for curvature in (-1.0, 0.0):
        d = {"w": jnp.full(4, curvature)}
        u, _ = tx.update(g, tx.init(g), hessian_diagonal=d)
        np.testing.assert_array_equal(u["w"], [0.5, -0.5, 0.5, 0.0])


def test_of_a_complex_entry_the_magnitude_is_clipped():
    g = {"z": jnp.array([30 + 40j, 3e-9 + 4e-9j], jnp.complex64)}
    tx = gradtx.scale_by_sophia(b1=0.0, eps=1e-8)
    u, state = tx.update(g, tx.init(g), hessian_diagonal={"z": jnp.zeros(2)})
    np.testing.assert_allclose(u["z"], [0.6 + 0.8j, 0.3 + 0.4j], rtol=1e-5)
    assert state.nu["z"].dtype == jnp.float32


def test_messages():
    g = {"w": jnp.ones(2)}
    tx = gradtx.scale_by_sophia()
    with pytest.raises(TypeError, match="scale_by_sophia needs the extra argument `hessian_diagon"):
        tx.update(g, tx.init(g))
    with pytest.raises(ValueError, match=r"`hessian_diagonal` at \['w'\] must have the shape"):
        tx.update(g, tx.init(g), hessian_diagonal={"w": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"`gamma` must be a finite number in \(0, inf\)"):
        gradtx.scale_by_sophia(gamma=0.0)
