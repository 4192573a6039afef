"""The learning-rate schedules, all with the same peak and length."""

import jax.numpy as jnp

import gradtx as gx

STEPS = 1000
PEAK = 0.1


def all_schedules() -> dict:
    """From the name shown to the schedule."""
    decay = STEPS - STEPS // 10
    return {
        "constant": gx.constant_schedule(PEAK),
        "linear until τ, then constant": gx.linear_schedule(PEAK, PEAK / 100, int(0.8 * STEPS)),
        "piecewise constant": gx.piecewise_constant_schedule(PEAK, {400: 0.3, 700: 0.3}),
        "exponential": gx.exponential_decay(PEAK, STEPS // 4, 0.4),
        "polynomial, power 2": gx.polynomial_schedule(PEAK, PEAK / 100, 2.0, STEPS),
        "inverse time, 1 / (1 + t / 50)": lambda step: PEAK / (1.0 + step / 50.0),
        "inverse root after warm-up": lambda step: PEAK * _inverse_root(step, STEPS // 10),
        "cosine": gx.cosine_decay_schedule(PEAK, STEPS),
        "warm-up and cosine": gx.warmup_cosine_decay_schedule(0.0, PEAK, STEPS // 10, STEPS),
        "warm restarts": gx.sgdr_schedule(
            [
                {
                    "init_value": 0.0, "peak_value": PEAK,
                    "warmup_steps": 10, "decay_steps": length, "end_value": 0.0,
                }
                for length in (140, 290, 570)
            ]
        ),
        "one cycle": gx.cosine_onecycle_schedule(STEPS, PEAK),
        "warm-up, stable, decay": gx.join_schedules(
            [
                gx.linear_schedule(0.0, PEAK, STEPS // 10),
                gx.constant_schedule(PEAK),
                gx.linear_schedule(PEAK, 0.0, STEPS // 5),
            ],
            [STEPS // 10, decay - STEPS // 10],
        ),
    }


def _inverse_root(step, warmup):
    return jnp.minimum((step + 1.0) / warmup, jnp.sqrt(warmup / (step + 1.0)))
