"""AdEMAMix, ADOPT, ACProp, MADGRAD and optimistic Adam against Optax, in float64."""

import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import gradtx
from gradtx.testing import gradient_sequence, run_steps

RATE = {"learning_rate": 0.03}
BETAS = {"b1": 0.8, "b2": 0.95}
MASK = {"w": True, "b": False}


def falling(count):
    return 0.1 / (1 + jnp.asarray(count).astype(float))


def growing(count):
    return 1 - 0.2 / (1 + jnp.asarray(count).astype(float))


# Name, and arguments under which both mean the same.
CASES = [
    ("ademamix", {**RATE, **BETAS, "b3": 0.97, "eps": 1e-3, "eps_root": 1e-4}),
    ("ademamix", {"learning_rate": falling, "weight_decay": 0.1, "mask": MASK}),
    ("ademamix", {**RATE, "b3": growing, "alpha": falling, "eps": 1e-2}),
    ("scale_by_ademamix", {}),
    ("simplified_ademamix", {**RATE, **BETAS, "alpha": 3.0, "eps": 1e-3, "eps_root": 1e-4}),
    ("simplified_ademamix", {**RATE, "alpha": falling, "weight_decay": 0.1, "mask": MASK}),
    ("scale_by_simplified_ademamix", {}),
    ("adopt", {**RATE, **BETAS, "eps": 1e-3}),
    ("adopt", {"learning_rate": falling, "nesterov": True}),
    ("adopt", {**RATE, "eps": 1e-2, "use_clipping": False}),
    ("adopt", {**RATE, "clip_value_fn": growing}),
    ("scale_by_adopt", {}),
    ("madgrad", {**RATE, "momentum": 0.7, "weight_decay": 0.1, "eps": 1e-3}),
    ("madgrad", {"learning_rate": falling}),
    ("scale_by_madgrad", {**RATE}),
    ("optimistic_adam", {**RATE, **BETAS, "eps": 1e-3, "eps_root": 1e-4}),
    ("optimistic_adam", {**RATE, "optimism": 0.2, "nesterov": False}),
    ("nadam", {**RATE, **BETAS, "nesterov": False}),
    ("nadamw", {**RATE, **BETAS, "nesterov": False, "weight_decay": 0.1, "mask": MASK}),
    ("sgd", {"learning_rate": falling}),
    ("rmsprop", {**RATE, "decay": 0.8}),
]


def theirs_by_name(name):
    """Return Optax's constructor of a name."""
    return getattr(optax, name, None) or getattr(optax.contrib, name)


def theirs(name, arguments):
    """Return Optax's transformation, which may say that it is deprecated."""
    constructor = theirs_by_name(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return constructor(**arguments)


def assert_same_trajectories(ours, other, close=1e-10):
    """Run both on the same gradients and compare the parameters after every step."""
    ws, bs = gradient_sequence((3, 4)), gradient_sequence((5,), seed=1)
    gradients = [{"w": jnp.asarray(w), "b": jnp.asarray(b)} for w, b in zip(ws, bs, strict=True)]
    start = {"w": jnp.linspace(-1, 1, 12).reshape(3, 4), "b": jnp.linspace(0.5, 1, 5)}
    with jax.numpy_dtype_promotion("standard"):
        expected = run_steps(other, start, gradients)
    for got, want in zip(run_steps(ours, start, gradients), expected, strict=True):
        for key in start:
            np.testing.assert_allclose(got[key], want[key], rtol=close, atol=close)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_trajectory_is_optaxs(name, arguments, x64):
    close = 1e-7 if "madgrad" in name else 1e-10  # Optax takes the root of the count in float32
    assert_same_trajectories(getattr(gradtx, name)(**arguments), theirs(name, arguments), close)


# Where the random hyperparameters of each come from.
RANGES = {
    "learning_rate": (1e-3, 0.1),
    "optimism": (1e-3, 0.1),
    "b1": (0.5, 0.99),
    "b2": (0.8, 0.999),
    "b3": (0.9, 0.9999),
    "alpha": (0.0, 8.0),
    "eps": (1e-6, 1e-2),
    "eps_root": (0.0, 1e-3),
    "weight_decay": (0.0, 0.3),
    "momentum": (0.1, 0.95),
}


def random_tree(rng):
    """Return a tree of float64 arrays of random shapes in containers of several kinds."""
    leaves = [rng.normal(size=rng.integers(0, 4, size=rng.integers(0, 4))) for _ in range(5)]
    a, b, c, d, e = map(jnp.asarray, leaves)
    return {"list": [a, (b,)], "nothing": None, "more": {"c": c, "d": [d, {"e": e}]}}


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_random_trees_and_hyperparameters(name, x64):
    rng = np.random.default_rng(len(name))
    names = inspect.signature(getattr(gradtx, name)).parameters
    known = inspect.signature(theirs_by_name(name)).parameters  # the decay is not always one
    arguments = {k: float(rng.uniform(*RANGES[k])) for k in names if k in RANGES and k in known}
    start = random_tree(rng)
    gradients = [jax.tree.map(lambda p: rng.normal(size=p.shape), start) for _ in range(8)]
    with jax.numpy_dtype_promotion("standard"):
        expected = run_steps(theirs(name, arguments), start, gradients)
    got = run_steps(getattr(gradtx, name)(**arguments), start, gradients)
    close = 1e-6 if "madgrad" in name else 1e-10  # as above
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, close, close), got, expected)


def test_acprop_is_optaxs_but_for_the_mean_it_centers_on(x64):
    """g - m_t of the paper is b1 (g - m_(t-1)) of Optax, so adaptive steps there are b1 times."""
    b1 = 0.8
    ours = gradtx.scale_by_acprop(b1, 0.95, eps=0.0, eps_root=b1**2 * 1e-4)
    other = theirs("scale_by_acprop", {"b1": b1, "b2": 0.95, "eps": 0.0, "eps_root": 1e-4})
    first = True
    state, peer = ours.init({"w": jnp.zeros((3, 4))}), other.init({"w": jnp.zeros((3, 4))})
    for g in gradient_sequence((3, 4), steps=50):
        u, state = ours.update({"w": jnp.asarray(g)}, state)
        with jax.numpy_dtype_promotion("standard"):
            v, peer = other.update({"w": jnp.asarray(g)}, peer)
        np.testing.assert_allclose(b1 ** (not first) * u["w"], v["w"], rtol=1e-10)
        first = False


def test_acprop_is_the_chain_that_optax_makes(x64):
    arguments = {**RATE, **BETAS, "eps": 1e-3, "eps_root": 1e-4, "weight_decay": 0.1, "mask": MASK}
    inner = {k: v for k, v in arguments.items() if k in ("b1", "b2", "eps", "eps_root")}
    other = optax.chain(
        gradtx.scale_by_acprop(**inner),
        optax.add_decayed_weights(0.1, MASK),
        optax.scale_by_learning_rate(0.03),
    )
    assert_same_trajectories(gradtx.acprop(**arguments), other)
