"""Signs: keep the direction of each entry, drop its size."""

from .._core.numerics import sign
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation


@transformation
def scale_by_sign() -> GradientTransformation:
    """Replace each entry by its sign.

    For each entry g:

        u = g / |g|, and 0 where g is 0

    Shapes: any.
    Units: u has none, so the learning rate is the distance a parameter moves in one step.

    Returns:
        The transformation, without state.

    Source: Bernstein, Wang, Azizzadenesheli, Anandkumar 2018, https://arxiv.org/abs/1802.04434.
    """
    return lift(_SCALE_BY_SIGN)


def _sign_of_gradient(g, state, p, h):
    return sign(g), state


_SCALE_BY_SIGN = Rule(_sign_of_gradient)
