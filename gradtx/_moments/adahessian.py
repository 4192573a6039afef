"""AdaHessian: Adam with the Hessian diagonal in the place of the squared gradient."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp

from .._core.numerics import abs2, average, debiasing, divide, root, safe_increment
from .._core.reduce import array_mean, array_shape
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import (
    Count,
    Decay,
    DType,
    Interval,
    NonNegative,
    Numeric,
    PerParam,
    PerParamReal,
    Tally,
)
from .diagonal import DEFAULTS, EXTRAS, TREES, average_estimate, weights_of_estimate

HessianPower = Annotated[Numeric, Interval(0.0, 1.0, open_low=True)]


class ScaleByAdaHessianState(NamedTuple):
    """Step count, number of estimates, mean gradient, mean square of the Hessian diagonal."""

    count: Count
    estimates: Tally
    mu: PerParam
    nu: PerParamReal


def _next_step(state, h, extra):
    t = safe_increment(state.count)
    fresh = extra.hessian_is_fresh.astype(bool)
    n = jnp.where(fresh, safe_increment(state.estimates), state.estimates)
    biases = {"mu_bias": debiasing(h.log_b1, t), "nu_bias": debiasing(h.log_b2, n)}
    return weights_of_estimate(h, extra) | biases, state._replace(count=t, estimates=n)


def _average_gradient_and_curvature(g, state, p, h):
    d = jnp.real(h.hessian_diagonal)
    axes = () if h.average_axes is None else tuple(h.average_axes(array_shape(g)))
    if axes:
        d = jnp.broadcast_to(array_mean(d, axes, keepdims=True), d.shape)
    return state._replace(
        mu=average(state.mu, g, h.b1, h.one_minus_b1), nu=average_estimate(state.nu, abs2(d), h)
    )


def _over_power_of_curvature(g, state, p, h):
    # Before the first estimate nu_bias is 0, and so is nu.
    curvature = root(divide(state.nu, h.nu_bias))
    positive = curvature > 0  # the derivative of a power below 1 is infinite at 0
    power = jnp.where(positive, jnp.where(positive, curvature, 1) ** h.hessian_power, 0)
    return divide(state.mu / h.mu_bias, power + h.eps), state


_ADAHESSIAN = Rule(
    _over_power_of_curvature,
    state=ScaleByAdaHessianState,
    shared=_next_step,
    accumulate=_average_gradient_and_curvature,
    extras=EXTRAS,
    defaults=DEFAULTS,
    trees=TREES,
)


@transformation
def scale_by_adahessian(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-4,
    hessian_power: HessianPower = 1.0,
    mu_dtype: DType | None = None,
    *,
    average_axes: Callable[[tuple[int, ...]], Any] | None = None,
) -> GradientTransformation:
    """Divide a mean of the gradient by the root mean square of the Hessian diagonal.

    For each array g, with d the extra argument `hessian_diagonal`, at step t = 1, 2, ..., with
    mu = nu = 0 before, and n counting the estimates:

        d = mean of d over average_axes
        mu = b1 mu + (1 - b1) g
        nu = b2 nu + (1 - b2) d^2    if d is an estimate of this step, else nu
        u = (mu / (1 - b1^t)) / (sqrt(nu / (1 - b2^n))^hessian_power + eps)

    The diagonal comes from `with_hessian_diagonal` around this, or from yourself by
    `update(grads, state, params, hessian_diagonal=d)`; at steps without a new one pass
    `hessian_is_fresh=False` too. Of a complex parameter d is real: the mean of its two second
    derivatives.

    Shapes: d is a tree like g. The state costs two copies of the parameters.
    Units: with hessian_power 1 u is in units of the parameters, like Newton's step, and the
        scale of the loss does not matter; with smaller powers it does.

    Args:
        b1: Decay of the mean gradient, in [0, 1).
        b2: Decay of the mean square, in [0, 1), per estimate, not per step.
        eps: Added to the denominator, in [0, inf), in units of the second derivative for
            hessian_power 1; 1e-4 in the authors' code.
        hessian_power: Exponent of the curvature, in (0, 1].
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        average_axes: Over which axes the diagonal is averaged, which lowers its noise: a function
            from the shape of an array to a tuple of axes. The paper averages over the window of a
            convolution, `lambda shape: (0, 1) if len(shape) == 4 else ()` where the kernels are
            (height, width, in, out). None for no averaging.

    Returns:
        The transformation, with a `ScaleByAdaHessianState`. Its update needs the extra argument
        `hessian_diagonal`.

    Raises:
        ValueError: If an argument is outside its range, or on update if the diagonal has other
            shapes.
        TypeError: On update, if `hessian_diagonal` is missing.

    Source: Yao et al. 2020, https://arxiv.org/abs/2006.00719, Algorithm 1; eps from the authors'
        code.
    Differs: which axes are a window cannot be told from a shape, so that the default averages
        over none. The authors' code averages |d|: the same, if `hessian_diagonal` is made
        positive before. Where nu and eps are 0, u is 0.
    """
    return lift(
        _ADAHESSIAN,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        hessian_power=hessian_power,
        static={"average_axes": average_axes},
        dtypes={"mu": mu_dtype},
    )
