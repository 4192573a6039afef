"""Differential privacy in two parts, so that an accumulation can stand between them."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._core.body import Body
from .._core.flow import Flow
from .._core.keys import as_key
from .._core.numerics import safe_increment
from .._core.rule import Rule
from .._core.state import EmptyState
from .._core.transformation import GradientTransformation, from_body, lift, transformation
from .._core.wrap import check_state
from ..typing import Clock, Key, NonNegative, NonNegativeInt
from .examples import clip_factors, example_arrays, square_norms, weighted_sum


class AddPrivateNoiseState(NamedTuple):
    """Step count, and the key that all noise is drawn from."""

    count: Clock
    rng_key: Key


@dataclasses.dataclass(eq=False)
class _ClipPerExample(Body):
    """The mean of clipped gradients of single examples.

    Attributes:
        name: The constructor's name.
        limit: Largest norm of the gradient of one example.
    """

    name: str
    limit: Any
    any_shape = True
    absolute = True

    def init(self, flow: Flow) -> Any:
        del flow
        return EmptyState()

    def update(self, flow: Flow, state: Any) -> Any:
        check_state(self.name, EmptyState, state)
        if "weight" in flow.extra:
            raise TypeError(
                f"{self.name}: `weight` must not be given: a micro-batch counts by its number of "
                "examples, which the noise is measured against."
            )
        flow.check_shapes(of_examples=True)
        given = [g if on else None for g, on in zip(flow.leaves, flow.trainable, strict=True)]
        arrays = example_arrays(self.name, flow.tree, given)
        if not arrays:
            return state
        squares = [square_norms(g, flow.splits[i]) for i, g in arrays.items()]
        factors = clip_factors(squares, jnp.asarray(self.limit).astype(float))
        for i, g in arrays.items():
            mean = weighted_sum(g, factors) / len(factors)
            dtype = flow.out_dtype(i)
            flow.leaves[i] = mean if dtype is None else mean.astype(dtype)
        flow.extra = {**flow.extra, "weight": len(factors)}
        return state


@transformation
def clip_per_example(l2_norm_clip: NonNegative) -> GradientTransformation:
    """Average gradients of single examples, each scaled down to a norm.

    With g_i the gradient of example i of B, its norm over all arrays, and C = l2_norm_clip:

        u = sum_i g_i min(1, C / norm(g_i)) / B

    It is the first half of `differentially_private_aggregate`, and `add_private_noise` the second.
    In the rest of its chain it says how many examples went in, as the extra argument `weight`:
    `accumulate` weighs micro-batches by it, and `add_private_noise` divides by it.

    Shapes: (B, *shape) for a parameter of `shape` go in, with one B for all arrays.
    Units: `l2_norm_clip` is in units of the gradient of one example.

    Args:
        l2_norm_clip: Largest norm of the gradient of one example, in [0, inf).

    Returns:
        The transformation, without state.

    Raises:
        ValueError: If `l2_norm_clip` is outside its range; on update, if the arrays do not have a
            first axis of one length.
        TypeError: On update, if the extra argument `weight` is given.

    Source: Abadi et al. 2016, https://arxiv.org/abs/1607.00133, Algorithm 1, with B for L.
    """
    return from_body(_ClipPerExample("clip_per_example", l2_norm_clip))


@transformation
def add_private_noise(
    l2_norm_clip: NonNegative,
    noise_multiplier: NonNegative,
    key: Any = None,
    *,
    seed: NonNegativeInt | None = None,
) -> GradientTransformation:
    """Add the noise that hides each of the clipped gradients in a mean.

    For each array g, a mean over B examples whose gradients were clipped to C = l2_norm_clip, with
    s = noise_multiplier:

        u = g + s C / B * n, n standard normal

    B is the extra argument `weight`, the number of examples in the step. `clip_per_example` says
    it in its chain, and `accumulate` adds it up over micro-batches, so that in

        chain(clip_per_example(C), accumulate(chain(add_private_noise(C, s, key), ...), k))

    the noise is drawn once for a step and is that of the one large batch, also for a short group.
    The n of a leaf at a step depends on the key, the step and the path of the leaf alone. In a
    complex array both parts have noise of standard deviation s C / B.

    Shapes: any.
    Units: `l2_norm_clip` is in units of the gradient of one example; `noise_multiplier` has none.

    Args:
        l2_norm_clip: The largest norm that the gradient of one example had, in [0, inf).
        noise_multiplier: Standard deviation of the noise of the sum in units of that, in [0, inf).
        key: A key of `jax.random`, or an integer to make one from. Who knows it can subtract the
            noise.
        seed: The same as an integer `key`; exactly one of them must be given.

    Returns:
        The transformation, with an `AddPrivateNoiseState`.

    Raises:
        ValueError: If both `key` and `seed` are given or none of them, or an argument is outside
            its range.
        TypeError: If `key` is neither a key nor an integer; on update, without `weight`.

    Source: Abadi et al. 2016, https://arxiv.org/abs/1607.00133, Algorithm 1, with B for L.
    """
    name = "add_private_noise"
    if (key is None) == (seed is None):
        raise ValueError(
            f"{name}: exactly one of `key` and `seed` must be given, but they are {key} and {seed}."
        )
    chosen = as_key(f"{name}: `key`", seed if key is None else key)
    return lift(
        _ADD_PRIVATE_NOISE,
        l2_norm_clip=l2_norm_clip,
        noise_multiplier=noise_multiplier,
        start={"rng_key": chosen},
    )


def _private_scale(state, h, extra):
    t = safe_increment(state.count)
    scale = h.l2_norm_clip * h.noise_multiplier / extra.weight.astype(h.l2_norm_clip.dtype)
    key = jax.random.fold_in(state.rng_key, t)
    return {"scale": scale, "key": key}, state._replace(count=t)


def _add_private_noise(g, state, p, h):
    noise = jax.random.normal(h.key, g.shape, g.dtype)
    if jnp.iscomplexobj(g):
        # Of jax.random each part has variance 1/2; here each is a coordinate to be hidden.
        noise = noise * jnp.asarray(math.sqrt(2), g.dtype)
    return g + h.scale * noise, state


_ADD_PRIVATE_NOISE = Rule(
    _add_private_noise,
    state=AddPrivateNoiseState,
    shared=_private_scale,
    extras=("weight",),
    random=True,
)
