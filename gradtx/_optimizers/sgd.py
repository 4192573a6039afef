"""Gradient descent: plain, with heavy-ball momentum, with Nesterov's."""

from .._core.combine import identity
from .._core.transformation import GradientTransformation, transformation
from .._moments.momentum import trace
from .._parts.decay_value import DecayLike
from .._parts.descent import descend
from ..typing import Decay, DType, LearningRate


@transformation
def sgd(
    learning_rate: LearningRate,
    momentum: Decay | None = None,
    nesterov: bool = False,
    accumulator_dtype: DType | None = None,
    *,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """Gradient descent, with momentum if wanted.

    Whether it is batch, stochastic or mini-batch descent depends on the examples that the
    gradient is a mean over: all, one or some. For each array, with v = 0 before:

        w = w - learning_rate g                       without momentum
        v = momentum v + g
        w = w - learning_rate v                       with momentum
        w = w - learning_rate (g + momentum v)        and `nesterov`

    The learning rate scales the velocity. To have it inside, so that a change of rate does not
    act on old velocity, change the order of the chain:
    `chain(scale_by_learning_rate(learning_rate), trace(momentum))`.

    Shapes: v is shaped like w; without momentum there is no state but a schedule's count.
    Units: `learning_rate` is in units of w over those of g. A constant gradient is followed at
        the effective rate learning_rate / (1 - momentum).

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        momentum: Weight of the past, in [0, 1), often 0.9 or 0.99; None for plain descent.
        nesterov: Whether the momentum is Nesterov's, for the gradient at w. For the gradient at
            the point ahead of w there is `nesterov_lookahead`.
        accumulator_dtype: Dtype in which v is stored; None for float32 or wider.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; or `decay(...)`. PyTorch's is `decay(..., coupling="gradient")`.

    Returns:
        The transformation: a chain of `trace`, or `identity` without momentum, and
        `scale_by_learning_rate`.

    Raises:
        ValueError: If an argument is outside its range, or `nesterov` is given without momentum.

    Source: Robbins, Monro 1951, https://doi.org/10.1214/aoms/1177729586; with momentum Sutskever,
        Martens, Dahl, Hinton 2013, https://proceedings.mlr.press/v28/sutskever13.html.
    Differs: Sutskever et al. have the rate inside the velocity.
    """
    if momentum is None:
        if nesterov:
            raise ValueError("sgd: `nesterov` must be False without `momentum`: give a momentum.")
        rule = identity()
    else:
        rule = trace(momentum, nesterov, accumulator_dtype)
    return descend(rule, learning_rate=learning_rate, weight_decay=weight_decay)
