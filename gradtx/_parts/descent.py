"""Where weight decay stands in an optimizer: one answer for all of them."""

import dataclasses
from typing import Any, NamedTuple

import jax

from .._core.arguments import as_flag, is_function
from .._core.combine import chain
from .._core.transformation import GradientTransformation
from .decay import add_decayed_weights, mask_of, shrink_weights
from .decay_value import WeightDecay, decay
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

    @property
    def any(self) -> bool:
        """Whether one of them is not empty."""
        return any(self)


def is_described(weight_decay: Any) -> bool:
    """Whether a decay says what it means: else it means what the optimizer's source has."""
    return isinstance(weight_decay, WeightDecay)


def decoupled(weight_decay: Any) -> Any:
    """A decay that says what it means: a number as the decoupled one, times the learning rate."""
    if weight_decay is None or is_described(weight_decay):
        return weight_decay
    return decay(weight_decay)


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


class Found(NamedTuple):
    """The decay of a rule that finds its own learning rate.

    Attributes:
        rate: What the rule multiplies by the rate that it finds.
        static: What the rule is told of the way: for `decaying_part`.
        where: What the rule is told of each leaf: `Decaying`, or None if all decay.
        around: What stands before and behind the rule.
    """

    rate: Any
    static: dict[str, Any]
    where: Any = None
    around: Places = Places()


def found(weight_decay: Any, learning_rate: Any) -> Found:
    """The decay of a rule that finds its own learning rate.

    Args:
        weight_decay: Number, or what `decay` returns.
        learning_rate: What the rate that it finds is multiplied by.
    """
    plain = {"cautious": False, "towards": "zero"}
    if not is_described(weight_decay):
        return Found(weight_decay, plain)
    if weight_decay.coupling != "learning_rate":
        return Found(0.0, plain, around=placed(weight_decay, None, learning_rate))
    static = {name: getattr(weight_decay, name) for name in plain}
    where = None if weight_decay.where is None else Decaying(mask_of(weight_decay.where))
    return Found(weight_decay.rate, static, where)


@dataclasses.dataclass(frozen=True, eq=False)
class Decaying:
    """What a rule is told of each leaf if only some decay: params -> tree of "yes" and "no"."""

    mask: Any

    def __call__(self, params: Any) -> Any:
        mask = self.mask(params) if is_function(self.mask) else self.mask
        return jax.tree.map(self._told, mask, is_leaf=lambda x: x is None)

    @staticmethod
    def _told(flag: Any) -> str:
        if flag is None:  # the place of a parameter that is None has one: else the rule raises
            return "none"
        if as_flag(flag) is None:
            raise TypeError(
                "decay: `where` must be a pattern, a tree of booleans, or a function of the "
                f"parameters to one, but at a leaf it is {flag!r}."
            )
        return "yes" if as_flag(flag) else "no"
