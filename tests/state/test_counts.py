"""What missing counts of steps start from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import at_step, export, restore

PARAMS = {"w": jnp.ones(2), "b": jnp.ones(2)}
RATE = gx.linear_schedule(1.0, 0.0, 100)


def trained(tx, *gradients):
    state = tx.init(PARAMS)
    for g in gradients:
        _, state = tx.update(jax.tree.map(lambda p, g=g: p * g, PARAMS), state, PARAMS)
    return export(tx, state)


def counted(tx, saved, **options):
    options = {"missing": "init", "counts": "saved"} | options
    return restore(tx, PARAMS, saved, **options)[1].counted


SKIPPING = {
    "guard": gx.guard,
    "loss_scaling": gx.loss_scaling,
    "apply_if_finite": lambda tx: gx.apply_if_finite(gx.with_ema(tx, 0.9), 3),
    "conditionally_mask": lambda tx: gx.conditionally_mask(tx, lambda n: n != 1),
    "accumulate": lambda tx: gx.accumulate(tx, 2),
}


@pytest.mark.parametrize("around", SKIPPING)
def test_schedule_goes_on_where_the_optimizer_is(around):
    """Not at what the wrapper around it has seen, the second of which was no step."""
    around = SKIPPING[around]
    saved = trained(around(gx.adam(0.1)), 1.0, jnp.nan, 1.0)
    steps = int(saved["scale_by_adam/count"])
    assert steps < 3
    assert counted(around(gx.adam(RATE)), saved) == {"scale_by_learning_rate/count": steps}


@pytest.mark.parametrize(
    ("tx", "name"),
    [
        (gx.accumulate(gx.adam(0.1), 4), "accumulate/count"),
        (gx.MultiSteps(gx.adam(0.1), 4), "MultiSteps/gradient_step"),
        (gx.tunable(gx.adam(0.1)), "tunable/count"),
        (gx.inject_hyperparams(gx.adam)(RATE), "inject_hyperparams/count"),
        (gx.with_rounding(gx.adam(0.1), "stochastic", 0), "with_rounding/count"),
    ],
)
def test_wrapper_that_is_added_goes_on_at_the_steps_inside(tx, name):
    assert counted(tx, trained(gx.adam(0.1), 1.0, 1.0))[name] == 2


def test_noise_that_is_added_goes_on():
    tx = gx.chain(gx.add_noise(0.1, 0.5, key=1), gx.adam(0.1))
    assert counted(tx, trained(gx.adam(0.1), 1.0, 1.0)) == {"add_noise/count": 2}


def test_average_that_is_added_starts_at_0():
    """Its count says how many parameters are in it."""
    tx = gx.with_ema(gx.adam(0.1), 0.9)
    assert counted(tx, trained(gx.adam(0.1), 1.0, 1.0)) == {}


NOISE = gx.add_noise(0.1, 0.5, key=1)


def test_where_counts_differ_the_same_wrapper_decides():
    """Outside of an accumulation there are more steps than inside."""
    inside, outside = gx.MultiSteps(gx.adam(0.1), 2), gx.MultiSteps(gx.adam(RATE), 2)
    saved = trained(gx.chain(NOISE, inside), 1.0, 1.0, 1.0)
    decayed = gx.add_decayed_weights(gx.constant_schedule(0.1))
    tx = gx.chain(NOISE, decayed, outside)
    assert counted(tx, saved) == {
        "add_decayed_weights/count": 3,
        "scale_by_learning_rate/count": 1,
    }
    assert counted(gx.tunable(gx.chain(NOISE, inside)), saved) == {"tunable/count": 1}


def test_of_groups_the_one_with_most_steps_counts_for_all():
    """One of them was started anew; a schedule inside goes by its own group."""

    def tx(rate):
        return gx.groups(("old", "w", gx.adam(0.1)), ("new", "b", gx.guard(gx.adam(rate))))

    state = tx(0.1).init(PARAMS)
    state = at_step(tx(0.1), at_step(tx(0.1), state, 9), 4, where="new/*")
    saved = export(tx(0.1), state)
    assert counted(tx(RATE), saved) == {"new/scale_by_learning_rate/count": 4}
    assert counted(gx.accumulate(tx(0.1), 2), saved) == {"accumulate/count": 9}
    assert counted(gx.chain(tx(0.1), gx.scale_by_schedule(RATE)), saved) == {
        "scale_by_schedule/count": 9
    }


def test_no_answer_raises():
    tx = gx.adam(RATE)
    state = at_step(tx, tx.init(PARAMS), 5, where="scale_by_adam/*")
    with pytest.raises(ValueError, match=r"the saved counts nearest to it differ: .*: 5.*: 0"):
        counted(gx.chain(tx, gx.scale_by_schedule(RATE)), export(tx, state))
    with pytest.raises(ValueError, match="a count of steps that was saved, but there is none"):
        counted(gx.sgd(RATE), {})
    tx = gx.guard(gx.sgd(0.1))
    with pytest.raises(ValueError, match="there is none"):
        counted(gx.guard(gx.sgd(RATE)), trained(tx, 1.0))


def test_a_number_is_for_all_that_are_missing():
    saved = trained(gx.adam(0.1), 1.0)
    assert counted(gx.adam(RATE), saved, counts=7) == {"scale_by_learning_rate/count": 7}


def test_hint_is_there_only_if_it_would_help():
    saved = trained(gx.adam(0.1), 1.0, 1.0)
    hint = 'counts="saved" starts scale_by_learning_rate/count at 2'
    _, report = restore(gx.adam(RATE), PARAMS, saved, missing="init")
    assert hint in str(report)
    averaged = gx.with_ema(gx.adam(0.1), 0.9)
    for tx, options in ((averaged, {}), (gx.adam(RATE), {"counts": "saved"})):
        _, report = restore(tx, PARAMS, saved, missing="init", **options)
        assert report.hints == ()
    other = dict(saved) | {"scale_by_learning_rate/count": np.int32(7)}
    tx = gx.chain(gx.adam(RATE), gx.scale_by_schedule(RATE))
    assert restore(tx, PARAMS, other, missing="init")[1].hints == ()
