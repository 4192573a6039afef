"""Polyak's step: as long as the loss says that the minimum is away."""

from typing import Literal

import jax.numpy as jnp

from .._core.numerics import divide
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from .._parts.norms import measure_square_norm, scale_by_factor
from ..typing import NonNegative, Real

_VARIANTS = ("sps", "sps+")


def _gap_to_minimum(state, h, extra):
    if extra.value.ndim:
        raise ValueError(
            "scale_by_polyak: `value` must be one number, the loss at the parameters, but has the "
            f"shape {extra.value.shape}. Is a mean over the batch missing?"
        )
    gap = extra.value.astype(h.f_min.dtype) - h.f_min
    return {"gap": jnp.maximum(gap, 0) if h.variant == "sps+" else gap}, state


def _polyak_step(totals, state, h):
    step = divide(h.gap, totals.square_norm + h.eps)
    return {"factor": jnp.minimum(step, h.max_learning_rate)}, state


_POLYAK = Rule(
    scale_by_factor,
    shared=_gap_to_minimum,
    measure=measure_square_norm,
    conclude=_polyak_step,
    extras=("value",),
    reports=(("step_size", "factor"),),
)


@transformation
def scale_by_polyak(
    f_min: Real = 0.0,
    max_learning_rate: NonNegative = 1.0,
    eps: NonNegative = 0.0,
    variant: Literal["sps", "sps+"] = "sps",
) -> GradientTransformation:
    """Scale by the step that would reach the minimum if the loss were linear.

    With `value` the loss at the parameters, an extra argument of `update`, and sums over all
    arrays:

        u = min((value - f_min) / (sum |g|^2 + eps), max_learning_rate) g

    In variant "sps+" value - f_min is taken as 0 where it is negative. u is 0 where g is 0.

    Shapes: any; `value` is one number.
    Units: u is in units of the parameters.

    Args:
        f_min: Smallest value of the loss, or a lower bound of it, a number.
        max_learning_rate: Largest factor, in [0, inf).
        eps: Added to the squared norm, in [0, inf).
        variant: "sps", or "sps+" which never ascends.

    Returns:
        The transformation, without state. Its update needs the extra argument `value`.

    Raises:
        ValueError: If an argument is outside its range, or on update if `value` is not one number.
        TypeError: On update, if `value` is missing.

    Source: Loizou, Vaswani, Laradji, Lacoste-Julien 2020, https://arxiv.org/abs/2002.10542,
        with c = 1; "sps+" Garrigos, Gower, Schaipp 2023, https://arxiv.org/abs/2307.14528.
    """
    if variant not in _VARIANTS:
        raise ValueError(f"scale_by_polyak: `variant` must be 'sps' or 'sps+', but is {variant!r}.")
    return lift(
        _POLYAK,
        f_min=f_min,
        max_learning_rate=max_learning_rate,
        eps=eps,
        static={"variant": variant},
    )
