"""The mean over replicas, as a transformation."""

from typing import Any

from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ._axes import axis_names, axis_size, mean_of


@transformation
def mean_over(axis: Any) -> GradientTransformation:
    """Replace each gradient by its mean over the replicas.

    For each array g_r of replica r = 1, ..., n:

        u = (g_1 + ... + g_n) / n

    Shapes: any.
    Units: those of g.

    Args:
        axis: Name of the axis that the replicas are along, or a tuple of names. It must be
            bound by `jax.shard_map` or `jax.vmap(..., axis_name=axis)` where update is called.

    Returns:
        The transformation, without state. It sends each array in float32 or wider.

    Raises:
        TypeError: If `axis` is no name.
        ValueError: By update, if the axis is not bound.
    """
    return lift(_MEAN, static={"axis": axis_names("mean_over", axis)})


def _mean(g, state, p, h):
    axis_size("mean_over", h.axis)
    return mean_of(g, h.axis), state


_MEAN = Rule(_mean)
