"""Single decays against their formulas, written in Python."""

import math

import numpy as np
import pytest

import gradtx as gx

STEPS = range(0, 130, 3)


def check(schedule, formula):
    np.testing.assert_allclose(
        [schedule(k) for k in STEPS], [formula(k) for k in STEPS], rtol=1e-13, atol=1e-16
    )


def test_linear_is_the_lectures_decay_until_tau():
    """lr_k = (1 - a) lr_0 + a lr_tau with a = k / tau, and lr_tau from then on."""
    lr_0, lr_tau, tau = 0.1, 0.001, 77

    def lecture(k):
        a = k / tau
        return (1 - a) * lr_0 + a * lr_tau if k < tau else lr_tau

    check(gx.linear_schedule(lr_0, lr_tau, tau), lecture)


def test_inverse_sqrt_is_the_lectures_global_decay():
    """lr / sqrt(t / N) with t = 1, 2, ...: it starts sqrt(N) high."""
    lr, N = 0.01, 16
    schedule = gx.inverse_sqrt_schedule(lr, N)
    check(schedule, lambda k: lr / math.sqrt((k + 1) / N))
    assert schedule(0) == lr * math.sqrt(N)
    assert schedule(N - 1) == lr


def test_inverse_sqrt_from_its_value():
    check(gx.inverse_sqrt_schedule(0.1, 50, 50), lambda k: 0.1 / math.sqrt(1 + k / 50))


def test_the_lectures_three_cases():
    check(gx.constant_schedule(1.0), lambda k: 1.0)
    check(gx.inverse_time_schedule(1.0), lambda k: 1 / (k + 1))
    check(gx.exponential_decay(1.0, 1, math.exp(-1)), lambda k: math.exp(-k))


def test_inverse_time():
    check(gx.inverse_time_schedule(0.3, 20), lambda k: 0.3 / (1 + k / 20))


def test_polynomial():
    check(
        gx.polynomial_schedule(0.3, 0.1, 2.5, 60, 10),
        lambda k: 0.1 + 0.2 * (1 - min(max(k - 10, 0), 60) / 60) ** 2.5,
    )


def test_cosine():
    check(
        gx.cosine_decay_schedule(0.3, 60, 0.2, 1.5),
        lambda k: 0.3 * (0.8 * ((1 + math.cos(math.pi * min(k, 60) / 60)) / 2) ** 1.5 + 0.2),
    )


@pytest.mark.parametrize("staircase", [False, True])
def test_exponential(staircase):
    def formula(k):
        p = max(k - 4, 0) / 7
        return max(0.02, 0.3 * 0.8 ** (math.floor(p) if staircase else p))

    check(gx.exponential_decay(0.3, 7, 0.8, 4, staircase, 0.02), formula)
