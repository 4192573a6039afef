"""Weight decay: pull the parameters towards zero."""

from typing import Any, NamedTuple

from .._core.arguments import is_function
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, NonNegativeOrSchedule


class AddDecayedWeightsState(NamedTuple):
    """Number of updates so far: what the schedule of the weight decay sees next."""

    count: Count


def _with_decayed_weights(g, state, p, h):
    return g + h.weight_decay * p, state


_DECAY = Rule(_with_decayed_weights, params=True)
_DECAY_BY_SCHEDULE = Rule(_with_decayed_weights, state=AddDecayedWeightsState, params=True)


@transformation
def add_decayed_weights(
    weight_decay: NonNegativeOrSchedule = 0.0, mask: Any = None
) -> GradientTransformation:
    """Add a multiple of the parameters to the updates.

    For each array g and its parameter p, at count = 0, 1, 2, ... if the decay is a schedule:

        u = g + weight_decay p

    Its place in the chain decides what it is. First, it is the gradient of the penalty
    weight_decay |p|^2 / 2 (L2 regularisation), and passes through the moments. Last but for the
    learning rate, it is decoupled: each step shrinks p by the factor 1 - learning_rate
    weight_decay, whatever the gradients were.

    Shapes: any.
    Units: `weight_decay` is in units of the updates it meets over those of the parameters.

    Args:
        weight_decay: Number in [0, inf), or a schedule of such.
        mask: Which parameters decay: a tree of booleans with the structure of the parameters or
            of the top of it, or a function from the parameters to one; None for all. Biases and
            scales of normalisation are commonly left out.

    Returns:
        The transformation, with an `AddDecayedWeightsState` if the decay is a schedule, else
        without state. Its update needs the parameters.

    Raises:
        ValueError: If `weight_decay` is negative or not finite.

    Source: Loshchilov, Hutter 2017, https://arxiv.org/abs/1711.05101, Algorithms 1 and 2.
    Differs: in the paper's decoupled form the decay is not multiplied by the learning rate, only
        by the schedule; behind it in a chain it is multiplied by both.
    """
    rule = _DECAY_BY_SCHEDULE if is_function(weight_decay) else _DECAY
    return lift(rule, where=mask, weight_decay=weight_decay)
