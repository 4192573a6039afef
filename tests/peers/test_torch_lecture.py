"""The lecture family against torch.optim: 100 steps in float64, with unusual hyperparameters."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import gradtx
from gradtx.testing import gradient_sequence, run_steps

DECAYS = {"b1": 0.83, "b2": 0.96}
BETAS = {"betas": (0.83, 0.96)}


def momentum_outside(*parts, momentum, rate):
    return gradtx.chain(*parts, gradtx.trace(momentum), gradtx.scale_by_learning_rate(rate))


def decaying(count):
    return 0.3 / (1 + 0.07 * count.astype(float))


CASES = {
    "SGD": (gradtx.sgd(0.03), torch.optim.SGD, {"lr": 0.03}),
    "SGD with momentum": (
        gradtx.sgd(0.03, momentum=0.83),
        torch.optim.SGD,
        {"lr": 0.03, "momentum": 0.83, "dampening": 0},
    ),
    "SGD with Nesterov": (
        gradtx.sgd(0.03, momentum=0.83, nesterov=True),
        torch.optim.SGD,
        {"lr": 0.03, "momentum": 0.83, "nesterov": True},
    ),
    "SGD with decay": (
        gradtx.chain(gradtx.add_decayed_weights(0.2), gradtx.sgd(0.03, momentum=0.83)),
        torch.optim.SGD,
        {"lr": 0.03, "momentum": 0.83, "weight_decay": 0.2},
    ),
    "Adagrad": (
        gradtx.adagrad(decaying, 0.2, 1e-3, eps_in_sqrt=False),
        torch.optim.Adagrad,
        {"lr": 0.3, "lr_decay": 0.07, "initial_accumulator_value": 0.2, "eps": 1e-3},
    ),
    "RMSprop": (
        gradtx.rmsprop(0.03, 0.87, 1e-3, eps_in_sqrt=False),
        torch.optim.RMSprop,
        {"lr": 0.03, "alpha": 0.87, "eps": 1e-3},
    ),
    "RMSprop with momentum": (
        momentum_outside(
            gradtx.scale_by_rms(0.87, 1e-3, eps_in_sqrt=False), momentum=0.7, rate=0.03
        ),
        torch.optim.RMSprop,
        {"lr": 0.03, "alpha": 0.87, "eps": 1e-3, "momentum": 0.7},
    ),
    "RMSprop, centred": (
        gradtx.rmsprop(0.03, 0.87, 1e-3, eps_in_sqrt=False, centered=True, momentum=0.7),
        torch.optim.RMSprop,
        {"lr": 0.03, "alpha": 0.87, "eps": 1e-3, "momentum": 0.7, "centered": True},
    ),
    "Adadelta": (
        gradtx.adadelta(0.7, 0.87, 1e-4, weight_decay=0.2),
        torch.optim.Adadelta,
        {"lr": 0.7, "rho": 0.87, "eps": 1e-4, "weight_decay": 0.2},
    ),
    "Adam": (
        gradtx.adam(0.03, **DECAYS, eps=1e-3),
        torch.optim.Adam,
        {"lr": 0.03, **BETAS, "eps": 1e-3},
    ),
    "AMSGrad": (
        gradtx.amsgrad(0.03, **DECAYS, eps=1e-3, bias_correction_mu=True, bias_correction_nu=True),
        torch.optim.Adam,
        {"lr": 0.03, **BETAS, "eps": 1e-3, "amsgrad": True},
    ),
    "AdamW": (
        gradtx.adamw(0.03, **DECAYS, eps=1e-3, weight_decay=0.2),
        torch.optim.AdamW,
        {"lr": 0.03, **BETAS, "eps": 1e-3, "weight_decay": 0.2},
    ),
    "Adamax": (
        gradtx.adamax(0.03, **DECAYS, eps=1e-3),
        torch.optim.Adamax,
        {"lr": 0.03, **BETAS, "eps": 1e-3},
    ),
    "NAdam": (
        gradtx.nadam(0.03, **DECAYS, eps=1e-3, momentum_decay=0.05),
        torch.optim.NAdam,
        {"lr": 0.03, **BETAS, "eps": 1e-3, "momentum_decay": 0.05},
    ),
    "NAdam with decoupled decay": (
        gradtx.nadamw(0.03, **DECAYS, eps=1e-3, weight_decay=0.2, momentum_decay=0.004),
        torch.optim.NAdam,
        {"lr": 0.03, **BETAS, "eps": 1e-3, "weight_decay": 0.2, "decoupled_weight_decay": True},
    ),
}


@pytest.fixture
def doubles():
    """Let torch keep its scalars, such as NAdam's product of momenta, in float64 too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def torch_trajectory(optimizer, options, start, gradients):
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    stepper = optimizer([w], **options)
    for g in gradients:
        w.grad = torch.tensor(g)
        stepper.step()
        yield w.detach().numpy().copy()


@pytest.mark.parametrize("name", CASES)
def test_trajectory_is_torchs(name, x64, doubles):
    tx, optimizer, options = CASES[name]
    gradients = gradient_sequence(steps=100)
    start = np.random.default_rng(1).normal(size=(3, 4))
    ours = run_steps(tx, jnp.asarray(start), [jnp.asarray(g) for g in gradients])
    theirs = list(torch_trajectory(optimizer, options, start, gradients))
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)
