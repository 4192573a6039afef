"""Error feedback: what an exchange could not send goes along with the next gradient."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..typing import PerParam
from ._axes import explicit_axes, on_shards, spec_of


class ErrorFeedbackState(NamedTuple):
    """What was not sent yet, each replica's own."""

    residual: PerParam


def with_feedback(exchange: Callable, g: jax.Array, residual: jax.Array) -> tuple:
    """What the replicas apply, and what this one keeps back.

    Of an array that is split over explicit mesh axes the shards are exchanged one by one, as they
    are inside a `shard_map` over all axes.

    Args:
        exchange: real array -> (the array that all replicas agree on, what it lacks of this
            replica's), such that the mean of the lacking is what it lacks of the mean.
        g: Gradient, real or complex.
        residual: What was kept back before.
    """
    x = _as_real(g + residual)
    split = explicit_axes(x)
    u, rest = on_shards(exchange, split, (x,), (spec_of(split),), (spec_of(split),) * 2)
    return _as_given(u, g), kept_back(_as_given(rest, g), residual)


def kept_back(rest: jax.Array, residual: jax.Array) -> jax.Array:
    """The new residual: the rest, but for entries that are no finite numbers.

    Those have not been sent, nor has the gradient been any use: they keep the residual that they
    had, so that one bad gradient does not stay in the state.

    Args:
        rest: What was not sent of gradient and residual together.
        residual: What was kept back before.
    """
    return jnp.where(jnp.isfinite(rest), rest, residual)


def _as_real(x: jax.Array) -> jax.Array:
    return jnp.stack([lax.real(x), lax.imag(x)], axis=-1) if jnp.iscomplexobj(x) else x


def _as_given(x: jax.Array, g: jax.Array) -> jax.Array:
    return lax.complex(x[..., 0], x[..., 1]) if jnp.iscomplexobj(g) else x
