"""Hold updates back and emit their sum now and then."""

from typing import NamedTuple

import jax.numpy as jnp

from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import PerParam, PositiveInt, Tally


class ApplyEvery(NamedTuple):
    """How many updates were held back, and their sum."""

    count: Tally
    grad_acc: PerParam


def _place_in_group(state, h, extra):
    k = h.k.astype(state.count.dtype)
    place = state.count % k
    return {"first": place == 0, "last": place == k - 1}, state._replace(count=(place + 1) % k)


def _sum_of_group(g, state, p, h):
    # Selected, not multiplied by 0: what was inf or nan in one group must not reach the next.
    total = jnp.where(h.first != 0, g, state.grad_acc + g)
    return jnp.where(h.last != 0, total, 0), state._replace(grad_acc=total)


_APPLY_EVERY = Rule(_sum_of_group, state=ApplyEvery, shared=_place_in_group)


@transformation
def apply_every(k: PositiveInt = 1) -> GradientTransformation:
    """Add up the updates and let the sum through at every k-th step.

    For each array g, at step t = 1, 2, ...:

        u = g_(t-k+1) + ... + g_t    where k divides t, 0 elsewhere

    What stands before and after it in a chain still runs at every step, with zeros behind it: a
    momentum behind it decays k times as fast, and a count advances. `MultiSteps` runs what it
    wraps at every k-th step only, on the mean.

    Shapes: the sum is shaped like g.
    Units: those of g.

    Args:
        k: Number of steps in a group, at least 1; at 1, u = g.

    Returns:
        The transformation, with an `ApplyEvery` state.

    Raises:
        ValueError: If `k` is less than 1.

    Differs: an inf or nan is gone with its group; multiplied by 0, as in Optax, it would stay
        for ever.
    """
    return lift(_APPLY_EVERY, k=k)
