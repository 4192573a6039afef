"""Step and shrink: a step that leaves the norm of the parameter where it was."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, LearningRate


class StepAndShrinkState(NamedTuple):
    """Step count: what the schedule of the learning rate sees next."""

    count: Count


def _step_and_shrink(g, state, p, h):
    square = h.learning_rate * h.learning_rate
    length = jnp.sqrt(1 + square)
    # p / length - p, without the cancellation of the two at small learning rates.
    shrinkage = -square / (length * (1 + length))
    return shrinkage * p - (h.learning_rate / length) * g, state


_STEP_AND_SHRINK = Rule(
    _step_and_shrink,
    state=StepAndShrinkState,
    reports=(("learning_rate", "learning_rate"),),
    params=True,
)


@transformation
def step_and_shrink(learning_rate: LearningRate) -> GradientTransformation:
    """Step against the updates and scale the result back: the last link of Fromage.

    For each array g and its parameter p, at count = 0, 1, 2, ... if the learning rate is a
    schedule:

        u = (p - learning_rate g) / sqrt(1 + learning_rate^2) - p

    If g is as long as p and orthogonal to it, p + u is exactly as long as p.

    Shapes: any.
    Units: g and u are in units of the parameters; the learning rate is the tangent of the angle
        by which the parameter turns.

    Args:
        learning_rate: Number in [0, inf), or a schedule of such.

    Returns:
        The transformation, with a `StepAndShrinkState`. Its update needs the parameters.

    Raises:
        ValueError: If `learning_rate` is negative or not finite.

    Source: Bernstein, Vahdat, Yue, Liu 2020, https://arxiv.org/abs/2002.03432, Algorithm 1.
    """
    return lift(_STEP_AND_SHRINK, learning_rate=learning_rate)
