"""Parts and optimizers beyond the lectures against Optax, where the rules agree."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import gradtx
from gradtx.testing import gradient_sequence, run_steps

BETAS = {"b1": 0.8, "b2": 0.95}
RATE = {"learning_rate": 0.03}
MASK = {"w": True, "b": False}


def falling(count):
    return 0.1 / (1 + jnp.asarray(count).astype(float))


def as_it_is(step, exponent):
    return 1 - (step + 1.0) ** -exponent


# Name, and arguments under which both mean the same.
CASES = [
    ("adabelief", {**RATE, **BETAS, "eps": 1e-4, "eps_root": 1e-5}),
    ("adabelief", {"learning_rate": falling, "nesterov": True}),
    ("adafactor", {**RATE, "min_dim_size_to_factor": 2}),
    ("adafactor", {**RATE, "factored": False, "clipping_threshold": None}),
    ("adafactor", {"learning_rate": falling, "weight_decay_rate": 0.01, "weight_decay_mask": MASK}),
    ("adafactor", {**RATE, "momentum": 0.7, "multiply_by_parameter_scale": False}),
    ("adaptive_grad_clip", {"clipping": 0.1}),
    ("adaptive_grad_clip", {"clipping": 0.1, "eps": 0.5, "axis": 0}),
    # With b2 = 1 - b2 the paper's weight of the change is Optax's.
    ("adan", {**RATE, "b1": 0.9, "b2": 0.5, "b3": 0.95, "weight_decay": 0.1, "mask": MASK}),
    ("centralize", {}),
    ("clip", {"max_delta": 0.7}),
    ("clip_by_block_rms", {"threshold": 0.7}),
    ("clip_by_global_norm", {"max_norm": 0.7}),
    ("fromage", {**RATE}),
    ("fromage", {"learning_rate": falling, "min_norm": 0.5}),
    ("lamb", {**RATE, **BETAS, "eps": 1e-3, "weight_decay": 0.1, "mask": MASK}),
    ("lars", {**RATE, "weight_decay": 0.1, "trust_coefficient": 0.3, "eps": 1e-3}),
    ("lars", {**RATE, "weight_decay_mask": MASK, "trust_ratio_mask": MASK, "nesterov": True}),
    ("lion", {**RATE, **BETAS, "weight_decay": 0.1, "mask": MASK}),
    ("normalize_by_update_norm", {"scale_factor": 0.7, "eps": 0.1}),
    ("novograd", {**RATE, **BETAS, "eps": 1e-3, "eps_root": 1e-4, "weight_decay": 0.1}),
    ("optimistic_adam_v2", {**RATE, "alpha": 0.7, "beta": 1.9}),
    ("optimistic_gradient_descent", {**RATE, "alpha": 0.7, "beta": 1.9}),
    ("polyak_sgd", {"max_learning_rate": 0.3, "scaling": 0.7, "f_min": 0.1}),
    ("polyak_sgd", {"scaling": falling, "eps": 0.1, "variant": "sps+"}),
    ("radam", {**RATE, **BETAS, "eps": 1e-3, "eps_root": 1e-4}),
    ("radam", {"learning_rate": falling, "threshold": 8.0, "nesterov": True}),
    ("scale_by_factored_rms", {"decay_rate": 0.6, "min_dim_size_to_factor": 2}),
    ("scale_by_factored_rms", {"decay_rate_fn": as_it_is, "epsilon": 1e-3}),
    ("scale_by_lion", {**BETAS, "mode": "smooth", "smooth_beta": 0.7}),
    ("scale_by_lion", {**BETAS, "mode": "refined"}),
    ("scale_by_param_block_norm", {"min_scale": 0.1}),
    ("scale_by_param_block_rms", {"min_scale": 0.1}),
    ("scale_by_sm3", {"b1": 0.7, "b2": 0.9, "eps": 1e-3}),
    ("scale_by_trust_ratio", {"min_norm": 0.1, "trust_coefficient": 0.3, "eps": 0.2}),
    ("set_to_zero", {}),
    ("sign_sgd", {**RATE}),
    ("signum", {**RATE, "beta": 0.7}),
    ("sm3", {**RATE, "momentum": 0.7}),
    ("zero_nans", {}),
]
# Directions, not steps: added as they are they would drive the parameters apart.
SCALED = ("adaptive", "centralize", "clip", "normalize", "scale_by", "zero")


def rounds_to_float32(name):
    """Say whether Optax computes the decay in float32 whatever the parameters are."""
    return name in ("adafactor", "scale_by_factored_rms")


def theirs(name):
    return getattr(optax, name, None) or getattr(optax.contrib, name)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_trajectory_is_optaxs(name, arguments, x64):
    ws, bs = gradient_sequence((3, 4)), gradient_sequence((5,), seed=1)
    gradients = [{"w": jnp.asarray(w), "b": jnp.asarray(b)} for w, b in zip(ws, bs, strict=True)]
    start = {"w": jnp.linspace(-1, 1, 12).reshape(3, 4), "b": jnp.linspace(0.5, 1, 5)}
    extras = None
    if name == "polyak_sgd":
        extras = [{"value": 10 * np.cos(t)} for t in range(len(gradients))]
    close = 1e-6 if rounds_to_float32(name) else 1e-9
    last = -1e-4 if name.startswith(SCALED) else 1.0
    with jax.numpy_dtype_promotion("standard"):
        expected = run_steps(
            optax.chain(theirs(name)(**arguments), optax.scale(last)), start, gradients, extras
        )
    ours = gradtx.chain(getattr(gradtx, name)(**arguments), gradtx.scale(last))
    for got, want in zip(run_steps(ours, start, gradients, extras), expected, strict=True):
        for key in start:
            np.testing.assert_allclose(got[key], want[key], rtol=close, atol=close)


def test_zero_nans_finds_the_same_nans():
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    g = {"a": jnp.array([1.0, np.nan, np.inf]), "b": jnp.ones(2)}
    ours, found = gradtx.zero_nans().update(g, gradtx.zero_nans().init(params))
    expected, expected_found = optax.zero_nans().update(g, optax.zero_nans().init(params))
    jax.tree.map(np.testing.assert_array_equal, ours, expected)
    jax.tree.map(np.testing.assert_array_equal, found.found_nan, expected_found.found_nan)


def test_yogi_is_optaxs_but_for_the_start_of_the_mean(x64):
    """Optax's mean starts at 1e-6, so it moves a parameter that has no gradient."""
    zeros = {"w": jnp.zeros(2)}
    with jax.numpy_dtype_promotion("standard"):
        moved = optax.yogi(1.0).update(zeros, optax.yogi(1.0).init(zeros))[0]["w"]
    assert float(moved[0]) < 0
    ours, theirs = gradtx.yogi(0.1, eps=1e-3, bias_correction=True), optax.yogi(0.1, eps=1e-3)
    state, other = ours.init(zeros), theirs.init(zeros)
    other = (other[0]._replace(mu=zeros), *other[1:])
    for g in gradient_sequence((2,), steps=50):
        u, state = ours.update({"w": jnp.asarray(g)}, state)
        with jax.numpy_dtype_promotion("standard"):
            v, other = theirs.update({"w": jnp.asarray(g)}, other)
        np.testing.assert_allclose(u["w"], v["w"], rtol=1e-10)
