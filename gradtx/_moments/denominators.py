"""The denominators of the adaptive methods on their own, to stand under any numerator.

Each puts out the root itself, not a quotient: `parallel(numerator, denominator, merge=divide)` is
the method. With `identity()`, `ema` or `trace` as the numerator this is the whole grid of
adaptive methods.
"""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import debiasing, safe_increment
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, NonNegative, PerParamReal
from .moments import decayed_maximum, filled_like, mean_square, root_with_eps, sum_of_squares


class RootSumSquareState(NamedTuple):
    """Sum of the squared gradients."""

    sum_of_squares: PerParamReal


def _filled(p, h):
    return {"sum_of_squares": filled_like(p, h.initial_accumulator_value)}


def _add_square(g, state, p, h):
    return state._replace(sum_of_squares=sum_of_squares(state.sum_of_squares, g))


def _root_of_sum(g, state, p, h):
    return root_with_eps(state.sum_of_squares, h.eps, h.eps_in_sqrt), state


_ROOT_SUM_SQUARE = Rule(
    _root_of_sum, state=RootSumSquareState, init=_filled, accumulate=_add_square
)


@transformation
def root_sum_square(
    eps: NonNegative = 1e-8,
    *,
    initial_accumulator_value: NonNegative = 0.0,
    eps_in_sqrt: bool = False,
) -> GradientTransformation:
    """Replace the gradient by the root of the sum of all its squares: Adagrad's denominator.

    For each array g, with s = initial_accumulator_value before:

        s = s + |g|^2
        u = sqrt(s) + eps        or sqrt(s + eps) with `eps_in_sqrt`

    Shapes: s and u are shaped like g, and real.
    Units: u is in units of g.

    Args:
        eps: In [0, inf); in units of the gradient, under the root of the squared gradient.
        initial_accumulator_value: Start of s, in [0, inf), in units of the squared gradient.
        eps_in_sqrt: Whether eps is added under the root.

    Returns:
        The transformation, with a `RootSumSquareState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Duchi, Hazan, Singer 2011, https://jmlr.org/papers/v12/duchi11a.html.
    """
    return lift(
        _ROOT_SUM_SQUARE,
        eps=eps,
        initial_accumulator_value=initial_accumulator_value,
        static={"eps_in_sqrt": eps_in_sqrt},
    )


class RootMeanSquareState(NamedTuple):
    """Step count, mean of the squared gradient."""

    count: Count
    nu: PerParamReal


def _next_bias(state, h, extra):
    t = safe_increment(state.count)
    bias = {"bias": debiasing(h.log_decay, t)} if h.debias else {}
    return bias, state._replace(count=t)


def _average_square(g, state, p, h):
    return state._replace(nu=mean_square(state.nu, g, h.decay, h.one_minus_decay))


def _root_of(nu, h):
    return root_with_eps(nu / h.bias if h.debias else nu, h.eps, h.eps_in_sqrt)


def _root_of_mean(g, state, p, h):
    return _root_of(state.nu, h), state


_ROOT_MEAN_SQUARE = Rule(
    _root_of_mean, state=RootMeanSquareState, shared=_next_bias, accumulate=_average_square
)


@transformation
def root_mean_square(
    decay: Decay = 0.999,
    eps: NonNegative = 1e-8,
    *,
    eps_in_sqrt: bool = False,
    debias: bool = True,
) -> GradientTransformation:
    """Replace the gradient by the root of a mean of its square: Adam's and RMSProp's denominator.

    For each array g, at step t = 1, 2, ..., with nu = 0 before:

        nu = decay nu + (1 - decay) |g|^2
        u = sqrt(nu / (1 - decay^t)) + eps    or sqrt(nu / (1 - decay^t) + eps) with `eps_in_sqrt`

    and without `debias` nu itself in the place of nu / (1 - decay^t).

    Shapes: nu and u are shaped like g, and real.
    Units: u is in units of g.

    Args:
        decay: Decay of the mean square, in [0, 1).
        eps: In [0, inf); in units of the gradient, under the root of the squared gradient.
        eps_in_sqrt: Whether eps is added under the root.
        debias: Whether to correct for the start at zero.

    Returns:
        The transformation, with a `RootMeanSquareState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Tieleman, Hinton 2012, "Lecture 6.5: RMSProp"; with `debias` Kingma, Ba 2014,
        https://arxiv.org/abs/1412.6980.
    """
    return lift(
        _ROOT_MEAN_SQUARE,
        decay=as_decay(decay),
        eps=eps,
        static={"eps_in_sqrt": eps_in_sqrt, "debias": debias},
    )


