"""AdEMAMix and its simplified form: means of the gradient of different lengths, mixed."""

from typing import Any

from .._core.transformation import GradientTransformation, transformation
from .._moments.ademamix import scale_by_ademamix
from .._moments.simplified_ademamix import scale_by_simplified_ademamix
from .._parts.decay_value import DecayLike
from .._parts.descent import descend
from ..typing import (
    Decay,
    DecayOrSchedule,
    DType,
    LearningRate,
    NonNegative,
    RealOrSchedule,
)


@transformation
def ademamix(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    b3: DecayOrSchedule = 0.9999,
    alpha: RealOrSchedule = 5.0,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: DecayLike = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """AdEMAMix: AdamW with a second mean of the gradient, over thousands of steps.

    The chain of `scale_by_ademamix`, `add_decayed_weights` and `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the fast mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        b3: Decay of the slow mean, in [0, 1), or a schedule of such: see `scale_by_ademamix` for
            those of the paper.
        alpha: Weight of the slow mean, a number or a schedule of such. As in Optax the default is
            5 here and 6 in `scale_by_ademamix`.
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which both means are stored; None for float32 or wider.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule; or
            `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Pagliardini, Ablin, Grangier 2024, https://arxiv.org/abs/2409.03137, Algorithm 1.
    """
    return descend(
        scale_by_ademamix(b1, b2, b3, alpha, eps, eps_root, mu_dtype),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )


@transformation
def simplified_ademamix(
    learning_rate: LearningRate,
    b1: Decay = 0.99,
    b2: Decay = 0.95,
    alpha: RealOrSchedule = 0.0,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    weight_decay: DecayLike = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """Simplified AdEMAMix: accelerated descent under Adam's denominator, with one momentum.

    The chain of `scale_by_simplified_ademamix`, `add_decayed_weights` and
    `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such. The sum of gradients is not
            damped: it is about 1 - b1 times the rate that suits Adam.
        b1: Decay of the sum, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        alpha: Weight of the newest gradient beside the sum, a number or a schedule of such.
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule; or
            `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Morwani, Vyas, Zhang, Kakade 2025, https://arxiv.org/abs/2502.02431.
    """
    return descend(
        scale_by_simplified_ademamix(b1, b2, alpha, eps, eps_root),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )
