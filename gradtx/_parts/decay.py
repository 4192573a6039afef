"""Weight decay: pull the parameters towards zero, or back to where they started."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._core.arguments import is_function
from .._core.masks import all_of
from .._core.numerics import divide
from .._core.paths import matching
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, LearningRate, PerParam
from .decay_value import DecayLike, WeightDecay, decay


class AddDecayedWeightsState(NamedTuple):
    """Number of updates so far: what the schedule of the weight decay sees next."""

    count: Count


class DecayTowardsStartState(NamedTuple):
    """Number of updates so far, and the parameters that `init` was given."""

    count: Count
    start: PerParam


def _with_decayed_weights(g, state, p, h):
    return g + h.weight_decay * p, state


def decaying_part(g: jax.Array, p: jax.Array, start: Any, h: Any) -> jax.Array:
    """What a decay takes its share of; 0 where a cautious one finds g leading the other way.

    Args:
        g: The direction of the step, to be subtracted.
        p: The parameter.
        start: Where `init` saw it; used if `h.towards` is "start".
        h: What the rule has: `cautious` and `towards`.
    """
    way = p - start if h.towards == "start" else p
    if not h.cautious:
        return way
    if jnp.iscomplexobj(way):
        agrees = jnp.real(jnp.conj(g) * way) >= 0
    else:
        agrees = jnp.sign(g) * jnp.sign(way) >= 0  # a product of the two may underflow
    return jnp.where(agrees, way, jnp.zeros_like(way))


def _start(state):
    return getattr(state, "start", None)


def _with_share_added(g, state, p, h):
    return g + h.weight_decay * decaying_part(g, p, _start(state), h), state


def _with_share_taken(g, state, p, h):
    share = h.weight_decay
    if h.coupling != "independent":
        share = share * divide(h.learning_rate, h.peak)  # a rate that is always 0 has the peak 0
    return g - share * decaying_part(-g, p, _start(state), h), state


def _keep_start(p, h):
    return {"start": p}


def _rules(update: Any) -> dict[str, Rule]:
    return {
        "number": Rule(update, params=True),
        "schedule": Rule(update, state=AddDecayedWeightsState, params=True),
        "start": Rule(update, state=DecayTowardsStartState, init=_keep_start, params=True),
    }


_PLAIN = _rules(_with_decayed_weights)
_ADDED = _rules(_with_share_added)
_TAKEN = _rules(_with_share_taken)


def _lifted(rules: dict[str, Rule], value: WeightDecay, mask: Any, **numbers: Any) -> Any:
    numbers = {"weight_decay": value.rate, **numbers}
    kind = "schedule" if any(is_function(x) for x in numbers.values()) else "number"
    static = {name: getattr(value, name) for name in ("coupling", "cautious", "towards")}
    rule = rules["start" if value.towards == "start" else kind]
    return lift(rule, where=mask_of(value.where, mask), static=static, **numbers)


def mask_of(where: Any, mask: Any = None) -> Any:
    """The mask of the parameters that are both where a decay says and in another mask, or None."""
    members = where if isinstance(where, tuple) and where else (where,)
    if all(isinstance(member, (str, re.Pattern)) for member in members):
        where = matching(where)
    return all_of(mask, where)


@transformation
def add_decayed_weights(weight_decay: DecayLike = 0.0, mask: Any = None) -> GradientTransformation:
    """Add a multiple of the parameters to the updates.

    For each array g and its parameter p, at count = 0, 1, 2, ... if the decay is a schedule:

        u = g + weight_decay p

    Its place in the chain decides what it is. First, it is the gradient of the penalty
    weight_decay |p|^2 / 2 (L2 regularisation), and passes through the moments. Last but for the
    learning rate, it is decoupled: each step shrinks p by the factor 1 - learning_rate
    weight_decay, whatever the gradients were. Behind the learning rate there is `shrink_weights`.

    Shapes: any.
    Units: `weight_decay` is in units of the updates it meets over those of the parameters.

    Args:
        weight_decay: Number in [0, inf), or a schedule of such; or what `decay` returns, with a
            coupling that fits the place: "gradient" or "learning_rate".
        mask: Which parameters decay: a tree of booleans with the structure of the parameters or
            of the top of it, or a function from the parameters to one; None for all. Biases and
            scales of normalisation are commonly left out.

    Returns:
        The transformation, with an `AddDecayedWeightsState` if the decay is a schedule or a
        `DecayTowardsStartState` if it is towards the start, else without state. Its update needs
        the parameters.

    Raises:
        ValueError: If `weight_decay` is negative or not finite, or has another coupling.

    Source: Loshchilov, Hutter 2017, https://arxiv.org/abs/1711.05101, Algorithms 1 and 2.
    Differs: in the paper's decoupled form the decay is not multiplied by the learning rate, only
        by the schedule; behind it in a chain it is multiplied by both.
    """
    if not isinstance(weight_decay, WeightDecay):
        rule = _PLAIN["schedule" if is_function(weight_decay) else "number"]
        return lift(rule, where=mask, weight_decay=weight_decay)
    if weight_decay.coupling not in ("gradient", "learning_rate"):
        raise ValueError(
            f"add_decayed_weights: the coupling {weight_decay.coupling!r} needs a place behind the "
            "learning rate. Give the decay to the optimizer, or to shrink_weights there."
        )
    return _lifted(_ADDED, weight_decay, mask)


@transformation
def shrink_weights(
    weight_decay: DecayLike, mask: Any = None, *, learning_rate: LearningRate | None = None
) -> GradientTransformation:
    """Shrink the parameters besides the updates: weight decay behind the learning rate.

    For each array g and its parameter p, at count = 0, 1, 2, ...

        u = g - weight_decay p                                  coupling="independent"
        u = g - weight_decay learning_rate / peak p             coupling="schedule"
        u = g - weight_decay learning_rate p                    coupling="learning_rate"

    It is what the optimizers put behind their steps for `weight_decay=decay(...)`.

    Shapes: any.
    Units: g and u are in units of the parameters.

    Args:
        weight_decay: What `decay` returns; a number or schedule is an independent decay.
        mask: Which parameters decay: a tree of booleans, a prefix of it, or a function from the
            parameters to one; None for all.
        learning_rate: That of the updates, for the couplings to it: number in [0, inf), or a
            schedule of such.

    Returns:
        The transformation, with an `AddDecayedWeightsState` if a number is a schedule or a
        `DecayTowardsStartState` if it is towards the start, else without state. Its update needs
        the parameters.

    Raises:
        ValueError: If an argument is outside its range, the coupling is "gradient", the learning
            rate is missing where the decay is coupled to it, or its peak is not known.
    """
    if not isinstance(weight_decay, WeightDecay):
        weight_decay = decay(weight_decay, coupling="independent")
    coupling = weight_decay.coupling
    if coupling == "gradient":
        raise ValueError(
            "shrink_weights: the coupling must not be 'gradient': behind the step there is none. "
            "Use add_decayed_weights, first in the chain."
        )
    if coupling == "independent":
        return _lifted(_TAKEN, weight_decay, mask)
    if learning_rate is None:
        raise ValueError(
            f"shrink_weights: the coupling {coupling!r} needs `learning_rate`, that of the updates."
        )
    peak = 1.0 if coupling == "learning_rate" else _peak(weight_decay, learning_rate)
    return _lifted(_TAKEN, weight_decay, mask, learning_rate=learning_rate, peak=peak)


def _peak(weight_decay: WeightDecay, learning_rate: Any) -> Any:
    """The largest learning rate: of one that is a number, also a traced one, itself."""
    if weight_decay.peak is not None:
        return weight_decay.peak
    made_of = getattr(getattr(learning_rate, "description", None), "arguments", {})
    peak = made_of.get("peak_value", learning_rate)
    if is_function(peak):
        raise ValueError(
            "decay: with the coupling 'schedule' the largest learning rate must be known, but the "
            f"learning rate is the function {learning_rate!r}. Give decay(..., peak=...)."
        )
    return peak
