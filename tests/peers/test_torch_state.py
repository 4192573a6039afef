"""A run of torch.optim goes on in gradtx, and from there in torch again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import gradtx as gx
from gradtx.state import from_torch, to_torch
from gradtx.testing import gradient_sequence

BETAS, DECAYS = {"betas": (0.83, 0.96)}, {"b1": 0.83, "b2": 0.96}
NAMES = ["lin.weight", "lin.bias", "conv.weight"]
SHAPES = [(4, 3), (4,), (5, 2, 3, 3)]
PATHS = {"lin.weight": "lin/kernel", "conv.weight": "conv/kernel"}
TRANSPOSE = {"lin/kernel": None, "conv/kernel": (2, 3, 1, 0)}
CARRIED = {"names": NAMES, "paths": PATHS, "transpose": TRANSPOSE}


def decaying(count):
    return 0.3 / (1 + 0.07 * count.astype(float))


def momentum_outside(rule, momentum, rate):
    return gx.chain(rule, gx.trace(momentum), gx.scale_by_learning_rate(rate))


# Optimizer, its options, gradtx's transformation.
CASES = {
    "SGD": (torch.optim.SGD, {"lr": 0.03}, gx.sgd(0.03)),
    "SGD with momentum": (
        torch.optim.SGD,
        {"lr": 0.03, "momentum": 0.83, "weight_decay": 0.2},
        gx.chain(gx.add_decayed_weights(0.2), gx.sgd(0.03, 0.83)),
    ),
    "SGD with Nesterov": (
        torch.optim.SGD,
        {"lr": 0.03, "momentum": 0.83, "nesterov": True},
        gx.sgd(0.03, momentum=0.83, nesterov=True),
    ),
    "SGD with dampening": (
        torch.optim.SGD,
        {"lr": 0.03, "momentum": 0.83, "dampening": 0.4},
        gx.chain(gx.scale(0.6), gx.trace(0.83), gx.scale_by_learning_rate(0.03)),
    ),
    "SGD with dampening, as an average": (
        torch.optim.SGD,
        {"lr": 0.03, "momentum": 0.75, "dampening": 0.75},
        gx.chain(gx.ema(0.75, debias=False), gx.scale_by_learning_rate(0.03)),
    ),
    "Adagrad": (
        torch.optim.Adagrad,
        {"lr": 0.3, "lr_decay": 0.07, "initial_accumulator_value": 0.2, "eps": 1e-3},
        gx.adagrad(decaying, 0.2, 1e-3, eps_in_sqrt=False),
    ),
    "RMSprop": (
        torch.optim.RMSprop,
        {"lr": 0.03, "alpha": 0.87, "eps": 1e-3},
        gx.rmsprop(0.03, 0.87, 1e-3, eps_in_sqrt=False),
    ),
    "RMSprop with momentum": (
        torch.optim.RMSprop,
        {"lr": 0.03, "alpha": 0.87, "eps": 1e-3, "momentum": 0.7},
        momentum_outside(gx.scale_by_rms(0.87, 1e-3, eps_in_sqrt=False), 0.7, 0.03),
    ),
    "RMSprop, centred, with the rate inside": (
        torch.optim.RMSprop,
        {"lr": 0.03, "alpha": 0.87, "eps": 1e-3, "momentum": 0.7, "centered": True},
        gx.rmsprop(0.03, 0.87, 1e-3, eps_in_sqrt=False, centered=True, momentum=0.7),
    ),
    "Adadelta": (
        torch.optim.Adadelta,
        {"lr": 0.7, "rho": 0.87, "eps": 1e-4, "weight_decay": 0.2},
        gx.adadelta(0.7, 0.87, 1e-4, weight_decay=0.2),
    ),
    "Adam": (
        torch.optim.Adam,
        {"lr": 0.03, **BETAS, "eps": 1e-3},
        gx.adam(0.03, **DECAYS, eps=1e-3),
    ),
    "AMSGrad": (
        torch.optim.Adam,
        {"lr": 0.03, **BETAS, "eps": 1e-3, "amsgrad": True},
        gx.amsgrad(0.03, **DECAYS, eps=1e-3, bias_correction_mu=True, bias_correction_nu=True),
    ),
    "AdamW": (
        torch.optim.AdamW,
        {"lr": 0.03, **BETAS, "eps": 1e-3, "weight_decay": 0.2},
        gx.adamw(0.03, **DECAYS, eps=1e-3, weight_decay=0.2),
    ),
    "Adamax": (
        torch.optim.Adamax,
        {"lr": 0.03, **BETAS, "eps": 1e-3},
        gx.adamax(0.03, **DECAYS, eps=1e-3),
    ),
    "NAdam": (
        torch.optim.NAdam,
        {"lr": 0.03, **BETAS, "eps": 1e-3, "momentum_decay": 0.05},
        gx.nadam(0.03, **DECAYS, eps=1e-3, momentum_decay=0.05),
    ),
    "RAdam": (
        torch.optim.RAdam,
        {"lr": 0.003, **BETAS, "eps": 1e-30},
        gx.radam(0.003, 0.83, 0.96, 1e-30),
    ),
    "Rprop": (
        torch.optim.Rprop,
        {"lr": 0.03, "etas": (0.4, 1.3), "step_sizes": (1e-3, 0.1)},
        gx.rprop(0.03, 0.4, 1.3, 1e-3, 0.1),
    ),
}


@pytest.fixture
def doubles():
    """Let torch keep its scalars, such as NAdam's product of momenta, in float64 too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def here(arrays):
    """Return arrays as torch has them as the tree of parameters here."""
    weight, bias, kernel = (jnp.asarray(x) for x in arrays)
    return {
        "conv": {"kernel": kernel.transpose(2, 3, 1, 0)},
        "lin": {"kernel": weight.T, "bias": bias},
    }


