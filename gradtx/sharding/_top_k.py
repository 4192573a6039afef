"""A mean over replicas of the largest entries, with error feedback."""

import math
from typing import Annotated

import jax.numpy as jnp
from jax import lax

from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Interval
from ._axes import axis_size, gathered, mean_of, one_axis
from ._feedback import ErrorFeedbackState, with_feedback


@transformation
def top_k_mean_over(
    axis: str, fraction: Annotated[float, Interval(0.0, 1.0, open_low=True)]
) -> GradientTransformation:
    """Replace each gradient by the mean over the replicas of its largest entries.

    For each array g_r of replica r = 1, ..., n, with the residual e_r = 0 before, where top
    keeps the k = ceil(fraction N) of N entries that are largest in absolute value:

        x_r = g_r + e_r
        u = mean over r of top(x_r)
        e_r = x_r - top(x_r)

    Each replica sends its k entries and their places to all, n k numbers twice. That is less
    than sending the array only while n fraction < 1: else the array is sent.

    Shapes: any. The residual is shaped like g, in float32 or wider, different on each replica.
        Of an array that is split over other mesh axes each shard sends its own largest entries.
    Units: those of g.

    Args:
        axis: Name of the axis that the replicas are along. It must be bound by `jax.shard_map`
            or `jax.vmap(..., axis_name=axis)` where update is called; the bytes saved are those
            of `shard_map`, under `vmap` over devices XLA decides what is sent, and
            the mesh axis must be an automatic one.
        fraction: Share of the entries that are sent, a Python number in (0, 1].

    Returns:
        The transformation, with an `ErrorFeedbackState`. The update is the same on all replicas,
        bit for bit. A nan or inf counts as large: it is sent.

    Raises:
        TypeError: If `axis` is no name.
        ValueError: If `fraction` is outside its range; by update, if the axis is not bound.

    Source: Stich, Cordonnier, Jaggi 2018, https://arxiv.org/abs/1809.07599, Algorithm 1.
    Differs: what is sent is the gradient, not the learning rate times it.
    """
    name = one_axis("top_k_mean_over", axis)
    return lift(_TOP_K, static={"axis": name, "fraction": float(fraction)})


def _mean_of_largest(g, state, p, h):
    replicas = axis_size("top_k_mean_over", (h.axis,))

    def exchange(x):
        k = math.ceil(h.fraction * x.size)
        if replicas == 1 or replicas * k >= x.size:
            return mean_of(x, (h.axis,)), jnp.zeros_like(x)
        return _exchange(x, h.axis, replicas, k)

    u, residual = with_feedback(exchange, g, state.residual)
    return u, ErrorFeedbackState(residual)


def _exchange(x, name, replicas, k):
    flat = x.reshape(-1)
    size = jnp.abs(flat)
    _, places = lax.top_k(jnp.where(jnp.isnan(size), jnp.inf, size), k)
    values = flat[places]
    rest = flat.at[places].set(0, unique_indices=True)

    def add(total, sent):
        # One replica after the other: all of them add in the same order.
        values, places = sent
        return total.at[places].add(values, unique_indices=True), None

    sent = gathered(values, name), gathered(places, name)
    total, _ = lax.scan(add, jnp.zeros_like(sent[0], shape=flat.shape), sent)
    return (total / replicas).reshape(x.shape), rest.reshape(x.shape)


_TOP_K = Rule(_mean_of_largest, state=ErrorFeedbackState)
