"""Optimizers that find their step size: the chains, and that they need no learning rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx

# Each with the largest distance from the minimum at which it may end.
NO_RATE = {
    "dog": (gx.dog(init_step=("heuristic", 1e-3)), 0.3),
    "dowg": (gx.dowg(), 0.05),
    "cocob": (gx.cocob(), 0.05),
    "dadapt_adamw": (gx.dadapt_adamw(estim_lr0=1e-4), 0.3),
    "prodigy": (gx.prodigy(), 0.05),
    "mechanize": (gx.mechanize(gx.adam(1.0)), 0.1),
}


def at_the_end(tx, start, steps=400):
    """Return where a descent on a parabola ends."""

    def step(carry, _):
        w, state = carry
        return tx.step(w, state, w), None

    run = jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), None, steps)[0][0])
    return run(start)


@pytest.mark.parametrize(("tx", "most"), NO_RATE.values(), ids=NO_RATE)
def test_reaches_the_minimum_without_a_rate(tx, most):
    w = at_the_end(tx, jnp.array([3.0, -3.0, 1.0]))
    assert float(jnp.max(jnp.abs(w))) < most


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        (
            gx.dog(0.5, ("distance", 0.3), 1e-3, 0.1, {"w": True, "b": False}),
            gx.scale_by_dog(("distance", 0.3), 1e-3),
        ),
        (
            gx.dowg(0.5, 0.3, 1e-3, 0.1, {"w": True, "b": False}),
            gx.scale_by_dowg(0.3, 1e-3),
        ),
    ],
)
def test_chain_is_its_parts(whole, part):
    """The decay is coupled, and reaches the leaves of the mask; the rate comes last."""
    p = {"w": jnp.ones((2, 2)), "b": jnp.ones(())}
    g = {"w": jnp.full((2, 2), 0.2), "b": jnp.float32(3.0)}
    u, _ = whole.update(g, whole.init(p), p)
    expected, _ = part.update(g | {"w": jnp.full((2, 2), 0.3)}, part.init(p), p)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, -0.5 * y, rtol=1e-6), u, expected)


def test_cocob_does_not_care_for_a_constant_rate():
    p, g = jnp.array([1.0, 2.0]), jnp.array([0.3, -4.0])
    updates = [
        tx.update(g, tx.init(p), p)[0] for tx in (gx.cocob(eps=0.0), gx.cocob(1e-3, eps=0.0))
    ]
    np.testing.assert_allclose(*updates, rtol=1e-5)
