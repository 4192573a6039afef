"""Centring: take the mean out of the gradient of each unit."""

from .._core.reduce import array_mean
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation


@transformation
def centralize() -> GradientTransformation:
    """Subtract from the gradient its mean over all axes but the first.

    For each array g with at least two axes:

        u = g - mean(g, all axes but the first)

    Arrays with fewer axes pass unchanged.

    Shapes: any.
    Units: u has those of g.

    Returns:
        The transformation, without state.

    Source: Yong, Huang, Hua, Zhang 2020, https://arxiv.org/abs/2004.01461, equation 1.
    Differs: the paper centres the weights of each output. In PyTorch's layout that is the first
        axis, as here; Flax's kernels have their outputs on the last.
    """
    return lift(_CENTRALIZE)


def _subtract_mean(g, state, p, h):
    if g.ndim < 2:
        return g, state
    return g - array_mean(g, axis=tuple(range(1, g.ndim)), keepdims=True), state


_CENTRALIZE = Rule(_subtract_mean)
