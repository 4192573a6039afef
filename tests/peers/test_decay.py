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


def relative_step(count):
    """Return the step of torch's Adafactor with an lr of 0.4."""
    return jnp.minimum(0.4, (count.astype(float) + 1) ** -0.5)


# By what `decay_from` is asked for: how we say it, and what torch is given besides the decay.
TORCH = {
    "AdamW": (lambda d: gx.adamw(0.01, weight_decay=d), {"lr": 0.01}),
    "Adam": (lambda d: gx.adamw(0.01, weight_decay=d), {"lr": 0.01}),
    "SGD": (
        lambda d: gx.sgd(0.01, 0.9, nesterov=True, weight_decay=d),
        {"lr": 0.01, "momentum": 0.9, "nesterov": True},
    ),
    "Adadelta": (lambda d: gx.adadelta(0.5, weight_decay=d), {"lr": 0.5}),
    "Adagrad": (
        lambda d: gx.adagrad(0.1, 0.0, 1e-10, eps_in_sqrt=False, weight_decay=d),
        {"lr": 0.1},
    ),
    "Adamax": (lambda d: gx.adamaxw(0.01, eps=1e-8, weight_decay=d), {"lr": 0.01}),
    "RMSprop": (
        lambda d: gx.rmsprop(
            0.01, 0.99, eps_in_sqrt=False, centered=True, momentum=0.7, weight_decay=d
        ),
        {"lr": 0.01, "centered": True, "momentum": 0.7},
    ),
    "NAdam": (
        lambda d: gx.nadamw(0.01, momentum_decay=0.004, weight_decay=d),
        {"lr": 0.01},
    ),
    # torch's eps stands elsewhere: one that is negligible.
    "RAdam": (lambda d: gx.radam(0.01, eps=1e-30, weight_decay=d), {"lr": 0.01, "eps": 1e-30}),
    # Its lr is above what the relative step, 1 / sqrt(t), has fallen to after 6 steps.
    "Adafactor": (
        lambda d: gx.adafactor(relative_step, 2, weight_decay=d),
        {"lr": 0.4, "eps": (1e-15, 1e-3)},
    ),
    "Muon": (
        lambda d: gx.muon(0.02, eps=1e-30, nesterov=False, weight_decay=d),
        {"lr": 0.02, "eps": 1e-30, "nesterov": False},
    ),
}
# By torch's class: with `decoupled_weight_decay` it has AdamW's.
DECOUPLED = ("Adam", "NAdam", "RAdam")
OPTAX = {
    "adamw": (gx.adamw, optax.adamw, {}),
    "nadamw": (gx.nadamw, optax.nadamw, {}),
    "lion": (gx.lion, optax.lion, {}),
    "adadelta": (gx.adadelta, optax.adadelta, {}),
    # Its change has the weight 1 - b2 there, b2 here: the same at one half.
    "adan": (gx.adan, optax.adan, {"b2": 0.5}),
    "muon": (gx.muon, optax.contrib.muon, {}),
}


@pytest.fixture
def doubles(monkeypatch):
    """Keep torch's scalars, such as NAdam's product, and its Muon in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    yield
    torch.set_default_dtype(before)


def check_torch(tx, name, options):
    """Assert that torch makes the same steps. Its matrices are the transposes of ours."""
    w = torch.tensor(START.T.copy(), requires_grad=True)
    stepper = getattr(torch.optim, name)([w], weight_decay=DECAY, **options)
    ours = run_steps(tx, jnp.asarray(START), [jnp.asarray(g) for g in GRADIENTS])
    for got, g in zip(ours, GRADIENTS, strict=True):
        w.grad = torch.tensor(g.T.copy())
        stepper.step()
        np.testing.assert_allclose(got, w.detach().numpy().T, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", TORCH)
def test_torch(name, x64, doubles):
    make, options = TORCH[name]
    peak = options["lr"] if name == "Adafactor" else None
    check_torch(make(gx.decay_from(f"torch.{name}", DECAY, peak=peak)), name, options)


@pytest.mark.parametrize("name", DECOUPLED)
def test_torch_decoupled(name, x64, doubles):
    make, options = TORCH[name]
    tx = make(gx.decay_from("torch.AdamW", DECAY))
    check_torch(tx, name, options | {"decoupled_weight_decay": True})


def test_torch_decoupled_is_a_number_here(x64, doubles):
    """What RAdam and its like take for `weight_decay=number` is torch's decoupled decay."""
    make, options = TORCH["RAdam"]
    check_torch(make(DECAY), "RAdam", options | {"decoupled_weight_decay": True})


@pytest.mark.parametrize("peak", [None, 0.01])
def test_adafactor_of_torch_while_its_step_is_its_lr(peak, x64, doubles):
    """Both translations are the same in the first 1 / lr^2 steps."""
    tx = gx.adafactor(None, 2, weight_decay=gx.decay_from("torch.Adafactor", DECAY, peak=peak))
    check_torch(tx, "Adafactor", {"lr": 0.01, "eps": (1e-15, 1e-3)})


@pytest.mark.parametrize("name", OPTAX)
def test_optax(name, x64):
    make, theirs, options = OPTAX[name]
    tx = make(0.01, weight_decay=gx.decay_from(f"optax.{name}", DECAY), **options)
    peer = theirs(0.01, weight_decay=DECAY, **options)
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
