"""Adafactor's second moment: a mean square kept as its row means and column means."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import abs2, average, divide, real_dtype_of, root, safe_increment
from .._core.reduce import array_mean, array_shape, array_sum
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, NonNegative, NonNegativeInt, PerParamReduced, Real


class FactoredState(NamedTuple):
    """Step count; row and column means of the mean square, or where not factored all of it."""

    count: Count
    v_row: PerParamReduced
    v_col: PerParamReduced
    v: PerParamReduced


def _rows_and_columns(shape: tuple[int, ...], h) -> tuple[int, int] | None:
    """The second largest and the largest axis, or None if they are too short to factor."""
    if not h.factored or len(shape) < 2:
        return None
    *_, rows, columns = sorted(range(len(shape)), key=lambda axis: shape[axis])
    return (rows, columns) if shape[rows] >= h.min_dim_size_to_factor else None


def _empty_moments(p, h):
    axes = _rows_and_columns(array_shape(p), h)
    # Sums of zeros have the sharding that the means of later steps will have.
    zeros = jnp.zeros_like(p, dtype=real_dtype_of(p.dtype))
    if axes is None:
        return {"v_row": None, "v_col": None, "v": zeros}
    rows, columns = axes
    v_row, v_col = (array_sum(zeros, axis=axis, keepdims=True) for axis in (columns, rows))
    return {"v_row": v_row, "v_col": v_col, "v": None}


def _next_decay(state, h, extra):
    dtype = h.decay_rate.dtype
    # An offset larger than the count would put t below 1 and the decay outside [0, 1).
    step = jnp.maximum(state.count.astype(dtype) - h.step_offset, 0)
    state = state._replace(count=safe_increment(state.count))
    if h.decay_rate_fn is not None:
        decay = jnp.asarray(h.decay_rate_fn(step, h.decay_rate)).astype(dtype)
        return {"decay": decay, "one_minus_decay": 1 - decay}, state
    log = -h.decay_rate * jnp.log(step + 1)
    return {"decay": -jnp.expm1(log), "one_minus_decay": jnp.exp(log)}, state


def _divide_by_factored_rms(g, state, p, h):
    square = abs2(g) + h.epsilon
    axes = _rows_and_columns(array_shape(g), h)
    if axes is None:
        v = average(state.v, square, h.decay, h.one_minus_decay)
        return divide(g, root(v)), state._replace(v=v)
    rows, columns = axes
    v_row, v_col = (
        average(old, array_mean(square, axis=axis, keepdims=True), h.decay, h.one_minus_decay)
        for old, axis in ((state.v_row, columns), (state.v_col, rows))
    )
    # A quotient of roots: at epsilon = 1e-30 the derivative of that of the means is no float32.
    row_factor = divide(root(array_mean(v_row, axis=rows, keepdims=True)), root(v_row))
    return divide(g, root(v_col)) * row_factor, state._replace(v_row=v_row, v_col=v_col)


_FACTORED_RMS = Rule(
    _divide_by_factored_rms, state=FactoredState, init=_empty_moments, shared=_next_decay
)


@transformation
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: NonNegative = 0.8,
    step_offset: Real = 0,
    min_dim_size_to_factor: NonNegativeInt = 128,
    epsilon: NonNegative = 1e-30,
    decay_rate_fn: Callable | None = None,
) -> GradientTransformation:
    """Divide by the root of a mean square that is remembered by its row and column means.

    For each array g with rows and columns, the second largest and the largest of its axes, at
    step t = 1, 2, ...:

        b = 1 - t^(-decay_rate)
        v_row = b v_row + (1 - b) mean(|g|^2 + epsilon, columns)
        v_col = b v_col + (1 - b) mean(|g|^2 + epsilon, rows)
        u = g / sqrt(v_row v_col / mean(v_row, rows))

    An array that is not factored has v = b v + (1 - b) (|g|^2 + epsilon) and u = g / sqrt(v).

    Shapes: v_row has the shape of g with length 1 on the columns, v_col with length 1 on the
        rows; v is shaped like g. What an array does not need is None.
    Units: u has none.

    Args:
        factored: Whether to factor at all.
        decay_rate: Exponent, in [0, inf); the mean reaches back ever further.
        step_offset: Number of steps from which t is counted, for a run that goes on from the
            state of another: t = max(count - step_offset, 0) + 1.
        min_dim_size_to_factor: Arrays are factored if rows and columns are at least this long.
        epsilon: Added to the square, in [0, inf), in units of the squared gradient.
        decay_rate_fn: Function (t - 1, decay_rate) -> b, or None for the one above.

    Returns:
        The transformation, with a `FactoredState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Shazeer, Stern 2018, https://arxiv.org/abs/1804.04235, Algorithms 4 and 5.
    Differs: the paper factors the last two axes of every array that has two.
    """
    return lift(
        _FACTORED_RMS,
        decay_rate=decay_rate,
        step_offset=step_offset,
        epsilon=epsilon,
        static={
            "factored": factored,
            "min_dim_size_to_factor": int(min_dim_size_to_factor),
            "decay_rate_fn": decay_rate_fn,
        },
    )
