"""Gradient descent with noise of its own."""

from typing import Any

from .._core.transformation import GradientTransformation, transformation
from .._parts.decay_value import DecayLike
from .._parts.descent import descend
from .._parts.noise import add_noise
from ..typing import LearningRate, NonNegative, NonNegativeInt, Real


@transformation
def noisy_sgd(
    learning_rate: LearningRate,
    eta: NonNegative = 0.01,
    gamma: Real = 0.55,
    key: Any = None,
    *,
    seed: NonNegativeInt | None = None,
    weight_decay: DecayLike | None = None,
) -> GradientTransformation:
    """Gradient descent along gradients with noise that fades.

    The chain of `add_noise`, `add_decayed_weights` if it decays, and `scale_by_learning_rate`.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such; the noise is scaled with it.
        eta: Variance of the noise at the first step, in [0, inf).
        gamma: Exponent with which the variance falls, a number.
        key: A key of `jax.random`, or an integer to make one from; None for 0.
        seed: The same as an integer `key`; only one of them may be given.
        weight_decay: Decoupled weight decay, in [0, inf), times the learning rate; a schedule of
            such; `decay(...)`; or None for none.

    Returns:
        The optimizer.

    Raises:
        ValueError: If both `key` and `seed` are given, or an argument is outside its range.

    Source: Neelakantan et al. 2015, https://arxiv.org/abs/1511.06807.
    """
    return descend(
        add_noise(eta, gamma, key, seed=seed),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )
