"""Lion: move by the sign of an interpolated momentum."""

from typing import Literal, NamedTuple

import jax.numpy as jnp

from .._core.numerics import average, magnitude, sign
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, DType, PerParam, Positive


class ScaleByLionState(NamedTuple):
    """Step count and momentum."""

    count: Count
    mu: PerParam


def _lion_direction(g, state, p, h):
    x = average(state.mu, g, h.b1, h.one_minus_b1)
    return _SQUASH[h.mode](x, h), state._replace(mu=average(state.mu, g, h.b2, h.one_minus_b2))


def _hard(x, h):
    return sign(x)


def _smooth(x, h):
    if jnp.iscomplexobj(x):
        return sign(x) * jnp.tanh(h.smooth_beta * magnitude(x))
    return jnp.tanh(h.smooth_beta * x)


def _refined(x, h):
    return jnp.where(magnitude(x) < 1, x, sign(x))


_SQUASH = {"hard": _hard, "smooth": _smooth, "refined": _refined}
_LION = Rule(_lion_direction, state=ScaleByLionState)


@transformation
def scale_by_lion(
    b1: Decay = 0.9,
    b2: Decay = 0.99,
    mu_dtype: DType | None = None,
    *,
    mode: Literal["hard", "smooth", "refined"] = "hard",
    smooth_beta: Positive = 1.0,
) -> GradientTransformation:
    """Replace the gradient by the sign of its interpolation with the momentum.

    For each array g, with mu = 0 before:

        x = b1 mu + (1 - b1) g
        u = sign(x)
        mu = b2 mu + (1 - b2) g

    In mode "smooth" u = tanh(smooth_beta x), in mode "refined" u = x where |x| < 1, else sign(x).

    Shapes: mu is shaped like g: the state costs one copy of the parameters.
    Units: u has none in mode "hard", so the learning rate is the distance a parameter moves in
        one step: a tenth to a third of Adam's suits. In the other modes small x are in units of
        the gradient.

    Args:
        b1: Weight of the momentum in the update, in [0, 1).
        b2: Decay of the momentum, in [0, 1).
        mu_dtype: Dtype in which mu is stored; None for float32 or wider.
        mode: "hard", "smooth" or "refined".
        smooth_beta: Slope of tanh at 0 in mode "smooth", in (0, inf).

    Returns:
        The transformation, with a `ScaleByLionState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Chen et al. 2023, https://arxiv.org/abs/2302.06675, Program 1.
    Differs: the paper knows mode "hard" only; the others are Optax's. Weight decay is a part of
        its own.
    """
    if mode not in _SQUASH:
        modes = ", ".join(repr(m) for m in _SQUASH)
        raise ValueError(f"scale_by_lion: `mode` must be one of {modes}, but is {mode!r}.")
    return lift(
        _LION,
        b1=as_decay(b1),
        b2=as_decay(b2),
        smooth_beta=smooth_beta,
        static={"mode": mode},
        dtypes={"mu": mu_dtype},
    )
