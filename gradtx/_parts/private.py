"""Differential privacy: a mean of clipped gradients that hides each of them behind noise."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._core.body import Body
from .._core.flow import Flow
from .._core.keys import as_key
from .._core.numerics import real_dtype_of
from .._core.reduce import Split, fold_in_shard
from .._core.transformation import GradientTransformation, from_body, transformation
from .._core.wrap import as_abstract_as, check_state
from ..typing import Key, NonNegative, NonNegativeInt
from .examples import clip_factors, example_arrays, square_norms, weighted_sum


class DifferentiallyPrivateAggregateState(NamedTuple):
    """The key that the noise of all further steps is drawn from."""

    rng_key: Key


@dataclasses.dataclass(eq=False)
class _PrivateAggregate(Body):
    """The mean of clipped gradients of single examples, with noise.

    Attributes:
        name: The constructor's name.
        limit: Largest norm of the gradient of one example.
        multiplier: Standard deviation of the noise in units of that.
        key: The first key.
    """

    name: str
    limit: Any
    multiplier: Any
    key: jax.Array
    any_shape = True

    def init(self, flow: Flow) -> Any:
        return DifferentiallyPrivateAggregateState(as_abstract_as(flow, jnp.copy(self.key)))

    def update(self, flow: Flow, state: Any) -> Any:
        state = check_state(self.name, DifferentiallyPrivateAggregateState, state)
        flow.check_shapes(of_examples=True)
        flow.noise_by = self.name
        next_key, key = jax.random.split(state.rng_key)
        given = [g if on else None for g, on in zip(flow.leaves, flow.trainable, strict=True)]
        arrays = example_arrays(self.name, flow.tree, given)
        if arrays:
            squares = [square_norms(g, flow.splits[i]) for i, g in arrays.items()]
            factors = clip_factors(squares, _number(self.limit))
            numbers = (_number(self.limit), _number(self.multiplier))
            for i, g in arrays.items():
                leaf_key = (key, flow.leaf_ids[i])
                mean = _noisy_mean(g, factors, numbers, leaf_key, flow.splits[i])
                dtype = flow.out_dtype(i)
                flow.leaves[i] = mean if dtype is None else mean.astype(dtype)
        return DifferentiallyPrivateAggregateState(next_key)


def _number(x: Any) -> jax.Array:
    """A number as a strong array, so that another one costs no trace."""
    return jnp.asarray(x).astype(jnp.result_type(float))


@functools.partial(jax.jit, static_argnums=4)
def _noisy_mean(
    g: jax.Array, factors: jax.Array, numbers: tuple, leaf_key: tuple, split: Split | None
) -> jax.Array:
    total = weighted_sum(g, factors)
    limit, multiplier = numbers
    scale = (limit * multiplier).astype(real_dtype_of(total.dtype))
    key = fold_in_shard(jax.random.fold_in(*leaf_key), split)
    noise = jax.random.normal(key, total.shape, total.dtype)
    if jnp.iscomplexobj(total):
        # Of jax.random each part has variance 1/2; here each is a coordinate to be hidden.
        noise = noise * jnp.asarray(math.sqrt(2), total.dtype)
    return (total + scale.astype(total.dtype) * noise) / len(factors)


@transformation
def differentially_private_aggregate(
    l2_norm_clip: NonNegative,
    noise_multiplier: NonNegative,
    key: Any = None,
    *,
    seed: NonNegativeInt | None = None,
) -> GradientTransformation:
    """Average gradients of single examples so that none of them can be told from the result.

    With g_i the gradient of example i of B, its norm over all arrays, C = l2_norm_clip and
    s = noise_multiplier:

        u = (sum_i g_i min(1, C / norm(g_i)) + s C n) / B, n standard normal

    The updates that go in have a leading axis of examples, those of
    `jax.vmap(jax.grad(loss), (None, 0))(params, batch)`; what comes out, and all state, has not. So
    it is the first in its chain, and an update is one of the whole batch: over several the noise
    would add up. Where a batch is too large for all its gradients at once, average clipped ones by
    `gradtx.microbatching.micro_grad`, and `add_noise((s * C / B) ** 2, 0.0, key)` adds the noise.

    The n of a leaf at a step depends on the key, the number of the step and the path of the leaf
    alone. In a complex array both parts have noise of standard deviation s C.

    Shapes: (B, *shape) for a parameter of `shape`, with one B for all arrays.
    Units: `l2_norm_clip` is in units of the gradient of one example; `noise_multiplier` has none.

    Args:
        l2_norm_clip: Largest norm of the gradient of one example, in [0, inf).
        noise_multiplier: Standard deviation of the noise in units of that, in [0, inf).
        key: A key of `jax.random`, or an integer to make one from. Who knows it can subtract the
            noise.
        seed: The same as an integer `key`; exactly one of them must be given.

    Returns:
        The transformation, with a `DifferentiallyPrivateAggregateState`.

    Raises:
        ValueError: If both `key` and `seed` are given or none of them, or an argument is outside
            its range; on update, if the arrays do not have a first axis of one length.
        TypeError: If `key` is neither a key nor an integer.

    Source: Abadi et al. 2016, https://arxiv.org/abs/1607.00133, Algorithm 1, with B for L.
    """
    name = "differentially_private_aggregate"
    if (key is None) == (seed is None):
        raise ValueError(
            f"{name}: exactly one of `key` and `seed` must be given, but they are {key} and {seed}."
        )
    chosen = as_key(f"{name}: `key`", seed if key is None else key)
    return from_body(_PrivateAggregate(name, l2_norm_clip, noise_multiplier, chosen))
