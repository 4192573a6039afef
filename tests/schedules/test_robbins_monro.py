"""Verdicts on schedules whose sums are known."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.schedules import robbins_monro_report

MAYBE = "inconclusive"
KNOWN = {
    # lecture's three cases
    "1": (gx.constant_schedule(1.0), "no", "yes", "no"),
    "1/t": (gx.inverse_time_schedule(1.0), "yes", "yes", "yes"),
    "exp(-t)": (gx.exponential_decay(1.0, 1, math.exp(-1)), "yes", "no", "yes"),
    # powers, critical and not
    "1/sqrt(t)": (gx.inverse_sqrt_schedule(1.0), "yes", "yes", "no"),
    "t^-0.3": (lambda k: (k + 1.0) ** -0.3, "yes", "yes", "no"),
    "t^-0.6": (lambda k: (k + 1.0) ** -0.6, "yes", "yes", "yes"),
    "t^-1.2": (lambda k: (k + 1.0) ** -1.2, "yes", "no", "yes"),
    # logarithms: too slow for any horizon, except where they do not matter
    "1/(t log t)": (lambda k: 1 / ((k + 2) * np.log(k + 2)), "yes", MAYBE, "yes"),
    "1/(t log^2 t)": (lambda k: 1 / ((k + 2) * np.log(k + 2) ** 2), "yes", MAYBE, "yes"),
    "log(t)/t": (lambda k: np.log(k + 2) / (k + 2), "yes", "yes", "yes"),
    "1/log(t)": (lambda k: 1 / math.log(k + 2), MAYBE, "yes", "no"),
    # what people train with
    "cosine to 0": (gx.cosine_decay_schedule(0.1, 10**5), "yes", "no", "yes"),
    "linear, then constant": (gx.linear_schedule(0.1, 1e-3, 10**5), "no", "yes", "no"),
    "restarts": (gx.cosine_restarts_schedule(0.1, 1000), "no", "yes", "no"),
    "warm-up and 1/t": (gx.warmup(gx.inverse_time_schedule(0.1), 1000), "yes", "yes", "yes"),
    "tiny": (gx.constant_schedule(1e-200), "no", "yes", "no"),
    "zero": (gx.constant_schedule(0.0), "yes", "no", "yes"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_verdicts(name):
    schedule, *expected = KNOWN[name]
    report = robbins_monro_report(schedule)
    assert [report.goes_to_zero, report.sum_diverges, report.squares_converge] == expected


def test_partial_sums():
    report = robbins_monro_report(gx.inverse_time_schedule(1.0))
    assert [t for t, *_ in report.rows] == [10**k for k in range(1, 10)]
    for t, lr, total, squares in report.rows:
        assert lr == 1 / t
        assert total == pytest.approx(math.log(t) + np.euler_gamma + 0.5 / t, rel=1e-3)
        assert squares == pytest.approx(math.pi**2 / 6 - 1 / (t + 0.5), rel=1e-3)
    assert report.rows[1][2] == pytest.approx(sum(1 / t for t in range(1, 101)), rel=1e-14)
    assert report.tail_exponent == pytest.approx(1.0, abs=1e-9)


def test_far_horizon():
    slow = gx.inverse_time_schedule(1.0, 1e4)
    assert robbins_monro_report(slow).sum_diverges == MAYBE
    assert robbins_monro_report(slow, 10**15).sum_diverges == "yes"


def test_functions_of_one_step():
    """A branch on the step cannot take an array, and JAX returns float32."""
    report = robbins_monro_report(lambda k: 1.0 if k < 10 else 1 / k, 10**5)
    assert report.sum_diverges == "yes"
    report = robbins_monro_report(lambda k: 1 / jnp.sqrt(jnp.float32(k + 1)), 10**4)
    assert report.squares_converge in ("no", MAYBE)


def test_table():
    text = str(robbins_monro_report(gx.inverse_time_schedule(1.0), 10**4))
    assert text.splitlines() == [
        "       t         lr_t       sum lr     sum lr^2",
        "   1e+01          0.1        2.929         1.55",
        "   1e+02         0.01        5.187        1.635",
        "   1e+03        0.001        7.485        1.644",
        "   1e+04       0.0001        9.788        1.645",
        "lr_t -> 0        yes",
        "sum lr = inf     inconclusive",
        "sum lr^2 < inf   yes",
        "tail exponent    1.000",
    ]


def test_errors():
    with pytest.raises(ValueError, match="`horizon` must be in"):
        robbins_monro_report(gx.constant_schedule(1.0), 10)
    with pytest.raises(ValueError, match="must be finite, but is inf at step"):
        robbins_monro_report(gx.exponential_decay(1.0, 1, 2.0))