class RootMaxMeanSquareState(NamedTuple):
    """Step count, mean of the squared gradient, the largest such mean so far."""

    count: Count
    nu: PerParamReal
    nu_max: PerParamReal


def _largest_average_square(g, state, p, h):
    state = _average_square(g, state, p, h)
    return state._replace(nu_max=jnp.maximum(state.nu_max, state.nu))


def _root_of_largest(g, state, p, h):
    return _root_of(state.nu_max, h), state


_ROOT_MAX_MEAN_SQUARE = Rule(
    _root_of_largest,
    state=RootMaxMeanSquareState,
    shared=_next_bias,
    accumulate=_largest_average_square,
)


@transformation
def root_max_mean_square(
    decay: Decay = 0.999,
    eps: NonNegative = 1e-8,
    *,
    eps_in_sqrt: bool = False,
    debias: bool = False,
) -> GradientTransformation:
    """Replace the gradient by the root of its largest mean square so far: AMSGrad's denominator.

    For each array g, at step t = 1, 2, ..., with nu = nu_max = 0 before:

        nu = decay nu + (1 - decay) |g|^2
        nu_max = max(nu_max, nu)
        u = sqrt(nu_max) + eps        or sqrt(nu_max + eps) with `eps_in_sqrt`

    and with `debias` nu_max / (1 - decay^t) in the place of nu_max.

    Shapes: nu, nu_max and u are shaped like g, and real.
    Units: u is in units of g.

    Args:
        decay: Decay of the mean square, in [0, 1).
        eps: In [0, inf); in units of the gradient, under the root of the squared gradient.
        eps_in_sqrt: Whether eps is added under the root.
        debias: Whether to correct, after the maximum, for the start at zero.

    Returns:
        The transformation, with a `RootMaxMeanSquareState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Reddi, Kale, Kumar 2018, https://arxiv.org/abs/1904.09237, Algorithm 2.
    """
    return lift(
        _ROOT_MAX_MEAN_SQUARE,
        decay=as_decay(decay),
        eps=eps,
        static={"eps_in_sqrt": eps_in_sqrt, "debias": debias},
    )


class InfinityNormState(NamedTuple):
    """Largest magnitude of the gradient, the older the more decayed."""

    nu: PerParamReal


def _gather_maximum(g, state, p, h):
    return state._replace(nu=decayed_maximum(state.nu, g, h.decay, h.eps))


def _maximum(g, state, p, h):
    return state.nu, state


_INFINITY_NORM = Rule(_maximum, state=InfinityNormState, accumulate=_gather_maximum)


@transformation
def infinity_norm(decay: Decay = 0.999, eps: NonNegative = 0.0) -> GradientTransformation:
    """Replace the gradient by its largest magnitude so far, decayed: Adamax's denominator.

    For each array g, with nu = 0 before:

        nu = max(decay nu, |g| + eps)
        u = nu

    It needs no bias correction: the first gradient is its own maximum.

    Shapes: nu and u are shaped like g, and real.
    Units: u is in units of g.

    Args:
        decay: Decay of the maximum, in [0, 1).
        eps: Added to the magnitude of every gradient, in [0, inf), in units of the gradient.

    Returns:
        The transformation, with an `InfinityNormState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, Algorithm 2.
    """
    return lift(_INFINITY_NORM, decay=as_decay(decay), eps=eps)
