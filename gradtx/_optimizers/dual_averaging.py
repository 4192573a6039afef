"""MADGRAD: descent on the sum of all gradients."""

from .._core.combine import chain
from .._core.transformation import GradientTransformation, transformation
from .._moments.madgrad import scale_by_madgrad
from .._parts.decay_value import DecayLike
from .._parts.descent import placed
from ..typing import Decay, LearningRate, NonNegative


@transformation
def madgrad(
    learning_rate: LearningRate,
    momentum: Decay = 0.9,
    weight_decay: DecayLike = 0.0,
    eps: NonNegative = 1e-6,
) -> GradientTransformation:
    """MADGRAD: adaptive dual averaging whose momentum is an average of the iterates.

    The chain of `add_decayed_weights` and `scale_by_madgrad`. It needs less weight decay than
    other optimizers, often none.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        momentum: Weight of the parameters in the average, in [0, 1).
        weight_decay: Weight of an L2 penalty, in [0, inf), a schedule of such, or `decay(...)`.
        eps: Added to the cube root and to the learning rate, in [0, inf).

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Defazio, Jelassi 2021, https://arxiv.org/abs/2101.11075, Algorithm 1.
    """
    at = placed(weight_decay, None, learning_rate, rate_is_last=False)
    return chain(*at.gradient, *at.plain, scale_by_madgrad(learning_rate, momentum, eps), *at.step)
