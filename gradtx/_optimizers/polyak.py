"""Gradient descent whose step follows from the value of the loss."""

from typing import Literal

from .._core.combine import chain
from .._core.transformation import GradientTransformation, transformation
from .._moments.polyak import scale_by_polyak
from ..typing import LearningRate, NonNegative, Real
from .sgd import sgd


@transformation
def polyak_sgd(
    max_learning_rate: NonNegative = 1.0,
    scaling: LearningRate = 1.0,
    f_min: Real = 0.0,
    eps: NonNegative = 0.0,
    variant: Literal["sps", "sps+"] = "sps",
) -> GradientTransformation:
    """Gradient descent with Polyak's step: update(updates, state, params, value=loss).

    The chain of `sgd(scaling)` and `scale_by_polyak`. There is no weight decay: the step is as
    long as the loss that is given is high, and a penalty belongs into that. With c = scaling:

        u = -min((value - f_min) / (c^2 sum |g|^2 + eps), max_learning_rate) c g

    Args:
        max_learning_rate: Largest factor, in [0, inf).
        scaling: The c of the formula, in [0, inf), or a schedule of such. The unclipped step is
            that of the paper with its c.
        f_min: Smallest value of the loss, or a lower bound of it, a number.
        eps: Added to the squared norm, in [0, inf).
        variant: "sps", or "sps+" which never ascends.

    Returns:
        The optimizer. Its update needs the extra argument `value`.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: On update, if `value` is missing.

    Source: Loizou, Vaswani, Laradji, Lacoste-Julien 2020, https://arxiv.org/abs/2002.10542.
    Differs: the longest step is max_learning_rate c g, as in Optax; the paper's has no c.
    """
    return chain(
        sgd(scaling),
        scale_by_polyak(max_learning_rate=max_learning_rate, f_min=f_min, eps=eps, variant=variant),
    )
