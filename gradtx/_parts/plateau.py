"""Scale down when a value has stopped falling."""

from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._core.arguments import concrete_number
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import (
    Fraction,
    Interval,
    NonNegative,
    NonNegativeInt,
    Numeric,
    PositiveInt,
    Scalar,
    Tally,
)


class ReduceLROnPlateauState(NamedTuple):
    """The factor, the best mean so far, three counts, and the mean of the values so far.

    `plateau_count` counts means without improvement, `cooldown_count` those still to be let pass,
    `count` the values in the present mean `avg_value`.
    """

    scale: Scalar
    best_value: Scalar
    plateau_count: Tally
    cooldown_count: Tally
    count: Tally
    avg_value: Scalar


def _watch_value(state, h, extra):
    if extra.value.ndim:
        raise ValueError(
            "reduce_on_plateau: `value` must be one number, such as the loss, but has the shape "
            f"{extra.value.shape}. Is a mean over the batch missing?"
        )
    dtype, whole = h.factor.dtype, state.count.dtype
    scale, best, mean = (x.astype(dtype) for x in (state.scale, state.best_value, state.avg_value))
    count = state.count + 1
    mean = (state.count.astype(dtype) * mean + extra.value.astype(dtype)) / count.astype(dtype)
    full = count >= h.accumulation_size.astype(whole)

    # The first mean is one against no other: inf - rtol inf would be nan.
    margin = jnp.where(jnp.isinf(best), 0, h.rtol * jnp.abs(best) + h.atol)
    improved = mean < best - margin
    cooling = state.cooldown_count > 0
    plateau = jnp.where(improved | cooling, 0, state.plateau_count + 1)
    reduce = ~improved & ~cooling & (plateau >= h.patience.astype(whole))
    cooldown = jnp.where(cooling, state.cooldown_count - 1, 0)
    new = state._replace(
        scale=jnp.maximum(jnp.where(reduce, scale * h.factor, scale), h.min_scale),
        best_value=jnp.where(improved, mean, best),
        plateau_count=jnp.where(reduce, 0, plateau),
        cooldown_count=jnp.where(reduce, h.cooldown.astype(whole), cooldown),
        count=jnp.zeros_like(count),
        avg_value=jnp.zeros_like(mean),
    )
    kept = state._replace(count=count, avg_value=mean, scale=scale, best_value=best)
    state = type(state)(*(jnp.where(full, n, k) for n, k in zip(new, kept, strict=True)))
    return {"scale": state.scale}, state


def _scaled(g, state, p, h):
    return g * h.scale, state


_REDUCE_ON_PLATEAU = Rule(
    _scaled,
    state=ReduceLROnPlateauState,
    shared=_watch_value,
    reports=(("plateau_scale", "scale"),),
    extras=("value",),
)


@transformation
def reduce_on_plateau(
    factor: Annotated[Numeric, Interval(0.0, 1.0, open_low=True, open_high=True)] = 0.1,
    patience: NonNegativeInt = 10,
    rtol: Fraction = 1e-4,
    atol: NonNegative = 0.0,
    cooldown: NonNegativeInt = 0,
    accumulation_size: PositiveInt = 1,
    min_scale: NonNegative = 0.0,
) -> GradientTransformation:
    """Scale the updates down when a value, the loss or another metric, has stopped falling.

    With v the mean of the last `accumulation_size` values, best = inf and scale = 1 before, each
    time such a mean is full:

        v improves on best if v < best - (rtol |best| + atol);  then best = v
        after `patience` means in a row that do not improve:
            scale = max(factor scale, min_scale)

    and for each array at every step u = scale g. After a reduction `cooldown` means pass without
    being counted as bad ones, though they may still be the best. `value` is an extra argument:

        updates, state = tx.update(grads, state, params, value=loss)

    Behind an optimizer, `chain(adam(1e-3), reduce_on_plateau())`, it scales the learning rate. Give
    the same value on all devices.

    Shapes: any; `value` is one number.
    Units: those of g; `atol` is in units of the value.

    Args:
        factor: What scale is multiplied by, in (0, 1).
        patience: Number of means without improvement after which scale falls; 0 is as 1.
        rtol: Relative improvement that counts as one, in [0, 1].
        atol: Absolute improvement that counts as one, in [0, inf). One of the two must be above 0.
        cooldown: Number of means after a reduction that are not counted, 0 or more.
        accumulation_size: Number of values in a mean, at least 1. More than 1 is for losses of
            small batches.
        min_scale: Smallest scale, in [0, inf).

    Returns:
        The transformation, with a `ReduceLROnPlateauState`. Its update needs the extra argument
        `value`.

    Raises:
        ValueError: If an argument is outside its range or both tolerances are 0; on update, if
            `value` is not one number.
        TypeError: On update, if `value` is missing.

    Differs: from Optax, where a negative value improves on best by getting worse than it by less
        than rtol |best|, rtol = 1 never sees an improvement, and patience = 0 never reduces.
    """
    if concrete_number(rtol) == 0 and concrete_number(atol) == 0:
        raise ValueError(
            "reduce_on_plateau: `rtol` or `atol` must be above 0, but both are 0: every rounding "
            "would be an improvement."
        )
    return lift(
        _REDUCE_ON_PLATEAU,
        start={"scale": np.ones([]), "best_value": np.array(np.inf), "avg_value": np.zeros([])},
        factor=factor,
        patience=patience,
        rtol=rtol,
        atol=atol,
        cooldown=cooldown,
        accumulation_size=accumulation_size,
        min_scale=min_scale,
    )
