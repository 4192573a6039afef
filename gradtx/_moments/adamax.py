"""Adamax: Adam with the infinity norm of the gradients in the denominator."""

from .._core.numerics import average, divide
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Decay, NonNegative
from .adam import ScaleByAdamState
from .moments import decayed_maximum
from .pair import next_biases


def _gather_moments(g, state, p, h):
    return state._replace(
        mu=average(state.mu, g, h.b1, h.one_minus_b1),
        nu=decayed_maximum(state.nu, g, h.b2, h.eps),
    )


def _adamax_direction(g, state, p, h):
    return divide(state.mu / h.mu_bias, state.nu), state


_ADAMAX = Rule(
    _adamax_direction, state=ScaleByAdamState, shared=next_biases, accumulate=_gather_moments
)


@transformation
def scale_by_adamax(
    b1: Decay = 0.9, b2: Decay = 0.999, eps: NonNegative = 0.0
) -> GradientTransformation:
    """Divide a mean of the gradient by its largest magnitude, the older the more decayed.

    For each array g, at step t = 1, 2, ..., with mu = nu = 0 before:

        mu = b1 mu + (1 - b1) g
        nu = max(b2 nu, |g| + eps)
        u = mu / (1 - b1^t) / nu

    Shapes: the state costs two copies of the parameters.
    Units: u has none. Its entries are about 1 at most: the learning rate bounds the step.

    Args:
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the maximum, in [0, 1).
        eps: Added to the magnitude of every gradient, in [0, inf), in units of the gradient, as
            PyTorch and Optax do; the paper has none.

    Returns:
        The transformation, with a `ScaleByAdamState`, in which nu is the maximum.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, Algorithm 2.
    Differs: where nu is 0, because all gradients were, u is 0; the paper has 0 / 0.
    """
    return lift(_ADAMAX, b1=as_decay(b1), b2=as_decay(b2), eps=eps)
