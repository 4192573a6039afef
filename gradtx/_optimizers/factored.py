"""Optimizers whose second moment needs little memory."""

from typing import Any

import jax.numpy as jnp
from jax import lax

from .._core.combine import chain
from .._core.transformation import GradientTransformation, transformation
from .._moments.adafactor import scale_by_factored_rms
from .._moments.average import ema
from .._moments.sm3 import scale_by_sm3
from .._parts.clip import clip_by_block_rms
from .._parts.decay_value import DecayLike
from .._parts.descent import descend, placed
from .._parts.normalize import scale_by_param_block_rms
from .._parts.scale import scale, scale_by_learning_rate
from ..typing import (
    Decay,
    DType,
    LearningRate,
    NonNegative,
    NonNegativeInt,
    Real,
    Threshold,
)


def _relative_step(count):
    """min(1e-2, 1 / sqrt(t)), the step sizes of Adafactor's Algorithm 6."""
    t = jnp.asarray(count).astype(jnp.result_type(float)) + 1
    return jnp.minimum(1e-2, lax.rsqrt(t))


@transformation
def adafactor(
    learning_rate: LearningRate | None = None,
    min_dim_size_to_factor: NonNegativeInt = 128,
    decay_rate: NonNegative = 0.8,
    decay_offset: Real = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: Threshold | None = 1.0,
    momentum: Decay | None = None,
    dtype_momentum: DType | None = None,
    weight_decay_rate: DecayLike | None = None,
    eps: NonNegative = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
    *,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """Adafactor: a factored mean square, clipped steps, and rates relative to the parameters.

    The chain of `scale_by_factored_rms`, `clip_by_block_rms`, `ema`, the learning rate,
    `scale_by_param_block_rms` and `add_decayed_weights`, each as far as it is asked for.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such; None for the paper's
            min(1e-2, 1 / sqrt(t)) at step t = 1, 2, ...
        min_dim_size_to_factor: Arrays are factored if their two longest axes are at least this
            long.
        decay_rate: The mean square decays by 1 - t^(-decay_rate), in [0, inf).
        decay_offset: Number of steps from which t is counted there, for a run that goes on from
            the state of another.
        multiply_by_parameter_scale: Whether the step is relative to the root mean square of the
            parameter.
        clipping_threshold: Largest root mean square of an array of updates, before the rate, in
            [0, inf]; None for no limit.
        momentum: Decay of a mean of the updates, in [0, 1); None for no momentum, which costs
            nothing.
        dtype_momentum: Dtype in which that mean is stored; None for float32 or wider.
        weight_decay_rate: Optax's name for `weight_decay`.
        eps: Added to the squared gradient, in [0, inf).
        factored: Whether to factor at all.
        weight_decay_mask: Which parameters decay: a tree of booleans, a prefix of it, or a
            function of the parameters to one; None for all.
        weight_decay: Multiple of the parameter subtracted at every step, in [0, inf), not times
            the learning rate; a schedule of such; or `decay(...)`; None for none.

    Returns:
        The optimizer. Its update needs the parameters, if it is relative to them or they decay.

    Raises:
        ValueError: If an argument is outside its range, or the decay is given under both names.

    Source: Shazeer, Stern 2018, https://arxiv.org/abs/1804.04235, Algorithms 4 to 6.
    Differs: the momentum is that of the clipped updates, before the rate, so that a schedule does
        not act on what was gathered under another rate. Unlike here, in Optax no learning rate
        means steps as long as the parameter, and momentum comes after the rate.
    """
    if weight_decay is not None and weight_decay_rate is not None:
        raise ValueError(
            "adafactor: give one of `weight_decay` and `weight_decay_rate`, which are the same."
        )
    weight_decay = weight_decay_rate if weight_decay is None else weight_decay
    rate = _relative_step if learning_rate is None else learning_rate
    at = placed(weight_decay, weight_decay_mask, rate, rate_is_last=False)
    return chain(
        *at.gradient,
        scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps),
        *_unless_none(clip_by_block_rms, clipping_threshold),
        *_unless_none(ema, momentum, debias=False, accumulator_dtype=dtype_momentum),
        scale_by_learning_rate(rate, flip_sign=False),
        *([scale_by_param_block_rms()] if multiply_by_parameter_scale else []),
        *at.plain,
        scale(-1.0),
        *at.step,
    )


def _unless_none(constructor, value, **arguments):
    return [] if value is None else [constructor(value, **arguments)]


@transformation
def sm3(
    learning_rate: LearningRate, momentum: Decay = 0.9, *, weight_decay: DecayLike | None = None
) -> GradientTransformation:
    """SM3: AdaGrad with one vector for each axis instead of an array of sums.

    The chain of `scale_by_sm3`, `add_decayed_weights` if it decays, and
    `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        momentum: Decay of the mean of the directions, in [0, 1).
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Anil, Gupta, Koren, Singer 2019, https://arxiv.org/abs/1901.11150, Algorithm SM3-II.
    """
    return descend(scale_by_sm3(momentum), learning_rate=learning_rate, weight_decay=weight_decay)
