"""RAdam, Rprop and Adafactor against torch.optim: 100 steps in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import gradtx
from gradtx.testing import gradient_sequence, run_steps

CASES = {
    # torch adds eps to the root before the bias correction: equal for an eps that is negligible.
    "RAdam": (
        gradtx.radam(0.003, 0.83, 0.96, 1e-30),
        torch.optim.RAdam,
        {"lr": 0.003, "betas": (0.83, 0.96), "eps": 1e-30},
    ),
    "RAdam with coupled decay": (
        gradtx.chain(gradtx.add_decayed_weights(0.2), gradtx.radam(0.003, 0.83, 0.96, 1e-30)),
        torch.optim.RAdam,
        {"lr": 0.003, "betas": (0.83, 0.96), "eps": 1e-30, "weight_decay": 0.2},
    ),
    "Rprop": (
        gradtx.rprop(0.03, 0.4, 1.3, 1e-3, 0.1),
        torch.optim.Rprop,
        {"lr": 0.03, "etas": (0.4, 1.3), "step_sizes": (1e-3, 0.1)},
    ),
    "Rprop, defaults": (gradtx.rprop(0.01), torch.optim.Rprop, {}),
    # torch's rate is the cap of the paper's relative step, its eps a floor instead of a summand.
    "Adafactor": (
        gradtx.adafactor(None, 2),
        torch.optim.Adafactor,
        {"lr": 0.01, "eps": (1e-15, 1e-3)},
    ),
    "Adafactor, clipped later": (
        gradtx.adafactor(None, 2, decay_rate=0.6, clipping_threshold=1.2),
        torch.optim.Adafactor,
        {"lr": 0.01, "eps": (1e-15, 1e-3), "beta2_decay": -0.6, "d": 1.2},
    ),
}


@pytest.mark.parametrize("shape", [(3, 4), (5,)])
@pytest.mark.parametrize("name", CASES)
def test_trajectory_is_torchs(name, shape, x64):
    tx, optimizer, options = CASES[name]
    gradients = gradient_sequence(shape, steps=100)
    start = np.random.default_rng(1).normal(size=shape)
    ours = run_steps(tx, jnp.asarray(start), [jnp.asarray(g) for g in gradients])
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    stepper = optimizer([w], **options)
    for got, g in zip(ours, gradients, strict=True):
        w.grad = torch.tensor(g)
        stepper.step()
        np.testing.assert_allclose(got, w.detach().numpy(), rtol=1e-10, atol=1e-10)
