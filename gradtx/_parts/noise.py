"""Noise: random numbers added to the gradient, fewer and fewer."""

from typing import Any, NamedTuple

import jax

from .._core.keys import as_key
from .._core.numerics import root, safe_increment
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import Clock, Key, NonNegative, NonNegativeInt, Real


class AddNoiseState(NamedTuple):
    """Step count, and the key that all noise is drawn from."""

    count: Clock
    rng_key: Key


@transformation
def add_noise(
    eta: NonNegative, gamma: Real, key: Any = None, *, seed: NonNegativeInt | None = None
) -> GradientTransformation:
    """Add normal noise whose variance falls with the step.

    For each array g, at step t = 1, 2, ...:

        u = g + sqrt(eta / t^gamma) * n, n standard normal

    The n of a leaf at a step depends on the key, the step and the path of the leaf alone: it is
    the same on one device and on many, and after a restart. (Inside `jax.shard_map` shards
    draw numbers of their own if it stands in `gradtx.sharding.sharded`, else all the same.)
    A complex n has |n|^2 = 1 on average.

    Shapes: any.
    Units: `eta` is in units of the squared gradient; `gamma` has none.

    Args:
        eta: Variance at the first step, in [0, inf).
        gamma: Exponent of the decay, a number; 0 keeps the variance.
        key: A key of `jax.random`, or an integer to make one from; None for 0: give another to
            every run that shall have noise of its own, and to a second one in a chain.
        seed: The same as an integer `key`; only one of them may be given.

    Returns:
        The transformation, with an `AddNoiseState`.

    Raises:
        ValueError: If both `key` and `seed` are given, or an argument is outside its range.
        TypeError: If `key` is neither a key nor an integer.

    Source: Neelakantan et al. 2015, https://arxiv.org/abs/1511.06807, section 3.
    Differs: t counts from 1, the paper's 1 + t from t = 0: the same series.
    """
    if key is not None and seed is not None:
        raise ValueError(
            f"add_noise: only one of `key` and `seed` may be given, but they are {key} and {seed}."
        )
    chosen = 0 if key is None and seed is None else seed if key is None else key
    return lift(
        _ADD_NOISE, eta=eta, gamma=gamma, start={"rng_key": as_key("add_noise: `key`", chosen)}
    )


def _noise_scale(state, h, extra):
    t = safe_increment(state.count)
    scale = root(h.eta * t.astype(h.eta.dtype) ** -h.gamma)
    key = jax.random.fold_in(state.rng_key, t)
    return {"scale": scale, "key": key}, state._replace(count=t)


def _add_scaled_noise(g, state, p, h):
    return g + h.scale * jax.random.normal(h.key, g.shape, g.dtype), state


_ADD_NOISE = Rule(_add_scaled_noise, state=AddNoiseState, shared=_noise_scale, random=True)
