"""A run of Optax goes on in gradtx, and one of gradtx in Optax: every line that has a twin."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import gradtx as gx
from gradtx.state import from_optax, to_optax
from tests.cases import CASES, rate
from tests.optax_deviations import NUMBERS
from tests.peers.test_optax_updates import COMPARED, ROUNDED, ROUNDED_LINES, tree
from tests.peers.twins import built_by_optax

STEPS, MORE = 3, 2
# Lines with a count that Optax has not, and no other that says where it is.
COUNTED = {"fromage"}
LINES = [line for line in COMPARED if line not in NUMBERS and line.split(" / ")[0] not in NUMBERS]


def loss(params):
    return sum(jnp.sum(jnp.cosh(p)) for p in jax.tree.leaves(params))


MECHANIC = {"eps": 1e-30, "s_init": 1e-2}  # Optax divides by sum(s) + eps
# What is Optax's only with other arguments than its line has: ours, Optax's, extra arguments.
WITH_ARGUMENTS = {
    "amsgrad": (
        gx.amsgrad(0.1),
        optax.amsgrad(0.1, **dict.fromkeys(("bias_correction_mu", "bias_correction_nu"), False)),
        {},
    ),
    "yogi": (gx.yogi(0.1, bias_correction=True), optax.yogi(0.1), {}),
    "galore": (
        gx.galore(0.1, rank=1, project="larger"),
        optax.contrib.galore(0.1, rank=1),
        {},
    ),
    "mechanize": (
        gx.mechanize(gx.adam(1.0), **MECHANIC, clip_reward=True),
        optax.contrib.mechanize(optax.adam(1.0), **MECHANIC),
        {},
    ),
    "momo_adam": (
        gx.momo_adam(0.1),
        optax.contrib.momo_adam(0.1),
        {"value": jnp.asarray(3.0)},
    ),
    "muon": (
        gx.muon(0.1, adam_nesterov=True),
        optax.contrib.muon(0.1),
        {},
    ),
    "adafactor": (gx.adafactor(0.1, 2), optax.adafactor(0.1, 2), {}),
    "schedule_free_adamw": (
        gx.schedule_free_adamw(0.1),
        optax.contrib.schedule_free_adamw(0.1),
        {},
    ),
    "nested otherwise": (
        gx.chain(gx.clip(1.0), gx.chain(gx.trace(0.9), gx.sgd(0.1))),
        optax.chain(optax.chain(optax.clip(1.0), optax.trace(0.9)), optax.scale(-0.1)),
        {},
    ),
    "a wrapper of gradtx around": (
        gx.with_ema(gx.adamw(rate), 0.9),
        optax.adamw(rate),
        {},
    ),
}


# Optax rounds to float32, or divides a difference of parameters.
ROUNDED_MORE = {"adafactor": 1e-6, "mechanize": 1e-8}


def steps(tx, params, state, extras, rng, number):
    """Return parameters, state and the updates after so many steps of random gradients."""
    found = []
    for _ in range(number):
        given = extras(params) if callable(extras) else extras
        u, state = tx.update(tree(rng), state, params, **given)
        params = jax.tree.map(lambda p, u: p + u, params, u)
        found.append(u)
    return params, state, found


def check_close(ours, theirs, tolerance):
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.max(np.abs(x - y) / (np.abs(y) + 1e-3), initial=0) < tolerance


def check_over_and_back(tx, twin, extras, tolerance, counts="saved", **allowed):
    """Some steps in Optax, some here, and some in Optax again: all are as if Optax ran alone."""
    rng = np.random.default_rng(0)
    with jax.numpy_dtype_promotion("standard"):
        start = tree(rng)
        before, moved, _ = steps(twin, start, twin.init(start), extras, rng, STEPS)
        seen = rng.bit_generator.state
        params, state, expected = steps(twin, before, moved, extras, rng, MORE)
        rest = steps(twin, params, state, extras, rng, 1)[2]
    rng.bit_generator.state = seen
    ours, report = from_optax(tx, before, moved, counts=counts, **allowed)
    assert jax.tree.structure(ours) == jax.tree.structure(tx.init(before))
    assert report.extra == ()
    after, ours, found = steps(tx, before, ours, extras, rng, MORE)
    check_close(found, expected, tolerance)
    with jax.numpy_dtype_promotion("standard"):
        back, report = to_optax(tx, ours, moved, after, extra="drop")
        assert jax.tree.structure(back) == jax.tree.structure(moved)
        check_close(steps(twin, after, back, extras, rng, 1)[2], rest, tolerance)
    return report


@pytest.mark.parametrize("line", LINES)
def test_a_run_goes_over_and_back(line, x64):
    rounded = line.split(" / ")[0] in ROUNDED or line in ROUNDED_LINES
    extras, tx = CASES[line].options.get("extras", {}), CASES[line].make()
    with jax.numpy_dtype_promotion("standard"):
        twin = built_by_optax(tx)
    counts = STEPS if line in COUNTED else "saved"
    report = check_over_and_back(tx, twin, extras, 1e-6 if rounded else 1e-10, counts)
    assert report.extra == () or line in COUNTED


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_a_run_goes_over_and_back_with_the_arguments_for_it(name, x64):
    tx, twin, extras = WITH_ARGUMENTS[name]
    allowed = {"missing": "init"} if "around" in name else {}
    check_over_and_back(tx, twin, extras, ROUNDED_MORE.get(name, 1e-10), **allowed)


def test_float32_and_narrow_parameters():
    """Optax keeps the moments of bfloat16 parameters in bfloat16."""
    tx, twin = gx.adamw(0.1), optax.adamw(0.1)
    for dtype, tolerance in (("float32", 1e-4), ("bfloat16", 0.05)):
        params = {"w": jnp.linspace(-1, 1, 8, dtype=dtype)}
        state = twin.init(params)
        with jax.numpy_dtype_promotion("standard"):
            _, state = twin.update(params, state, params)
            expected, _ = twin.update(params, state, params)
        ours, report = from_optax(tx, params, state)
        assert ours[0].mu["w"].dtype == "float32"
        assert bool(report.cast) == (dtype == "bfloat16")
        u, ours = tx.update(params, ours, params)
        ours_and_theirs = [np.asarray(x["w"], "float32") for x in (u, expected)]
        np.testing.assert_allclose(*ours_and_theirs, rtol=tolerance)
        back, _ = to_optax(tx, ours, state)
        assert back[0].mu["w"].dtype == dtype


def test_the_average_of_schedule_free_for_narrow_parameters():
    """Optax has y alone, from which x comes."""
    params = {"w": jnp.linspace(-1, 1, 8, dtype="bfloat16")}
    tx = gx.schedule_free_sgd(0.1)
    twin = optax.contrib.schedule_free_sgd(0.1, state_dtype="float32")
    state = twin.init(params)
    with jax.numpy_dtype_promotion("standard"), warnings.catch_warnings():
        for _ in range(3):
            u, state = twin.update(params, state, params)
            params = optax.apply_updates(params, u)
        expected = optax.contrib.schedule_free_eval_params(state, params)
    ours, _ = from_optax(tx, params, state)
    assert ours.x["w"].dtype == "float32"
    np.testing.assert_allclose(
        *(np.asarray(x["w"], "float32") for x in (tx.eval_params(ours, params), expected)),
        rtol=1e-2,
    )
    back, _ = to_optax(tx, ours, state, params)
    np.testing.assert_array_equal(back.z["w"], state.z["w"])
