"""What `decay_from` makes of the numbers of torch and Optax: the same trajectories in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import gradtx as gx
from gradtx.testing import gradient_sequence, run_steps

SHAPE, STEPS, DECAY = (3, 4), 50, 0.2
START = np.random.default_rng(1).normal(size=SHAPE)
GRADIENTS = gradient_sequence(SHAPE, STEPS)

TORCH = {
    "AdamW": (lambda d: gx.adamw(0.01, weight_decay=d), {"lr": 0.01}),
    "Adam": (lambda d: gx.adamw(0.01, weight_decay=d), {"lr": 0.01}),
    "SGD": (
        lambda d: gx.sgd(0.01, 0.9, nesterov=True, weight_decay=d),
        {"lr": 0.01, "momentum": 0.9, "nesterov": True},
    ),
    "Adadelta": (lambda d: gx.adadelta(0.5, weight_decay=d), {"lr": 0.5}),
}
OPTAX = {
    "adamw": (gx.adamw, optax.adamw),
    "lion": (gx.lion, optax.lion),
    "adadelta": (gx.adadelta, optax.adadelta),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch(name, x64):
    make, options = TORCH[name]
    tx = make(gx.decay_from(f"torch.{name}", DECAY))
    w = torch.tensor(START, requires_grad=True)
    stepper = getattr(torch.optim, name)([w], weight_decay=DECAY, **options)
    ours = run_steps(tx, jnp.asarray(START), [jnp.asarray(g) for g in GRADIENTS])
    for got, g in zip(ours, GRADIENTS, strict=True):
        w.grad = torch.tensor(g)
        stepper.step()
        np.testing.assert_allclose(got, w.detach().numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", OPTAX)
def test_optax(name, x64):
    make, theirs = OPTAX[name]
    tx = make(0.01, weight_decay=gx.decay_from(f"optax.{name}", DECAY))
    peer = theirs(0.01, weight_decay=DECAY)
    params = jnp.asarray(START)
    state = peer.init(params)
    ours = run_steps(tx, params, [jnp.asarray(g) for g in GRADIENTS])
    for got, g in zip(ours, GRADIENTS, strict=True):
        with jax.numpy_dtype_promotion("standard"):
            u, state = peer.update(jnp.asarray(g), state, params)
        params = optax.apply_updates(params, u)
        np.testing.assert_allclose(got, params, rtol=1e-8, atol=1e-10)


def test_paper_of_adamw(x64):
    """Algorithm 2: w = w - eta (alpha u + lambda w), with eta = lr / peak and alpha = peak."""

    def lr(t):
        return 0.01 / (1 + t)

    value = gx.decay_from("paper.AdamW", DECAY, peak=0.01)
    tx = gx.adamw(lambda count: 0.01 / (1 + count.astype(float)), weight_decay=value)
    m = v = 0.0
    w = START
    ours = run_steps(tx, jnp.asarray(START), [jnp.asarray(g) for g in GRADIENTS])
    for t, (got, g) in enumerate(zip(ours, GRADIENTS, strict=True)):
        eta = lr(t) / 0.01
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        u = (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
        w = w - eta * (0.01 * u + DECAY * w)
        np.testing.assert_allclose(got, w, rtol=1e-7, atol=1e-10)
