"""Gradient descent with differential privacy."""

from typing import Any

from .._core.combine import chain, identity
from .._core.transformation import GradientTransformation, transformation
from .._moments.momentum import trace
from .._parts.private import differentially_private_aggregate
from .._parts.scale import scale_by_learning_rate
from ..typing import Decay, LearningRate, NonNegative


@transformation
def dpsgd(
    learning_rate: LearningRate,
    l2_norm_clip: NonNegative,
    noise_multiplier: NonNegative,
    seed: Any = None,
    momentum: Decay | None = None,
    nesterov: bool = False,
    *,
    key: Any = None,
) -> GradientTransformation:
    """Gradient descent along averages that hide each example: DP-SGD.

    The chain of `differentially_private_aggregate`, `trace` (or `identity` without momentum) and
    `scale_by_learning_rate`. Gradients go in with a leading axis of examples.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.
        l2_norm_clip: Largest norm of the gradient of one example, in [0, inf).
        noise_multiplier: Standard deviation of the noise in units of that, in [0, inf).
        seed: An integer or a key of `jax.random`, for the noise. Who knows it can subtract it.
            Exactly one of `seed` and `key` must be given.
        momentum: Decay of the momentum, in [0, 1), or None for none.
        nesterov: Whether the momentum is Nesterov's.
        key: The same as `seed`, by the name that it has elsewhere.

    Returns:
        The optimizer.

    Raises:
        ValueError: If both `key` and `seed` are given or none of them, or an argument is outside
            its range; on update, if the gradients do not have a first axis of one length.

    Source: Abadi et al. 2016, https://arxiv.org/abs/1607.00133, Algorithm 1.
    """
    if (key is None) == (seed is None):
        raise ValueError(
            f"dpsgd: exactly one of `key` and `seed` must be given, but they are {key} and {seed}."
        )
    chosen = seed if key is None else key
    private = differentially_private_aggregate(l2_norm_clip, noise_multiplier, key=chosen)
    inertia = identity() if momentum is None else trace(momentum, nesterov)
    return chain(private, inertia, scale_by_learning_rate(learning_rate))
