"""Adadelta: a step in the units of the parameters, without a learning rate to choose."""

from typing import NamedTuple

from .._core.numerics import divide, root
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Decay, NonNegative, PerParamReal
from .moments import mean_square


class ScaleByAdaDeltaState(NamedTuple):
    """Mean of the squared gradient, mean of the squared update."""

    e_g: PerParamReal
    e_x: PerParamReal


def _average_square(g, state, p, h):
    return state._replace(e_g=mean_square(state.e_g, g, h.rho, h.one_minus_rho))


def _adadelta_step(g, state, p, h):
    u = divide(root(state.e_x + h.eps), root(state.e_g + h.eps)) * g
    return u, state._replace(e_x=mean_square(state.e_x, u, h.rho, h.one_minus_rho))


_ADADELTA = Rule(_adadelta_step, state=ScaleByAdaDeltaState, accumulate=_average_square)


@transformation
def scale_by_adadelta(rho: Decay = 0.9, eps: NonNegative = 1e-6) -> GradientTransformation:
    """Multiply the gradient by the root mean square of past updates over that of gradients.

    For each array g, with s = x = 0 before:

        s = rho s + (1 - rho) |g|^2
        u = sqrt(x + eps) / sqrt(s + eps) g
        x = rho x + (1 - rho) |u|^2

    The u of a step enters x only for the next step.

    Shapes: s and x (fields `e_g` and `e_x`) are shaped like g.
    Units: u is in units of the parameters, as far as eps does not matter: the learning rate is 1.

    Args:
        rho: Decay of both means, in [0, 1). The paper has 0.95.
        eps: Added under both roots, in [0, inf). It sets the size of the first steps,
            sqrt(eps / (1 - rho)); at 0 nothing ever moves.

    Returns:
        The transformation, with a `ScaleByAdaDeltaState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Zeiler 2012, https://arxiv.org/abs/1212.5701, Algorithm 1.
    """
    return lift(_ADADELTA, rho=as_decay(rho), eps=eps)
