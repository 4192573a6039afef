"""Clipping: bound the updates by value, by norm, or relative to the parameters."""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from .._core.numerics import magnitude, root
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from ..typing import NonNegative, Threshold
from .norms import measure_square_norm, norm, root_mean_square, scale_by_factor, shrinking
from .units import unit_norm


@transformation
def clip(max_delta: Threshold) -> GradientTransformation:
    """Bound every entry.

    For each entry g:

        u = min(max(g, -max_delta), max_delta)

    and of a complex entry the magnitude is bounded, its phase stays.

    Shapes: any.
    Units: `max_delta` is in units of the gradient.

    Args:
        max_delta: Largest magnitude of an entry, in [0, inf].

    Returns:
        The transformation, without state.

    Raises:
        ValueError: If `max_delta` is negative or nan.
    """
    return lift(_CLIP, max_delta=max_delta)


def _clip_entries(g, state, p, h):
    if jnp.iscomplexobj(g):
        return g * shrinking(magnitude(g), h.max_delta), state
    return jnp.clip(g, -h.max_delta, h.max_delta), state


_CLIP = Rule(_clip_entries, absolute=True, keeps_zero=True)


@transformation
def clip_by_global_norm(
    max_norm: Threshold, *, scope: Literal["all", "group"] | None = None
) -> GradientTransformation:
    """Scale the whole tree down so that its norm is at most `max_norm`.

    With n = sqrt(sum over all arrays of sum |g|^2):

        u = g * min(1, max_norm / n)

    Inside `groups` and `trainable` n is over the arrays of all groups, as their gradients came to
    the groups; frozen ones do not count. So it must come first there: if the updates of its group
    have been changed before, those of the others are not known as they would be, and it raises.
    Inside `partition` and `masked` n is over the arrays of its own group, as in Optax.

    Where n is inf or nan the factor is 0, unless `max_norm` is inf: what is finite rests, and what
    is not comes out as nan. So a gradient that is not finite moves no other array, and a guard
    around or behind the clip, or the one of its group, still sees it. That n is also inf where the
    squares of finite gradients add up to more than float32 holds, from n = 1.8e19 on, shows in the
    metrics `grad_norm` and `clip_scale`; `guard` with `spikes` skips such steps and counts them.

    Shapes: any. The norm is one number for the whole tree, taken in float32 or wider. Inside
        `jax.shard_map` it is that of the shard, unless in `gradtx.sharding.sharded`.
    Units: `max_norm` is in units of the gradient.

    Args:
        max_norm: Largest norm, in [0, inf]; at inf nothing is clipped.
        scope: Inside groups of parameters, which arrays n is over: "all" for those of all groups,
            also in `partition` and `masked`; "group" for those of the group alone; None to have
            that decided by what made the groups. Outside of groups it changes nothing.

    Returns:
        The transformation, without state. It reports its factor as "clip_scale".

    Raises:
        ValueError: If `max_norm` is negative or nan, or `scope` none of these; on init or update,
            if n is over several groups and it does not come first.

    Source: Pascanu, Mikolov, Bengio 2013, https://arxiv.org/abs/1211.5063, Algorithm 1.
    Differs: from Optax and PyTorch, where all arrays become nan where n is nan. In groups that
        would get past the guards of those whose gradients are finite.
    """
    if scope not in _SCOPES:
        raise ValueError(
            f'clip_by_global_norm: `scope` must be "all", "group" or None, but is {scope!r}.'
        )
    return lift(_SCOPES[scope], max_norm=max_norm)


def _clipping_factor(totals, state, h):
    return {"factor": shrinking(root(totals.square_norm), h.max_norm)}, state


