"""AdaBelief: the mean gradient over the root of the mean square of what it did not foresee."""

from typing import NamedTuple

from .._core.numerics import average, divide, root
from .._core.rule import Rule, as_decay
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Count, Decay, NonNegative, PerParam, PerParamReal
from .moments import mean_square
from .pair import corrected_mean, next_biases


class ScaleByBeliefState(NamedTuple):
    """Step count, mean of the gradient, mean square of its deviation from that mean."""

    count: Count
    mu: PerParam
    nu: PerParamReal


def _average_mean_and_surprise(g, state, p, h):
    mu = average(state.mu, g, h.b1, h.one_minus_b1)
    nu = mean_square(state.nu, g - mu, h.b2, h.one_minus_b2) + h.eps_root
    return state._replace(mu=mu, nu=nu)


def _belief_direction(g, state, p, h):
    return divide(corrected_mean(g, state.mu, h), root(state.nu / h.nu_bias) + h.eps), state


_BELIEF = Rule(
    _belief_direction,
    state=ScaleByBeliefState,
    shared=next_biases,
    accumulate=_average_mean_and_surprise,
)


@transformation
def scale_by_belief(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Divide the mean gradient by the root mean square of the gradient's deviation from it.

    For each array g, at step t = 1, 2, ..., with mu = nu = 0 before:

        mu = b1 mu + (1 - b1) g
        nu = b2 nu + (1 - b2) |g - mu|^2 + eps_root
        u = (mu / (1 - b1^t)) / (sqrt(nu / (1 - b2^t)) + eps)

    and with `nesterov` the numerator b1 mu / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t).

    Shapes: mu and nu are shaped like g: the state costs two copies of the parameters.
    Units: u has none. Where the gradients hardly change, it is large: a constant gradient makes
        it grow as far as `eps_root` allows.

    Args:
        b1: Decay of the mean, in [0, 1).
        b2: Decay of the mean square, in [0, 1).
        eps: Added to the root, in [0, inf), in units of the gradient.
        eps_root: Added to nu at every step, in [0, inf), in units of the squared gradient; what
            is gathered in nu tends to eps_root / (1 - b2).
        nesterov: Whether to use Nesterov's momentum.

    Returns:
        The transformation, with a `ScaleByBeliefState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Zhuang et al. 2020, https://arxiv.org/abs/2010.07468, Algorithm 2.
    Differs: the paper has one epsilon for both places. Where the denominator is 0, u is 0.
    """
    return lift(
        _BELIEF,
        b1=as_decay(b1),
        b2=as_decay(b2),
        eps=eps,
        eps_root=eps_root,
        static={"nesterov": nesterov},
    )
