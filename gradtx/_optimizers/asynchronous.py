"""ADOPT and ACProp: gradients divided by what was known before them."""

from collections.abc import Callable
from typing import Any

from .._core.transformation import GradientTransformation, transformation
from .._moments.acprop import scale_by_acprop
from .._moments.adopt import scale_by_adopt
from .._parts.decay_value import DecayLike
from .._parts.descent import descend
from ..typing import Decay, DType, LearningRate, NonNegative


@transformation
def adopt(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.9999,
    eps: NonNegative = 1e-6,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[Any], Any] | None = None,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """ADOPT: Adam that converges for any b2, by normalising before it averages.

    The chain of `scale_by_adopt`, `add_decayed_weights` if it decays, and
    `scale_by_learning_rate`. The first step only looks: its gradient moves nothing.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        b1: Decay of the mean of the normalised gradient, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Least root to divide by, in [0, inf), in units of the gradient.
        mu_dtype: Dtype in which the mean is stored; None for float32 or wider.
        nesterov: Whether to use Nesterov's momentum.
        use_clipping: Whether the normalised gradient is clipped.
        clip_value_fn: Function of the count to the limit of each entry; None for the fourth root.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none. An L2 penalty, the default of
            the authors' code, is `decay(..., coupling="gradient")`.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Taniguchi et al. 2024, https://arxiv.org/abs/2411.02853.
    Differs: parameters decay at every step; in the authors' code not at the first.
    """
    return descend(
        scale_by_adopt(
            b1,
            b2,
            eps,
            mu_dtype,
            nesterov=nesterov,
            use_clipping=use_clipping,
            clip_value_fn=clip_value_fn,
        ),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )


@transformation
def acprop(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
    weight_decay: DecayLike = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """ACProp: AdaBelief's denominator, one step late, under the gradient itself.

    The chain of `scale_by_acprop`, `add_decayed_weights` and `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such. The first step is one of plain
            descent with this rate.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square of the deviation, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added to the mean square at every step, in [0, inf).
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule; or
            `decay(...)`.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function of the
            parameters to one; None for all.

    Returns:
        The optimizer. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Zhuang, Ding, Tang, Dvornek, Tatikonda, Duncan 2021, https://arxiv.org/abs/2110.05454.
    Differs: from Optax, whose adaptive steps are b1 times as long: see `scale_by_acprop`.
    """
    return descend(
        scale_by_acprop(b1, b2, eps, eps_root),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    )
