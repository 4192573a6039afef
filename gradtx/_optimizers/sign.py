"""Optimizers that use the sign of the gradient, not its size."""

from typing import Any

from .._core.combine import chain
from .._core.transformation import GradientTransformation, transformation
from .._moments.average import ema
from .._moments.lion import scale_by_lion
from .._moments.rprop import AtLeastOne, scale_by_rprop
from .._parts.decay_value import DecayLike
from .._parts.descent import descend
from .._parts.scale import scale
from .._parts.sign import scale_by_sign
from ..typing import (
    Decay,
    DType,
    Fraction,
    LearningRate,
    NonNegative,
)


@transformation
def sign_sgd(
    learning_rate: LearningRate, *, weight_decay: DecayLike | None = None
) -> GradientTransformation:
    """Sign descent: every entry moves by the learning rate.

    The chain of `scale_by_sign`, `add_decayed_weights` if it decays, and
    `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Bernstein, Wang, Azizzadenesheli, Anandkumar 2018, https://arxiv.org/abs/1802.04434.
    """
    return descend(scale_by_sign(), learning_rate=learning_rate, weight_decay=weight_decay)


@transformation
def signum(
    learning_rate: LearningRate,
    beta: Decay = 0.9,
    accumulator_dtype: DType | None = None,
    *,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """Signum: every entry moves by the learning rate, against the sign of its mean gradient.

    The chain of `ema` without bias correction, which no sign depends on, `scale_by_sign`,
    `add_decayed_weights` if it decays, and `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        beta: Decay of the mean, in [0, 1).
        accumulator_dtype: Dtype in which the mean is stored; None for float32 or wider.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Bernstein, Wang, Azizzadenesheli, Anandkumar 2018, https://arxiv.org/abs/1802.04434,
        Algorithm 2.
    """
    return descend(
        ema(beta, debias=False, accumulator_dtype=accumulator_dtype),
        scale_by_sign(),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )


@transformation
def lion(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    mu_dtype: DType | None = None,
    weight_decay: DecayLike = 1e-3,
    mask: Any = None,
) -> GradientTransformation:
    """Lion: the sign of an interpolated momentum, with decoupled weight decay.

    The chain of `scale_by_lion`, `add_decayed_weights` and `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such; a tenth to a third of what
            suits AdamW.
        b1: Weight of the momentum in the update, in [0, 1).
        b2: Decay of the momentum, in [0, 1).
        mu_dtype: Dtype in which the momentum is stored; None for float32 or wider.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule; or
            `decay(...)`.
            Three to ten times AdamW's suits, as the rate is smaller.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Chen et al. 2023, https://arxiv.org/abs/2302.06675, Program 1.
    """
    return descend(
        scale_by_lion(b1, b2, mu_dtype),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )


@transformation
def rprop(
    learning_rate: NonNegative,
    eta_minus: Fraction = 0.5,
    eta_plus: AtLeastOne = 1.2,
    min_step_size: NonNegative = 1e-6,
    max_step_size: NonNegative = 50.0,
) -> GradientTransformation:
    """Rprop: a step size for each entry, longer while the sign stays, shorter when it changes.

    The chain of `scale_by_rprop` and `scale(-1)`. For gradients over all data, not mini-batches.
    There is no weight decay, as there is no learning rate to multiply it by: each entry has its
    own. `shrink_weights` behind it decays by a share that is yours to choose.

    Args:
        learning_rate: First step size, in [0, inf); no schedule.
        eta_minus: Factor after a change of sign, in [0, 1].
        eta_plus: Factor while the sign stays, in [1, inf).
        min_step_size: Smallest step size, in [0, inf).
        max_step_size: Largest step size, in [0, inf).

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Riedmiller, Braun 1993, https://doi.org/10.1109/ICNN.1993.298623.
    Differs: after a change of sign the entry stays where it is, as in PyTorch; the paper takes the
        last step back. Optax's update is that of the gradient before.
    """
    return chain(
        scale_by_rprop(learning_rate, eta_minus, eta_plus, min_step_size, max_step_size),
        scale(-1.0),
    )
