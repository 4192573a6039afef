"""Adagrad: the gradient over the root of the sum of all its squares."""

from typing import NamedTuple

from .._core.numerics import divide
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import NonNegative, PerParamReal
from .moments import filled_like, root_with_eps, sum_of_squares


class ScaleByRssState(NamedTuple):
    """Sum of the squared gradients."""

    sum_of_squares: PerParamReal


def _filled(p, h):
    return {"sum_of_squares": filled_like(p, h.initial_accumulator_value)}


def _add_square(g, state, p, h):
    return state._replace(sum_of_squares=sum_of_squares(state.sum_of_squares, g))


def _over_rss(g, state, p, h):
    return divide(g, root_with_eps(state.sum_of_squares, h.eps, h.eps_in_sqrt)), state


_RSS = Rule(_over_rss, state=ScaleByRssState, init=_filled, accumulate=_add_square)


@transformation
def scale_by_rss(
    initial_accumulator_value: NonNegative = 0.1,
    eps: NonNegative = 1e-7,
    *,
    eps_in_sqrt: bool = True,
) -> GradientTransformation:
    """Divide by the root of the sum of all squared gradients.

    For each array g, with s = initial_accumulator_value before:

        s = s + |g|^2
        u = g / sqrt(s + eps)        or g / (sqrt(s) + eps) without `eps_in_sqrt`

    Shapes: s is shaped like g.
    Units: u has none. For a constant gradient its size falls like 1 / sqrt(t).

    Args:
        initial_accumulator_value: Start of s, in [0, inf), in units of the squared gradient.
            The paper has 0.
        eps: In [0, inf); under the root in units of the squared gradient, outside in units of
            the gradient.
        eps_in_sqrt: Whether eps is added under the root. PyTorch adds it outside.

    Returns:
        The transformation, with a `ScaleByRssState`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Duchi, Hazan, Singer 2011, https://jmlr.org/papers/v12/duchi11a.html, the diagonal form.
    Differs: where s is 0, u is 0, also if eps is 0.
    """
    return lift(
        _RSS,
        initial_accumulator_value=initial_accumulator_value,
        eps=eps,
        static={"eps_in_sqrt": eps_in_sqrt},
    )