def arrays_of(weights):
    return [w.detach().numpy().copy() for w in weights]


class Run:
    """A model of three arrays under an optimizer of torch, with gradients that are given."""

    def __init__(self, optimizer, options, start):
        self.weights = [torch.tensor(np.asarray(x), requires_grad=True) for x in start]
        self.optimizer = optimizer(self.weights, **options)

    def steps(self, gradients):
        """Go on, and return the arrays after every step."""
        found = []
        for gs in gradients:
            for w, g in zip(self.weights, gs, strict=True):
                w.grad = torch.tensor(g)
            self.optimizer.step()
            found.append(arrays_of(self.weights))
        return found


def all_gradients(steps, shapes=SHAPES):
    columns = [gradient_sequence(shape, steps=steps) for shape in shapes]
    return [list(map(np.asarray, row)) for row in zip(*columns, strict=True)]


def start_of(shapes=SHAPES):
    rng = np.random.default_rng(1)
    return [rng.normal(size=shape) for shape in shapes]


def check_close(ours, theirs):
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_over_and_back(name, x64, doubles):
    """Four steps in torch, three here, and then torch again: all are as if torch ran alone."""
    optimizer, options, tx = CASES[name]
    gradients = all_gradients(10)
    run = Run(optimizer, options, start_of())
    params = here(run.steps(gradients[:4])[-1])
    counts = 4 if "average" in name else "saved"  # torch's SGD counts no steps
    state, report = from_torch(tx, params, run.optimizer.state_dict(), counts=counts, **CARRIED)
    assert report.hints == ()
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))
    expected = run.steps(gradients[4:])
    for gs, theirs in zip(gradients[4:7], expected, strict=False):
        params, state = tx.step(here(gs), state, params)
        check_close(params, here(theirs))
    # Back into an optimizer that has done nothing yet.
    again = Run(optimizer, options, expected[2])
    steps = 7 if not any(x.ndim == 0 for x in jax.tree.leaves(state)) else None
    there, report = to_torch(
        tx, state, params, again.optimizer.state_dict(), tensor=torch.tensor, steps=steps, **CARRIED
    )
    assert not report.missing
    assert not report.extra
    again.optimizer.load_state_dict(there)
    check_close(again.steps(gradients[7:]), expected[3:])


def test_adafactor_with_factored_matrices(x64, doubles):
    """torch factors the last two axes, here the two longest: the same for matrices, also lying."""
    shapes = [(4, 3), (4,), (3, 3)]
    tx = gx.adafactor(None, 2)
    options = {"lr": 0.01, "eps": (1e-15, 1e-3)}
    gradients = all_gradients(10, shapes)
    run = Run(torch.optim.Adafactor, options, start_of(shapes))
    names = {"names": ["a", "b", "c"], "transpose": "a|c"}

    def tree(arrays):
        a, b, c = map(jnp.asarray, arrays)
        return {"a": a.T, "b": b, "c": c.T}

    params = tree(run.steps(gradients[:4])[-1])
    state, report = from_torch(tx, params, run.optimizer.state_dict(), **names)
    assert report.hints == ()
    expected = run.steps(gradients[4:])
    for gs, theirs in zip(gradients[4:7], expected, strict=False):
        params, state = tx.step(tree(gs), state, params)
        check_close(params, tree(theirs))
    again = Run(torch.optim.Adafactor, options, expected[2])
    there, _ = to_torch(
        tx, state, params, again.optimizer.state_dict(), tensor=torch.tensor, **names
    )
    again.optimizer.load_state_dict(there)
    check_close(again.steps(gradients[7:]), expected[3:])


def test_bfloat16_with_names_in_the_dict():
    """torch keeps moments of bfloat16 parameters in bfloat16, and NumPy knows no such tensors."""
    layer = torch.nn.Linear(4, 3, dtype=torch.bfloat16)
    optimizer = torch.optim.AdamW(layer.named_parameters(), lr=1e-3)
    layer(torch.ones(4, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    params = {"weight": jnp.ones((4, 3), "bfloat16"), "bias": jnp.ones(3, "bfloat16")}
    tx = gx.adamw(1e-3, weight_decay=0.01)
    kept = optimizer.state_dict()
    state, report = from_torch(tx, params, kept, transpose="weight")
    assert report.hints == ()
    assert state[0].mu["weight"].dtype == "float32"
    there, _ = to_torch(tx, state, params, kept, tensor=torch.from_numpy, transpose="weight")
    optimizer.load_state_dict(there)
    for index, before in kept["state"].items():
        for key, x in optimizer.state_dict()["state"][index].items():
            assert x.dtype == before[key].dtype
            assert torch.equal(x, before[key])
    optimizer.step()
