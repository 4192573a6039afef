"""The learning-rate schedules, all with the same peak and length."""

from collections.abc import Callable
from typing import Any

import gradtx as gx

STEPS = 1000
PEAK = 0.1
WARMUP = STEPS // 10


def all_schedules() -> dict[str, Callable[[Any], Any]]:
    """From the name shown to the schedule."""
    inverse_root = gx.inverse_sqrt_schedule(PEAK, timescale=WARMUP, offset=WARMUP)
    return {
        "constant": gx.constant_schedule(PEAK),
        "linear until τ, then constant": gx.linear_schedule(PEAK, PEAK / 100, 8 * STEPS // 10),
        "piecewise constant": gx.piecewise_constant_schedule(PEAK, {400: 0.3, 700: 0.3}),
        "exponential": gx.exponential_decay(PEAK, STEPS // 4, 0.4),
        "polynomial, power 2": gx.polynomial_schedule(PEAK, PEAK / 100, 2.0, STEPS),
        "inverse time": gx.inverse_time_schedule(PEAK, timescale=50.0),
        "inverse root after warm-up": gx.warmup(inverse_root, WARMUP),
        "cosine": gx.cosine_decay_schedule(PEAK, STEPS),
        "cosine after warm-up": gx.warmup_cosine_decay_schedule(0.0, PEAK, WARMUP, STEPS),
        "cosine with restarts": gx.cosine_restarts_schedule(PEAK, STEPS // 7 + 1, cycle_growth=2),
        "one cycle": gx.cosine_onecycle_schedule(STEPS, PEAK),
        "warm-up, stable, decay": gx.warmup_stable_decay_schedule(
            0.0, PEAK, WARMUP, 7 * STEPS // 10, 2 * STEPS // 10
        ),
    }
