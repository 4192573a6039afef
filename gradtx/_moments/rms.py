"""RMSProp: the gradient over the root of a mean of its square, plain or centred."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import abs2, average, debiasing, divide, safe_increment
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, NonNegative, PerParam, PerParamReal
from .moments import filled_like, mean_square, root_with_eps


class ScaleByRmsState(NamedTuple):
    """Mean of the squared gradient."""

    nu: PerParamReal


class ScaleByRmsWithCountState(NamedTuple):
    """Step count, mean of the squared gradient."""

    count: Count
    nu: PerParamReal


def _filled(p, h):
    return {"nu": filled_like(p, h.initial_scale)}


def _next_bias(state, h, extra):
    t = safe_increment(state.count)
    return {"bias": debiasing(h.log_decay, t)}, state._replace(count=t)


def _average_square(g, state, p, h):
    return state._replace(nu=mean_square(state.nu, g, h.decay, h.one_minus_decay))


def _over_rms(g, state, p, h):
    nu = state.nu / h.bias if h.bias_correction else state.nu
    return divide(g, root_with_eps(nu, h.eps, h.eps_in_sqrt)), state


_RMS = Rule(_over_rms, state=ScaleByRmsState, init=_filled, accumulate=_average_square)
_RMS_CORRECTED = Rule(
    _over_rms,
    state=ScaleByRmsWithCountState,
    init=_filled,
    shared=_next_bias,
    accumulate=_average_square,
)


@transformation
def scale_by_rms(
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegative = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> GradientTransformation:
    """Divide by the root of a mean of the squared gradient.

    For each array g, at step t = 1, 2, ..., with nu = initial_scale before:

        nu = decay nu + (1 - decay) |g|^2
        u = g / sqrt(nu + eps)        or g / (sqrt(nu) + eps) without `eps_in_sqrt`

    and with `bias_correction` nu / (1 - decay^t) in the place of nu.

    This is the whole quotient. Its denominator alone, to stand under another numerator, is
    `root_mean_square`.

    Shapes: nu is shaped like g.
    Units: u has none. Without bias correction the first step has the size 1 / sqrt(1 - decay) of
        the learning rate: 3.2 times as much for 0.9.

    Args:
        decay: Decay of the mean square, in [0, 1).
        eps: In [0, inf); under the root in units of the squared gradient, outside in units of
            the gradient.
        initial_scale: Start of the mean square, in [0, inf). TensorFlow has 1.
        eps_in_sqrt: Whether eps is added under the root.
        bias_correction: Whether to correct for a start at zero.

    Returns:
        The transformation, with a `ScaleByRmsState`, or with `bias_correction` a
        `ScaleByRmsWithCountState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Tieleman, Hinton 2012, "Lecture 6.5: RMSProp",
        https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf.
    Differs: eps, which the lecture omits; where nu is 0, u is 0, also if eps is 0.
    """
    return lift(
        _RMS_CORRECTED if bias_correction else _RMS,
        decay=as_decay(decay),
        eps=eps,
        initial_scale=initial_scale,
        static={"eps_in_sqrt": eps_in_sqrt, "bias_correction": bias_correction},
    )


class ScaleByRStdDevState(NamedTuple):
    """Mean of the gradient, mean of its square."""

    mu: PerParam
    nu: PerParamReal


class ScaleByRStdDevWithCountState(NamedTuple):
    """Step count, mean of the gradient, mean of its square."""

    count: Count
    mu: PerParam
    nu: PerParamReal


def _average_both(g, state, p, h):
    state = state._replace(mu=average(state.mu, g, h.decay, h.one_minus_decay))
    return _average_square(g, state, p, h)


def _over_stddev(g, state, p, h):
    mu, nu = state.mu, state.nu
    if h.bias_correction:
        mu, nu = mu / h.bias, nu / h.bias
    # Rounding can make the difference of nearly equal numbers negative.
    variance = jnp.maximum(nu - abs2(mu), 0)
    return divide(g, root_with_eps(variance, h.eps, h.eps_in_sqrt)), state


_STDDEV = Rule(_over_stddev, state=ScaleByRStdDevState, init=_filled, accumulate=_average_both)
_STDDEV_CORRECTED = Rule(
    _over_stddev,
    state=ScaleByRStdDevWithCountState,
    init=_filled,
    shared=_next_bias,
    accumulate=_average_both,
)


@transformation
def scale_by_stddev(
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegative = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> GradientTransformation:
    """Divide by a moving standard deviation of the gradient: the centred RMSProp.

    For each array g, at step t = 1, 2, ..., with mu = 0 and nu = initial_scale before:

        mu = decay mu + (1 - decay) g
        nu = decay nu + (1 - decay) |g|^2
        u = g / sqrt(nu - |mu|^2 + eps)    or g / (sqrt(nu - |mu|^2) + eps) without `eps_in_sqrt`

    and with `bias_correction` both means divided by 1 - decay^t.

    Shapes: mu and nu are shaped like g.
    Units: u has none. For a constant gradient the deviation tends to 0 and u grows until eps
        bounds it.

    Args:
        decay: Decay of both means, in [0, 1).
        eps: In [0, inf); under the root in units of the squared gradient, outside in units of
            the gradient.
        initial_scale: Start of the mean square, in [0, inf).
        eps_in_sqrt: Whether eps is added under the root.
        bias_correction: Whether to correct for a start at zero.

    Returns:
        The transformation, with a `ScaleByRStdDevState`, or with `bias_correction` a
        `ScaleByRStdDevWithCountState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Graves 2013, https://arxiv.org/abs/1308.0850, equations 38 to 41.
    Differs: the paper's momentum is left to `trace`; a difference below 0, by rounding, counts
        as 0.
    """
    return lift(
        _STDDEV_CORRECTED if bias_correction else _STDDEV,
        decay=as_decay(decay),
        eps=eps,
        initial_scale=initial_scale,
        static={"eps_in_sqrt": eps_in_sqrt, "bias_correction": bias_correction},
    )
