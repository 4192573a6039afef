"""Rprop: a step size for each entry, which grows while the gradient keeps its sign."""

from typing import Annotated, NamedTuple

import jax.numpy as jnp

from .._core.numerics import sign
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Fraction, Interval, NonNegative, Numeric, PerParam, PerParamReal
from .moments import filled_like

AtLeastOne = Annotated[Numeric, Interval(1.0)]


class ScaleByRpropState(NamedTuple):
    """Step size of each entry, and the update before, 0 where the sign had changed."""

    step_sizes: PerParamReal
    prev_updates: PerParam


def _initial_step_sizes(p, h):
    return {"step_sizes": filled_like(p, h.learning_rate)}


def _rprop_step(g, state, p, h):
    agreement = jnp.real(jnp.conj(sign(state.prev_updates)) * sign(g))
    factor = jnp.where(agreement > 0, h.eta_plus, h.eta_minus)
    changed = jnp.clip(state.step_sizes * factor, h.min_step_size, h.max_step_size)
    step_sizes = jnp.where(agreement == 0, state.step_sizes, changed)
    u = jnp.where(agreement < 0, jnp.zeros_like(g), step_sizes * sign(g))
    return u, ScaleByRpropState(step_sizes=step_sizes, prev_updates=u)


_RPROP = Rule(_rprop_step, state=ScaleByRpropState, init=_initial_step_sizes)


@transformation
def scale_by_rprop(
    learning_rate: NonNegative,
    eta_minus: Fraction = 0.5,
    eta_plus: AtLeastOne = 1.2,
    min_step_size: NonNegative = 1e-6,
    max_step_size: NonNegative = 50.0,
) -> GradientTransformation:
    """Move every entry by a step size of its own, in the direction of the gradient's sign.

    For each entry g, with step = learning_rate and u = 0 before, and a = sign(u g) for the u
    before:

        step = min(step eta_plus, max_step_size)     if a > 0
        step = max(step eta_minus, min_step_size)    if a < 0
        u = 0 if a < 0 else step sign(g)

    After a change of sign the entry waits one step, and the step after leaves the size as it is.

    Shapes: the state holds two copies of the parameters.
    Units: u is in units of the parameters, so the gradient's scale does not matter. It is meant
        for gradients over all data: the sign of a noisy gradient changes by chance.

    Args:
        learning_rate: First step size, in [0, inf). No schedule: the sizes find their own way.
        eta_minus: Factor after a change of sign, in [0, 1].
        eta_plus: Factor while the sign stays, in [1, inf).
        min_step_size: Smallest step size, in [0, inf).
        max_step_size: Largest step size, in [0, inf).

    Returns:
        The transformation, with a `ScaleByRpropState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Riedmiller, Braun 1993, https://doi.org/10.1109/ICNN.1993.298623.
    Differs: after a change of sign the paper takes the last step back; as in PyTorch the entry
        stays where it is. Unlike Optax's, the update is that of this gradient, not of the one
        before. A complex entry turns in the direction of its phase, and a is the sign of the
        real part of conj(u) g.
    """
    return lift(
        _RPROP,
        learning_rate=learning_rate,
        eta_minus=eta_minus,
        eta_plus=eta_plus,
        min_step_size=min_step_size,
        max_step_size=max_step_size,
    )
