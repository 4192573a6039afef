"""Descent for games: gradients extrapolated to the next step."""

from .._core.combine import chain
from .._core.transformation import GradientTransformation, transformation
from .._moments.adam import scale_by_adam
from .._moments.optimistic import scale_by_optimistic_gradient
from .._parts.decay_value import DecayLike
from .._parts.descent import decoupled, descend, placed
from .._parts.scale import scale_by_learning_rate
from ..typing import Decay, DType, LearningRate, NonNegative, RealOrSchedule


@transformation
def optimistic_gradient_descent(
    learning_rate: LearningRate,
    alpha: RealOrSchedule = 1.0,
    beta: RealOrSchedule = 1.0,
    *,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """Optimistic gradient descent: the gradient plus its change since the last step.

    The chain of `scale_by_optimistic_gradient`, `add_decayed_weights` if it decays, and
    `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        alpha: Weight of the gradient, a number or a schedule of such.
        beta: Weight of its change, a number or a schedule of such.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none. It is not extrapolated.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Mokhtari, Ozdaglar, Pattathil 2019, https://arxiv.org/abs/1901.08511.
    """
    return descend(
        scale_by_optimistic_gradient(alpha, beta),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )


@transformation
def optimistic_adam(
    learning_rate: LearningRate,
    optimism: RealOrSchedule | None = None,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """Optimistic Adam, its optimism given as a rate of its own.

    With Adam's direction u, u_before = u at the first step:

        w = w - learning_rate u - optimism (u - u_before)

    It is `optimistic_adam_v2(1.0, alpha=learning_rate, beta=optimism)`, in the chain of
    `scale_by_adam`, `scale_by_optimistic_gradient`, `scale_by_learning_rate` and `shrink_weights`
    if it decays.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        optimism: Weight of the direction's change, a number or a schedule of such; None for the
            learning rate, as in the paper.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which the mean is stored; None for float32 or wider.
        nesterov: Whether to use Nesterov's momentum.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none. It is not extrapolated.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Daskalakis, Ilyas, Syrgkanis, Zeng 2017, https://arxiv.org/abs/1711.00141, Algorithm 1.
    Differs: the paper has no Nesterov momentum; it is the default here because it is Optax's.
    """
    at = placed(decoupled(weight_decay), None, learning_rate, rate_is_last=False)
    return chain(
        *at.gradient,
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_optimistic_gradient(
            learning_rate, learning_rate if optimism is None else optimism
        ),
        scale_by_learning_rate(1.0),
        *at.step,
    )


@transformation
def optimistic_adam_v2(
    learning_rate: LearningRate,
    *,
    alpha: RealOrSchedule = 1.0,
    beta: RealOrSchedule = 1.0,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    nesterov: bool = True,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """Optimistic Adam: Adam's direction plus its change since the last step.

    The chain of `scale_by_adam`, `scale_by_optimistic_gradient`, `add_decayed_weights` if it
    decays, and `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        alpha: Weight of Adam's direction, a number or a schedule of such.
        beta: Weight of its change, a number or a schedule of such.
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        mu_dtype: Dtype in which the mean is stored; None for float32 or wider.
        nesterov: Whether to use Nesterov's momentum.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none. It is not extrapolated.

    Returns:
        The optimizer.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Daskalakis, Ilyas, Syrgkanis, Zeng 2017, https://arxiv.org/abs/1711.00141, Algorithm 1.
    Differs: the paper has no Nesterov momentum; it is the default here because it is Optax's.
    """
    return descend(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_optimistic_gradient(alpha, beta),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )
