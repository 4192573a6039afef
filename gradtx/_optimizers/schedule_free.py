"""Schedule-Free optimizers."""

from .._core.combine import chain
from .._core.transformation import GradientTransformation, transformation
from .._moments.rms import scale_by_rms
from .._parts.decay_value import DecayLike
from .._parts.descent import descend, is_described, placed
from .._wrap.schedule_free import Interpolation, schedule_free
from ..schedules import warmup
from ..typing import (
    Decay,
    DType,
    LearningRate,
    NonNegative,
    NonNegativeInt,
    Real,
)
from .sgd import sgd


@transformation
def schedule_free_sgd(
    learning_rate: LearningRate = 1.0,
    warmup_steps: NonNegativeInt | None = None,
    b1: Interpolation = 0.9,
    weight_decay: DecayLike | None = None,
    weight_lr_power: Real = 2.0,
    state_dtype: DType | None = None,
) -> GradientTransformation:
    """Schedule-Free gradient descent.

    For each array, with y the parameters at which g was taken (see `schedule_free`):

        z = z - learning_rate (g + weight_decay y)

    `schedule_free_eval_params(state, params)` gives the parameters to evaluate.

    Shapes: the state costs one copy of the parameters, two where they are narrower than float32.
    Units: `learning_rate` is in units of w over those of g; `weight_decay` in those of g over w.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such, which does not fall.
        warmup_steps: Steps in which the rate rises from 0, 0 or more; None for no rise.
        b1: Where y lies between z and the average x, in (0, 1].
        weight_decay: Number in [0, inf), a schedule of such, or `decay(...)`; None for no decay.
        weight_lr_power: Power of the rate in the weights of the average, a number.
        state_dtype: Dtype of z; None for float32 or wider.

    Returns:
        The transformation, with a `ScheduleFreeState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range; on update, if the parameters are missing.

    Source: Defazio, Yang, Mehta, Mishchenko, Khaled, Cutkosky 2024,
        https://arxiv.org/abs/2405.15682, equations 3 to 5.
    """
    rate = learning_rate if warmup_steps is None else warmup(learning_rate, warmup_steps)
    base = sgd(rate)
    if is_described(weight_decay):
        base = sgd(rate, weight_decay=weight_decay)
    elif weight_decay is not None:
        base = chain(*placed(weight_decay, None, rate).plain, base)
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


@transformation
def schedule_free_adamw(
    learning_rate: LearningRate = 0.0025,
    warmup_steps: NonNegativeInt | None = None,
    b1: Interpolation = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: DecayLike = 0.0,
    weight_lr_power: Real = 2.0,
    state_dtype: DType | None = None,
) -> GradientTransformation:
    """Schedule-Free AdamW: Adam without its first moment, whose place the average takes.

    For each array, with y the parameters at which g was taken (see `schedule_free`), at step
    t = 1, 2, ..., with nu = 0 before:

        nu = b2 nu + (1 - b2) |g|^2
        z = z - learning_rate (g / (sqrt(nu / (1 - b2^t)) + eps) + weight_decay y)

    `schedule_free_eval_params(state, params)` gives the parameters to evaluate.

    Shapes: the state costs two copies of the parameters, three where they are narrower than
        float32.
    Units: `learning_rate` is in units of w, `weight_decay` in their inverse.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such, which does not fall.
        warmup_steps: Steps in which the rate rises from 0, 0 or more; None for no rise.
        b1: Where y lies between z and the average x, in (0, 1].
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        weight_decay: Number in [0, inf), a schedule of such, or `decay(...)`.
        weight_lr_power: Power of the rate in the weights of the average, a number.
        state_dtype: Dtype of z; None for float32 or wider.

    Returns:
        The transformation, with a `ScheduleFreeState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range; on update, if the parameters are missing.

    Source: Defazio, Yang, Mehta, Mishchenko, Khaled, Cutkosky 2024,
        https://arxiv.org/abs/2405.15682, Algorithm 1.
    """
    rate = learning_rate if warmup_steps is None else warmup(learning_rate, warmup_steps)
    base = descend(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        learning_rate=rate,
        weight_decay=weight_decay,
    )
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)