_CLIP_BY_GLOBAL_NORM = Rule(
    scale_by_factor,
    measure=measure_square_norm,
    conclude=_clipping_factor,
    everywhere=None,
    absolute=True,
    keeps_zero=True,
    reports=(("clip_scale", "factor"),),
)
_SCOPES = {
    None: _CLIP_BY_GLOBAL_NORM,
    "all": dataclasses.replace(_CLIP_BY_GLOBAL_NORM, everywhere=True),
    "group": dataclasses.replace(_CLIP_BY_GLOBAL_NORM, everywhere=False),
}


@transformation
def clip_by_block_norm(max_norm: Threshold) -> GradientTransformation:
    """Scale each array down so that its own norm is at most `max_norm`.

    For each array g:

        u = g * min(1, max_norm / sqrt(sum |g|^2))

    Shapes: any.
    Units: `max_norm` is in units of the gradient, times the root of the number of entries.

    Args:
        max_norm: Largest norm of an array, in [0, inf].

    Returns:
        The transformation, without state.

    Raises:
        ValueError: If `max_norm` is negative or nan.
    """
    return lift(_CLIP_BY_BLOCK_NORM, max_norm=max_norm)


def _clip_block_norm(g, state, p, h):
    return g * shrinking(norm(g), h.max_norm), state


_CLIP_BY_BLOCK_NORM = Rule(_clip_block_norm, absolute=True, keeps_zero=True)


@transformation
def clip_by_block_rms(threshold: Threshold) -> GradientTransformation:
    """Scale each array down so that its root mean square is at most `threshold`.

    For each array g:

        u = g * min(1, threshold / sqrt(mean |g|^2))

    Shapes: any.
    Units: `threshold` is in units of the gradient, whatever the size of the array.

    Args:
        threshold: Largest root mean square of an array, in [0, inf].

    Returns:
        The transformation, without state.

    Raises:
        ValueError: If `threshold` is negative or nan.

    Source: Shazeer, Stern 2018, https://arxiv.org/abs/1804.04235, section 6.
    """
    return lift(_CLIP_BY_BLOCK_RMS, threshold=threshold)


def _clip_block_rms(g, state, p, h):
    return g * shrinking(root_mean_square(g), h.threshold), state


_CLIP_BY_BLOCK_RMS = Rule(_clip_block_rms, absolute=True, keeps_zero=True)


@transformation
def adaptive_grad_clip(
    clipping: NonNegative,
    eps: NonNegative = 1e-3,
    axis: int | tuple[int, ...] | None = None,
) -> GradientTransformation:
    """Bound the gradient of each unit relative to the norm of its weights.

    A unit is what remains when the array is cut along the axes that are not reduced. With norms
    over the entries of a unit, of the gradient g and of the parameter p:

        u = g * min(1, clipping * max(norm(p), eps) / norm(g))

    Shapes: an array with at most one axis longer than 1 is one unit; with 2 or 3 axes the norm is
        over the first (Flax's dense and attention kernels), with 4 or 5 over all but the last
        (convolution kernels). Other arrays need `axis`.
    Units: `clipping` has none; `eps` is in units of the parameter.

    Args:
        clipping: Largest norm of a unit's gradient in norms of its weights, in [0, inf).
        eps: Weights of a smaller norm count as having this one, so that zero weights can move,
            in [0, inf).
        axis: The axis or axes over which norms are taken, the same for all arrays; None for the
            choice by shape above.

    Returns:
        The transformation, without state. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range; on update, if an array has more than 5
            axes and `axis` is None.

    Source: Brock, De, Smith, Simonyan 2021, https://arxiv.org/abs/2102.06171, equation 3.
    """
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else axis
    return lift(_ADAPTIVE_GRAD_CLIP, clipping=clipping, eps=eps, static={"axis": axes})


def _clip_units(g, state, p, h):
    limit = h.clipping * jnp.maximum(unit_norm(p, h.axis), h.eps)
    return g * shrinking(unit_norm(g, h.axis), limit), state


_ADAPTIVE_GRAD_CLIP = Rule(_clip_units, params=True, absolute=True, keeps_zero=True)
