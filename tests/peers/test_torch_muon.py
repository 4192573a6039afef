"""A run of torch's Muon goes on in gradtx and back, alone and with AdamW for the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import gradtx as gx
from gradtx.state import Split, from_torch, to_torch

SHAPES = {"qkv.weight": (12, 6), "qkv.bias": (12,), "fc.weight": (8, 4), "fc.bias": (8,)}
QKV = ("attn/q", "attn/k", "attn/v")
CARRIED = {
    "paths": {
        "qkv.weight": Split([f"{path}/kernel" for path in QKV]),
        "qkv.bias": Split([f"{path}/bias" for path in QKV]),
        "fc.weight": "fc/kernel",
    },
    # Those of q, k and v are [inputs, heads, features of a head], as in Flax.
    "transpose": {"fc/kernel": None, "attn/*/kernel": (1, 0, 0), "attn/*/bias": (0, 0)},
}


@pytest.fixture
def unrounded(x64, monkeypatch):
    """Let torch's Muon compute in float64 where it has bfloat16."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    yield
    torch.set_default_dtype(before)


def here(arrays):
    """Return torch's arrays as the tree of parameters here."""
    kernels = np.split(arrays["qkv.weight"].T, 3, axis=1)
    biases = np.split(arrays["qkv.bias"], 3)
    attn = {
        path[-1]: {"kernel": w.reshape(6, 2, 2), "bias": b.reshape(2, 2)}
        for path, w, b in zip(QKV, kernels, biases, strict=True)
    }
    fc = {"kernel": arrays["fc.weight"].T, "bias": arrays["fc.bias"]}
    return jax.tree.map(jnp.asarray, {"attn": attn, "fc": fc})


class Run:
    """The model's arrays under Muon for some and AdamW for the others."""

    def __init__(self, start, matrices, muon, adamw=None):
        self.weights = {n: torch.tensor(x, requires_grad=True) for n, x in start.items()}
        rest = [n for n in start if n not in matrices]
        self.optimizers = [torch.optim.Muon(self.pairs(matrices), **muon)]
        if rest:
            self.optimizers.append(torch.optim.AdamW(self.pairs(rest), **(adamw or {})))

    def pairs(self, names):
        return [(name, self.weights[name]) for name in names]

    def steps(self, gradients):
        """Go on, and return the arrays after every step."""
        found = []
        for gs in gradients:
            for name, w in self.weights.items():
                w.grad = torch.tensor(gs[name])
            for optimizer in self.optimizers:
                optimizer.step()
            found.append({n: w.detach().numpy().copy() for n, w in self.weights.items()})
        return found

    def dicts(self):
        return [optimizer.state_dict() for optimizer in self.optimizers]


def drawn(steps, names=tuple(SHAPES), dtype=float):
    rng = np.random.default_rng(0)
    return [{n: rng.normal(size=SHAPES[n]).astype(dtype) for n in names} for _ in range(steps)]


def check_close(ours, theirs, tolerance=1e-8):
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance)


# What torch's Muon is told, what is here, and the steps before: with Nesterov's momentum the mean
# is corrected for its start here, so that they meet once momentum^steps is nothing.
CASES = {
    "nesterov": ({"momentum": 0.5}, {"beta": 0.5}, 40),
    "heavy ball, at any step": ({"nesterov": False}, {"nesterov": False}, 3),
    "as Adam's size": (
        {"momentum": 0.5, "adjust_lr_fn": "match_rms_adamw"},
        {"beta": 0.5, "consistent_rms": 0.2},
        40,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_ten_steps_and_back(case, unrounded):
    theirs, ours, steps = CASES[case]
    names = ["fc.weight"]
    start, *gradients = drawn(steps + 15, names)
    run = Run(start, names, {"lr": 0.02, "weight_decay": 0.1} | theirs)
    params = {"w": jnp.asarray(run.steps(gradients[:steps])[-1]["fc.weight"].T)}
    tx = gx.muon(0.02, weight_decay=0.1, eps=1e-12, **ours)
    carried = {"paths": {"fc.weight": "w"}, "transpose": "w"}
    (kept,) = run.dicts()
    state, report = from_torch(tx, params, kept, counts=steps, **carried)
    assert report.hints == ()
    expected = [x["fc.weight"].T for x in run.steps(gradients[steps:])]
    for gs, x in zip(gradients[steps:], expected[:10], strict=False):
        params, state = tx.step({"w": jnp.asarray(gs["fc.weight"].T)}, state, params)
        check_close(params["w"], x)
    again = Run({"fc.weight": expected[9].T}, names, {"lr": 0.02, "weight_decay": 0.1} | theirs)
    there, report = to_torch(tx, state, params, *again.dicts(), tensor=torch.tensor, **carried)
    assert report.hints == ()
    again.optimizers[0].load_state_dict(there)
    ended = again.steps(gradients[steps + 10 :])
    check_close([x["fc.weight"].T for x in ended], expected[10:])


def test_with_adamw_and_fused_attention(unrounded):
    """Two optimizers share the parameters; q, k and v are one tensor in torch."""
    start, *gradients = drawn(55)
    options = {"lr": 0.02, "momentum": 0.5}, {"lr": 0.003}
    run = Run(start, ["fc.weight"], *options)
    params = here(run.steps(gradients[:40])[-1])
    matrices = {"attn": None, "fc": {"kernel": gx.MuonDimensionNumbers(), "bias": None}}
    tx = gx.muon(
        0.02,
        beta=0.5,
        weight_decay=0.1,
        adam_learning_rate=0.003,
        adam_weight_decay=0.01,
        muon_weight_dimension_numbers=matrices,
    )
    state, report = from_torch(tx, params, run.dicts(), **CARRIED)
    assert report.hints == ()
    assert int(state["muon"][0].count) == 40  # which AdamW says
    expected = run.steps(gradients[40:])
    for gs, theirs in zip(gradients[40:50], expected, strict=False):
        params, state = tx.step(here(gs), state, params)
        check_close(params, here(theirs))
    again = Run(expected[9], ["fc.weight"], *options)
    there, report = to_torch(tx, state, params, again.dicts(), tensor=torch.tensor, **CARRIED)
    assert not report.missing
    assert not report.extra
    for optimizer, kept in zip(again.optimizers, there, strict=True):
        optimizer.load_state_dict(kept)
    check_close([here(x) for x in again.steps(gradients[50:])], [here(x) for x in expected[10:]])


def test_as_torch_computes_it():
    """In float32, and bfloat16 in torch: after ten steps they are a percent of the way apart."""
    names = ["fc.weight"]
    start, *gradients = drawn(130, names, np.float32)
    run = Run(start, names, {"lr": 0.02, "weight_decay": 0.0})
    began = run.steps(gradients[:119])[-1]["fc.weight"].T
    params, tx = {"w": jnp.asarray(began)}, gx.muon(0.02)
    carried = {"paths": {"fc.weight": "w"}, "transpose": "w", "counts": 119}
    state, report = from_torch(tx, params, *run.dicts(), **carried)
    (hint,) = report.hints
    assert "the newest gradient has 1.0001" in hint
    expected = run.steps(gradients[119:])[-1]["fc.weight"].T
    for gs in gradients[119:]:
        params, state = tx.step({"w": jnp.asarray(gs["fc.weight"].T)}, state, params)
    way = np.linalg.norm(expected - began)
    assert np.linalg.norm(params["w"] - expected) < 0.02 * way
