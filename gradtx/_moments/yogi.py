"""Yogi: Adam whose mean square moves by steps of its own size, not towards the square."""

import jax.numpy as jnp

from .._core.numerics import abs2, average, divide, root
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Decay, NonNegative
from .adam import ScaleByAdamState
from .moments import filled_like
from .pair import next_biases


def _initial_mean_square(p, h):
    return {"nu": filled_like(p, h.initial_accumulator_value)}


def _move_moments(g, state, p, h):
    square = abs2(g)
    return state._replace(
        mu=average(state.mu, g, h.b1, h.one_minus_b1),
        nu=state.nu - h.one_minus_b2 * jnp.sign(state.nu - square) * square,
    )


def _yogi_direction(g, state, p, h):
    mu, nu = state.mu, state.nu
    if h.bias_correction:
        mu, nu = mu / h.mu_bias, nu / h.nu_bias
    return divide(mu, root(nu + h.eps_root) + h.eps), state


_YOGI = Rule(
    _yogi_direction,
    state=ScaleByAdamState,
    init=_initial_mean_square,
    shared=next_biases,
    accumulate=_move_moments,
)


@transformation
def scale_by_yogi(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-3,
    eps_root: NonNegative = 0.0,
    initial_accumulator_value: NonNegative = 1e-6,
    *,
    bias_correction: bool = False,
) -> GradientTransformation:
    """Divide a mean of the gradient by the root of a mean square that changes slowly.

    For each array g, at step t = 1, 2, ..., with mu = 0 and nu = initial_accumulator_value
    before:

        mu = b1 mu + (1 - b1) g
        nu = nu - (1 - b2) sign(nu - |g|^2) |g|^2
        u = mu / (sqrt(nu + eps_root) + eps)

    and with `bias_correction` u = (mu / (1 - b1^t)) / (sqrt(nu / (1 - b2^t) + eps_root) + eps).
    Once gradients get small, nu shrinks by their square at most, so the effective rate rises
    slower than Adam's.

    Shapes: mu and nu are shaped like g: the state costs two copies of the parameters.
    Units: u has none, so the learning rate is the distance a parameter moves in one step.

    Args:
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added under the root, in [0, inf), in units of the squared gradient.
        initial_accumulator_value: Where nu starts, in [0, inf), in units of the squared gradient.
        bias_correction: Whether to divide both moments by the weight they have gathered, as
            Optax does. Without it the first step has the size (1 - b1) / sqrt(1 - b2) of the
            learning rate, 3.2 times as much for the defaults.

    Returns:
        The transformation, with a `ScaleByAdamState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Zaheer, Reddi, Sachan, Kale, Kumar 2018,
        https://papers.nips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html,
        Algorithm 2.
    Differs: from Optax, in which both moments are corrected and mu does not start at 0: here a
        parameter without gradients does not move.
    """
    return lift(
        _YOGI,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        eps_root=eps_root,
        initial_accumulator_value=initial_accumulator_value,
        static={"bias_correction": bias_correction},
    )
