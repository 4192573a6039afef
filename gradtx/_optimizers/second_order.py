"""Optimizers that are scaled by the diagonal of the Hessian."""

from collections.abc import Callable
from typing import Any

from .._core.transformation import GradientTransformation, transformation
from .._moments.adahessian import HessianPower, scale_by_adahessian
from .._moments.sophia import scale_by_sophia
from .._parts.decay_value import DecayLike
from .._parts.descent import descend
from .._wrap.estimators import HUTCHINSON
from .._wrap.hessian_diagonal import with_hessian_diagonal
from ..typing import (
    Decay,
    DType,
    LearningRate,
    NonNegative,
    Positive,
    PositiveInt,
)


@transformation
def adahessian(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-4,
    hessian_power: HessianPower = 1.0,
    mu_dtype: DType | None = None,
    weight_decay: DecayLike = 0.0,
    mask: Any = None,
    *,
    average_axes: Callable[[tuple[int, ...]], Any] | None = None,
    hessian_diagonal_fn: Any = HUTCHINSON,
    update_interval: PositiveInt = 1,
) -> GradientTransformation:
    """AdaHessian: Adam with the Hessian diagonal in the place of the squared gradient.

    For each array, with d an estimate of the Hessian diagonal, at step t = 1, 2, ..., with
    mu = nu = 0 before, and n counting the estimates:

        mu = b1 mu + (1 - b1) g
        nu = b2 nu + (1 - b2) d^2    every update_interval steps
        u = (mu / (1 - b1^t)) / (sqrt(nu / (1 - b2^n))^hessian_power + eps)
        w = w - learning_rate (u + weight_decay w)

    The estimate needs the loss: `update(grads, state, params, obj_fn=lambda p: loss(p, batch))`.

    Shapes: the state costs two copies of the parameters. A step with an estimate costs about two
        gradients more.
    Units: with hessian_power 1 `learning_rate` has none: 1 would be Newton's step for a diagonal
        Hessian.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such; the authors have 0.15.
        b1: Decay of the mean gradient, in [0, 1).
        b2: Decay of the mean square, in [0, 1), per estimate.
        eps: Added to the denominator, in [0, inf).
        hessian_power: Exponent of the curvature, in (0, 1].
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        weight_decay: Number in [0, inf), a schedule of such, or `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function from the
            parameters to one; None for all.
        average_axes: Function from the shape of an array to the axes over which d is averaged, as
            the paper does over the window of a convolution: see `scale_by_adahessian`.
        hessian_diagonal_fn: What estimates the diagonal: see `with_hessian_diagonal`.
        update_interval: Number of steps from one estimate to the next, at least 1.

    Returns:
        The transformation: a chain of `scale_by_adahessian` inside `with_hessian_diagonal`,
        `add_decayed_weights` and `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: On update, if `obj_fn` is missing.

    Source: Yao et al. 2020, https://arxiv.org/abs/2006.00719, Algorithm 1.
    Differs: no averaging over axes unless they are given.
    """
    scaled = scale_by_adahessian(b1, b2, eps, hessian_power, mu_dtype, average_axes=average_axes)
    return descend(
        with_hessian_diagonal(scaled, hessian_diagonal_fn, every=update_interval),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )


@transformation
def sophia(
    learning_rate: LearningRate,
    b1: Decay = 0.965,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-8,
    weight_decay: DecayLike = 1e-4,
    weight_decay_mask: Any = None,
    gamma: Positive = 0.01,
    clip_threshold: Positive | None = 1.0,
    update_interval: PositiveInt = 10,
    hessian_diagonal_fn: Any = HUTCHINSON,
    mu_dtype: DType | None = None,
    *,
    bias_correction: bool = False,
) -> GradientTransformation:
    """Sophia: momentum over the Hessian diagonal, every entry clipped.

    For each array, with d an estimate of the Hessian diagonal, and mu = nu = 0 before:

        mu = b1 mu + (1 - b1) g
        nu = b2 nu + (1 - b2) d    at the steps 1, 1 + update_interval, ...
        u = clip(mu / max(gamma nu, eps), -clip_threshold, clip_threshold)
        w = w - learning_rate (u + weight_decay w)

    This is Sophia-H, and the estimate needs the loss: `update(grads, state, params,
    obj_fn=lambda p: loss(p, batch))`. Sophia-G is `hessian_diagonal_fn=
    gauss_newton_bartlett_estimator()` with `gamma=0.05`, which needs `sampled_loss_fn`.

    Shapes: the state costs two copies of the parameters. A step with an estimate costs about two
        gradients more, one with Gauss-Newton-Bartlett's.
    Units: `learning_rate` is in units of w: the largest distance that an entry moves in a step.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the mean gradient, in [0, 1); the paper has 0.96.
        b2: Decay of the mean diagonal, in [0, 1), per estimate.
        eps: Least denominator, in [0, inf); the paper has 1e-12.
        weight_decay: Number in [0, inf), a schedule of such, or `decay(...)`; the paper has 0.2.
        weight_decay_mask: Which parameters decay: a tree of booleans, a prefix of it, or a function
            from the parameters to one; None for all.
        gamma: Factor of the diagonal, in (0, inf): raise it until 10 % to 50 % of all entries stay
            unclipped.
        clip_threshold: Largest magnitude of an entry, in (0, inf); None for no limit.
        update_interval: Number of steps from one estimate to the next, at least 1.
        hessian_diagonal_fn: What estimates the diagonal: see `with_hessian_diagonal`.
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        bias_correction: Whether mu is divided by 1 - b1^t, as in Optax.

    Returns:
        The transformation: a chain of `scale_by_sophia` inside `with_hessian_diagonal`,
        `add_decayed_weights` and `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: On update, if `obj_fn` is missing.

    Source: Liu, Li, Hall, Liang, Ma 2023, https://arxiv.org/abs/2305.14342, Algorithm 3.
    """
    scaled = scale_by_sophia(
        b1, b2, eps, gamma, clip_threshold, mu_dtype, bias_correction=bias_correction
    )
    return descend(
        with_hessian_diagonal(scaled, hessian_diagonal_fn, every=update_interval),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=weight_decay_mask,
    )
