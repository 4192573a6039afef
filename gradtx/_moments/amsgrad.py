"""AMSGrad: Adam over the largest second moment so far, so that no rate ever grows."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.numerics import divide, root
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, DType, NonNegative, PerParam, PerParamReal
from .pair import average_moments, next_biases


class ScaleByAmsgradState(NamedTuple):
    """Step count, mean of the gradient, mean of its square, the largest such mean so far."""

    count: Count
    mu: PerParam
    nu: PerParamReal
    nu_max: PerParamReal


def _average_and_keep_largest(g, state, p, h):
    state = average_moments(g, state, p, h)
    return state._replace(nu_max=jnp.maximum(state.nu_max, state.nu))


def _amsgrad_direction(g, state, p, h):
    mean = state.mu / h.mu_bias if h.bias_correction_mu else state.mu
    square = state.nu_max / h.nu_bias if h.bias_correction_nu else state.nu_max
    return divide(mean, root(square + h.eps_root) + h.eps), state


_AMSGRAD = Rule(
    _amsgrad_direction,
    state=ScaleByAmsgradState,
    shared=next_biases,
    accumulate=_average_and_keep_largest,
)


@transformation
def scale_by_amsgrad(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    bias_correction_mu: bool = False,
    bias_correction_nu: bool = False,
) -> GradientTransformation:
    """Divide a mean of the gradient by the root of the largest mean square so far.

    For each array g, at step t = 1, 2, ..., with mu = nu = nu_max = 0 before:

        mu = b1 mu + (1 - b1) g
        nu = b2 nu + (1 - b2) |g|^2
        nu_max = max(nu_max, nu)
        u = mu / (sqrt(nu_max + eps_root) + eps)

    With the corrections mu / (1 - b1^t) and nu_max / (1 - b2^t) stand in the place of mu and
    nu_max; both together are what PyTorch calls AMSGrad.

    Without them, as in the paper, nothing makes up for the start at zero: the first step has
    the size (1 - b1) / sqrt(1 - b2) of the learning rate, 3.2 times as much for the defaults.

    Shapes: the state costs three copies of the parameters.
    Units: u has none.

    Args:
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        bias_correction_mu: Whether to correct mu for its start at zero.
        bias_correction_nu: Whether to correct nu_max for the start of nu at zero. The maximum is
            taken before.

    Returns:
        The transformation, with a `ScaleByAmsgradState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Reddi, Kale, Kumar 2018, https://arxiv.org/abs/1904.09237, Algorithm 2.
    Differs: eps, which the paper omits; where the moments are 0, u is 0, also if eps is 0.
    """
    return lift(
        _AMSGRAD,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        eps_root=eps_root,
        static={
            "bias_correction_mu": bias_correction_mu,
            "bias_correction_nu": bias_correction_nu,
        },
        dtypes={"mu": mu_dtype},
    )
