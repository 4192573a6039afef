"""Optimizers whose step has a length for each array."""

from typing import Any

from .._core.combine import chain
from .._core.transformation import GradientTransformation, transformation
from .._moments.adam import scale_by_adam
from .._moments.momentum import trace
from .._moments.novograd import scale_by_novograd
from .._moments.trust_ratio import scale_by_trust_ratio
from .._parts.decay_value import DecayLike, NumberOrDecay
from .._parts.descent import descend, is_described, placed
from .._parts.scale import scale_by_learning_rate
from .._parts.shrink import step_and_shrink
from ..typing import Decay, LearningRate, NonNegative


@transformation
def lamb(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-6,
    eps_root: NonNegative = 0.0,
    weight_decay: DecayLike = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """LAMB: Adam's direction, as long as the parameter it moves; for large batches.

    The chain of `scale_by_adam`, `add_decayed_weights`, `scale_by_trust_ratio` and
    `scale_by_learning_rate`: the decay is part of what the ratio is taken of.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such: the relative change of an array
            in one step.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        weight_decay: Multiple of the parameter added to Adam's direction, in [0, inf), a
            schedule of such, or `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: You et al. 2019, https://arxiv.org/abs/1904.00962, Algorithm 2, with phi the identity.
    """
    at = placed(weight_decay, mask, learning_rate)
    return chain(
        *at.gradient,
        scale_by_adam(b1, b2, eps, eps_root),
        *at.plain,
        scale_by_trust_ratio(),
        *at.direction,
        scale_by_learning_rate(learning_rate),
        *at.step,
    )


@transformation
def lars(
    learning_rate: LearningRate,
    weight_decay: DecayLike = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: NonNegative = 1e-3,
    eps: NonNegative = 0.0,
    trust_ratio_mask: Any = True,
    momentum: Decay = 0.9,
    nesterov: bool = False,
) -> GradientTransformation:
    """LARS: momentum over steps in proportion to the parameter they move; for large batches.

    The chain of `add_decayed_weights`, `scale_by_trust_ratio`, `scale_by_learning_rate` and
    `trace`: the learning rate is inside the velocity.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        weight_decay: Multiple of the parameter added to the gradient, in [0, inf), a schedule of
            such, or `decay(...)`.
        weight_decay_mask: Which parameters decay: a tree of booleans, a prefix of it, or a
            function of the parameters to one.
        trust_coefficient: Length of a step over that of its parameter, in [0, inf), before rate
            and momentum.
        eps: Added to the norm in the ratio, in [0, inf), in units of the gradient.
        trust_ratio_mask: Which parameters have their step scaled, given like `weight_decay_mask`.
        momentum: Weight of the past in the velocity, in [0, 1).
        nesterov: Whether to use Nesterov's form.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: You, Gitman, Ginsburg 2017, https://arxiv.org/abs/1708.03888, Algorithm 1.
    Differs: with weight decay the ratio divides by the norm of gradient plus decay, as in Optax;
        the paper by the sum of their norms.
    """
    at = placed(weight_decay, weight_decay_mask, learning_rate, rate_is_last=False)
    return chain(
        *at.gradient,
        *at.plain,
        scale_by_trust_ratio(trust_coefficient=trust_coefficient, eps=eps, mask=trust_ratio_mask),
        scale_by_learning_rate(learning_rate),
        trace(momentum, nesterov),
        *at.step,
    )


@transformation
def fromage(learning_rate: LearningRate, min_norm: NonNegative = 1e-6) -> GradientTransformation:
    """Fromage: turn every array by an angle, which keeps its norm from growing.

    The chain of `scale_by_trust_ratio` and `step_and_shrink`. There is no weight decay: the step
    shrinks parameters by as much as it lengthens them.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such: the tangent of the angle. The
            paper suggests 0.01 for everything.
        min_norm: Norms below count as this one, in [0, inf).

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Bernstein, Vahdat, Yue, Liu 2020, https://arxiv.org/abs/2002.03432, Algorithm 1.
    Differs: the paper has no `min_norm`. An array without gradient shrinks all the same.
    """
    return chain(scale_by_trust_ratio(min_norm), step_and_shrink(learning_rate))


@transformation
def novograd(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.25,
    eps: NonNegative = 1e-6,
    eps_root: NonNegative = 0.0,
    weight_decay: NumberOrDecay = 0.0,
) -> GradientTransformation:
    """NovoGrad: momentum of gradients that were divided by the mean norm of their array.

    The chain of `scale_by_novograd` and `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the momentum, in [0, 1); the paper's experiments use 0.95.
        b2: Decay of the mean of the squared norm, in [0, 1); the paper's experiments use 0.98.
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        weight_decay: Multiple of the parameter that enters the momentum, in [0, inf), or
            `decay(...)`.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Ginsburg et al. 2019, https://arxiv.org/abs/1905.11286, Algorithm 1.
    """
    own: Any = 0.0 if is_described(weight_decay) else weight_decay
    other = weight_decay if is_described(weight_decay) else None
    return descend(
        scale_by_novograd(b1, b2, eps, eps_root, own),
        learning_rate=learning_rate,
        weight_decay=other,
    )
