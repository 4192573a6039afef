"""Where weight decay stands in an optimizer: one answer for all of them."""

from typing import Any, NamedTuple

from .._core.combine import chain
from .._core.transformation import GradientTransformation
from .decay import add_decayed_weights, shrink_weights
from .decay_value import WeightDecay
from .scale import scale_by_learning_rate


class Places(NamedTuple):
    """The parts of a chain that decay parameters: at most one of them is not empty.

    Attributes:
        gradient: What stands before everything else.
        plain: What stands where the optimizer's source has its decay.
        direction: What stands before the learning rate.
        step: What stands behind everything else.
    """

    gradient: tuple[GradientTransformation, ...] = ()
    plain: tuple[GradientTransformation, ...] = ()
    direction: tuple[GradientTransformation, ...] = ()
    step: tuple[GradientTransformation, ...] = ()


def is_described(weight_decay: Any) -> bool:
    """Whether a decay says what it means: else it means what the optimizer's source has."""
    return isinstance(weight_decay, WeightDecay)


def placed(
    weight_decay: Any, mask: Any, learning_rate: Any, *, rate_is_last: bool = True
) -> Places:
    """The parts of a chain that decay parameters, by their places.

    Args:
        weight_decay: Number, schedule, what `decay` returns, or None.
        mask: Which parameters decay, or None.
        learning_rate: That of the optimizer.
        rate_is_last: Whether nothing follows the learning rate in the chain.
    """
    if weight_decay is None:
        return Places()
    if not is_described(weight_decay):
        return Places(plain=(add_decayed_weights(weight_decay, mask),))
    if weight_decay.coupling == "gradient":
        return Places(gradient=(add_decayed_weights(weight_decay, mask),))
    if weight_decay.coupling == "learning_rate" and rate_is_last:
        return Places(direction=(add_decayed_weights(weight_decay, mask),))
    return Places(step=(shrink_weights(weight_decay, mask, learning_rate=learning_rate),))


def descend(
    *parts: GradientTransformation, learning_rate: Any, weight_decay: Any, mask: Any = None
) -> GradientTransformation:
    """The chain of parts that make a direction, decoupled weight decay, and the learning rate.

    Args:
        *parts: What makes the direction of the gradient.
        learning_rate: Number or schedule.
        weight_decay: Number, schedule, what `decay` returns, or None.
        mask: Which parameters decay, or None.
    """
    at = placed(weight_decay, mask, learning_rate)
    rate = scale_by_learning_rate(learning_rate)
    return chain(*at.gradient, *parts, *at.plain, *at.direction, rate, *at.step)


def beside(
    owner: str, weight_decay: Any, learning_rate: Any
) -> tuple[Any, tuple[GradientTransformation, ...], tuple[GradientTransformation, ...]]:
    """The decay of a rule that finds its own rate: its number, and what stands before and behind.

    Args:
        owner: Name of the optimizer, for messages.
        weight_decay: Number, or what `decay` returns.
        learning_rate: What the rate that it finds is multiplied by.
    """
    if not is_described(weight_decay):
        return weight_decay, (), ()
    if weight_decay.coupling != "learning_rate":
        at = placed(weight_decay, None, learning_rate)
        return 0.0, at.gradient, at.step
    if not weight_decay.is_plain:
        raise ValueError(
            f"{owner}: a decay that is `cautious`, `towards` the start or only `where` something "
            "holds cannot have the coupling 'learning_rate' here, where the rate is found by the "
            f"rule itself, but is {weight_decay!r}. Give it another coupling."
        )
    return weight_decay.rate, (), ()
