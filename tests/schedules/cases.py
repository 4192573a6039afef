"""One or more settings of every schedule constructor, with what must stand at which step."""

import math

import gradtx as gx

# name: (schedule, {step: exact value}, last step at which something changes)
CASES = {
    "constant": (gx.constant_schedule(0.3), {0: 0.3, 10**12: 0.3}, 1),
    "linear": (gx.linear_schedule(0.1, 0.007, 49, 3), {0: 0.1, 3: 0.1, 52: 0.007}, 52),
    "linear_jump": (gx.linear_schedule(0.1, 0.007, 0, 5), {0: 0.1, 4: 0.1, 5: 0.007}, 5),
    "polynomial": (gx.polynomial_schedule(0.3, 0.01, 0.5, 77), {0: 0.3, 77: 0.01}, 77),
    "polynomial_up": (gx.polynomial_schedule(0.1, 0.9, 3.0, 77), {0: 0.1, 77: 0.9}, 77),
    "exponential": (gx.exponential_decay(0.3, 7, 0.9, 2), {0: 0.3, 2: 0.3}, 200),
    "staircase": (
        gx.exponential_decay(0.3, 33, 0.5, 0, True, 0.03),
        {0: 0.3, 32: 0.3, 33: 0.15, 66: 0.075, 300: 0.03},
        150,
    ),
    "growth": (gx.exponential_decay(0.1, 10, 2.0, end_value=0.8), {0: 0.1, 99: 0.8}, 40),
    "cosine": (gx.cosine_decay_schedule(0.3, 49, 0.1), {0: 0.3, 49: 0.3 * 0.1}, 49),
    "cosine_power": (gx.cosine_decay_schedule(0.3, 50, 0.0, 1.7), {0: 0.3, 50: 0.0}, 50),
    "inverse_sqrt": (gx.inverse_sqrt_schedule(0.3, 16.0), {0: 0.3 * 4, 15: 0.3}, 300),
    "inverse_time": (gx.inverse_time_schedule(0.3), {0: 0.3, 1: 0.15}, 300),
    "piecewise": (
        gx.piecewise_constant_schedule(0.3, {10: 0.5, 4: 0.5}),
        {0: 0.3, 3: 0.3, 4: 0.15, 9: 0.15, 10: 0.075, 10**6: 0.075},
        10,
    ),
    "piecewise_none": (gx.piecewise_constant_schedule(0.3), {0: 0.3, 10**6: 0.3}, 1),
    "interpolated": (
        gx.piecewise_interpolate_schedule("linear", 0.3, {8: 0.5, 4: 2.0}),
        {0: 0.3, 4: 0.6, 8: 0.3, 10**6: 0.3},
        8,
    ),
    "interpolated_at_0": (
        gx.piecewise_interpolate_schedule("cosine", 0.4, {0: 0.5, 10: 0.5}),
        {0: 0.2, 10: 0.1},
        10,
    ),
    "join": (
        gx.join_schedules([0.3, gx.linear_schedule(0.3, 0.1, 10)], [5]),
        {0: 0.3, 5: 0.3, 15: 0.1},
        15,
    ),
    "warmup": (
        gx.warmup(gx.inverse_sqrt_schedule(0.3, 9.0, 9.0), 10, 0.01),
        {0: 0.01, 10: 0.3},
        200,
    ),
    "warmup_0": (gx.warmup(0.3, 0), {0: 0.3, 1: 0.3}, 1),
    "warmup_constant": (gx.warmup_constant_schedule(0.0, 0.3, 7), {0: 0.0, 7: 0.3}, 7),
    "warmup_cosine": (
        gx.warmup_cosine_decay_schedule(0.01, 0.3, 7, 50, 0.003),
        {0: 0.01, 7: 0.3, 50: 0.003, 10**6: 0.003},
        50,
    ),
    "warmup_exponential": (
        gx.warmup_exponential_decay_schedule(0.01, 0.3, 7, 10, 0.5, 3, end_value=0.1),
        {0: 0.01, 7: 0.3, 10: 0.3, 10**6: 0.1},
        60,
    ),
    **{
        f"wsd_{shape}": (
            gx.warmup_stable_decay_schedule(0.01, 0.3, 7, 20, 30, 0.003, shape),
            {0: 0.01, 7: 0.3, 27: 0.3, 57: 0.003, 10**6: 0.003},
            57,
        )
        for shape in ("linear", "cosine", "sqrt")
    },
    "onecycle": (
        gx.cosine_onecycle_schedule(100, 0.3),
        {0: 0.3 / 25, 30: 0.3, 100: 0.3 / 25 / 1e4},
        100,
    ),
    "linear_onecycle": (
        gx.linear_onecycle_schedule(100, 0.3),
        {0: 0.3 / 25, 30: 0.3, 85: 0.3 / 25, 100: 0.3 / 25 / 1e4},
        100,
    ),
    "sgdr": (
        gx.sgdr_schedule(
            [
                {"init_value": 0.0, "peak_value": 0.3, "warmup_steps": 2, "decay_steps": 10},
                {"init_value": 0.1, "peak_value": 0.2, "warmup_steps": 0, "decay_steps": 20},
            ]
        ),
        {0: 0.0, 2: 0.3, 10: 0.2, 30: 0.0},
        30,
    ),
    "restarts": (gx.cosine_restarts_schedule(0.3, 10, 0.01), {0: 0.3, 10: 0.3, 990: 0.3}, 40),
    "restarts_growing": (
        gx.cosine_restarts_schedule(0.4, 10, 0.0, 2, 0.5),
        {0: 0.4, 10: 0.2, 30: 0.1, 70: 0.05},
        200,
    ),
}

MONOTONE = {
    "linear": -1, "linear_jump": -1, "polynomial": -1, "polynomial_up": 1, "exponential": -1,
    "staircase": -1, "growth": 1, "cosine": -1, "cosine_power": -1, "inverse_sqrt": -1,
    "inverse_time": -1, "piecewise": -1, "warmup_constant": 1, "interpolated_at_0": -1, "join": -1,
}  # fmt: skip

LECTURE_EXPONENTIAL = gx.exponential_decay(1.0, 1, math.exp(-1))
