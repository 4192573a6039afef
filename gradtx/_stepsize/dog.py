"""DoG: the longest distance travelled over the root of all squared gradients."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._core.arguments import check_arguments
from .._core.numerics import divide, real_dtype_of, root, scaled
from .._core.rule import Rule
from .._core.transformation import GradientTransformation, lift, transformation
from .._parts.norms import norm, scale_by_factor, square_norm
from ..typing import DType, NonNegative, Numeric, PerParam, PerParamReduced, Real, Scalar
from .common import keep_start, measure_distance, start_at

InitStep = tuple[Literal["distance", "learning_rate", "heuristic"], Numeric]
_KINDS = ("distance", "learning_rate", "heuristic")


class DoGState(NamedTuple):
    """Whether no step was made yet; the start; longest distance; sum of squared gradients."""

    is_init_step: Scalar
    init_params: PerParam
    max_dist: Scalar
    sum_sq_norm_grads: Scalar


class ScaleByDistanceOverGradientsState(NamedTuple):
    """For each array its longest distance, its sum of squared gradients, its start."""

    max_dist: PerParamReduced
    grad_sum_of_squares: PerParamReduced
    init_params: PerParam


def _measure_way(g, state, p, h):
    measures = measure_distance(g, state, p, h)
    if h.kind == "heuristic":
        measures["square_start"] = square_norm(state.init_params)
    return measures


def _distance_over_gradients(totals, state, h):
    distance = state.max_dist
    if h.kind == "heuristic":
        guess = h.initial * (1 + root(totals.square_start))
        distance = jnp.where(state.is_init_step, guess, distance)
    distance = jnp.maximum(distance, root(totals.square_distance))
    total = state.sum_sq_norm_grads + totals.square_norm
    rate = divide(distance, root(total + h.eps))
    if h.kind == "learning_rate":
        rate = jnp.where(state.is_init_step | (distance == 0), h.initial, rate)
    state = state._replace(
        is_init_step=jnp.zeros([], bool), max_dist=distance, sum_sq_norm_grads=total
    )
    return {"factor": rate}, state


_DOG = Rule(
    scale_by_factor,
    state=DoGState,
    init=keep_start,
    measure=_measure_way,
    conclude=_distance_over_gradients,
    reports=(("step_size", "factor"),),
    params=True,
)


def _layer_start(p, h):
    return {
        "max_dist": h.reps_rel * (1 + norm(p)),
        "grad_sum_of_squares": jnp.zeros([], real_dtype_of(p.dtype)),
        "init_params": p,
    }


def _layer_distance_over_gradients(g, state, p, h):
    distance = jnp.maximum(state.max_dist, norm(p - state.init_params))
    total = state.grad_sum_of_squares + square_norm(g)
    rate = h.global_scale * divide(distance, root(total + h.eps))
    return scaled(g, rate), state._replace(max_dist=distance, grad_sum_of_squares=total)


_LAYERWISE = Rule(
    _layer_distance_over_gradients,
    state=ScaleByDistanceOverGradientsState,
    init=_layer_start,
    params=True,
)


@transformation
def scale_by_dog(
    init_step: InitStep = ("heuristic", 1e-6), eps: NonNegative = 1e-8
) -> GradientTransformation:
    """Scale by the longest distance from the start over the root of all squared gradients.

    With sums over all arrays, p_0 the parameters at `init`, G = 0 before, and d the first distance
    below:

        d = max(d, sqrt(sum |p - p_0|^2))
        G = G + sum |g|^2
        u = d / sqrt(G + eps) g

    `init_step` says how the first step, where p is p_0, gets its length:

    - ("distance", r): d = r before.
    - ("heuristic", a): d = a (1 + sqrt(sum |p_0|^2)) before. The paper has 1e-6, and 1e-4 for
      networks with batch normalisation.
    - ("learning_rate", r): d = 0 before, and u = r g until a parameter has moved.

    Shapes: p_0 is shaped like the parameters and kept in float32 or wider: the state costs a copy
        of them. All else is one number for the whole tree.
    Units: u is in units of the parameters; r in ("distance", r), too.

    Args:
        init_step: A pair of "distance", "heuristic" or "learning_rate", and a number in [0, inf).
        eps: Added under the root, in [0, inf), in units of the squared gradient.

    Returns:
        The transformation, with a `DoGState`. Its update needs the parameters.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If `init_step` is no such pair.

    Source: Ivgi, Hinder, Carmon 2023, https://arxiv.org/abs/2302.12022, equations 2 and 3.
    Differs: where no gradient was seen, u is 0, also if eps is 0. Unlike Optax's, the heuristic
        distance is taken on the first update, so that `init` needs shapes only, and with
        "learning_rate" a first gradient of zero does not end the run.
    """
    kind, initial = _checked(init_step)
    return lift(
        _DOG,
        static={"kind": kind},
        start={
            "is_init_step": np.ones([], bool),
            "max_dist": start_at(initial if kind == "distance" else 0.0),
            "sum_sq_norm_grads": start_at(0.0),
        },
        initial=initial,
        eps=eps,
    )


def _checked(init_step: InitStep) -> InitStep:
    is_pair = isinstance(init_step, (tuple, list)) and len(init_step) == 2
    if not is_pair or init_step[0] not in _KINDS:
        raise TypeError(
            f"dog: `init_step` must be a pair of one of {', '.join(map(repr, _KINDS))} and a "
            f"number, but is {init_step!r}."
        )
    check_arguments("dog", {"init_step[1]": NonNegative}, {"init_step[1]": init_step[1]})
    return init_step[0], init_step[1]


@transformation
def scale_by_distance_over_gradients(
    reps_rel: NonNegative = 1e-6,
    eps: NonNegative = 1e-8,
    param_dtype: DType | None = None,
    global_scale: Real = 1.0,
) -> GradientTransformation:
    """Scale each array by its longest distance from the start over the root of its squares: L-DoG.

    For each array g and its parameter p, with p_0 the parameter at `init`, G = 0 and
    d = reps_rel (1 + sqrt(sum |p_0|^2)) before:

        d = max(d, sqrt(sum |p - p_0|^2))
        G = G + sum |g|^2
        u = global_scale d / sqrt(G + eps) g

    Shapes: p_0 is shaped like g: the state costs a copy of the parameters, and two numbers for each
        array.
    Units: u is in units of the parameters.

    Args:
        reps_rel: First distance relative to 1 and the norm of an array, in [0, inf). The paper has
            1e-6, and 1e-4 for networks with batch normalisation.
        eps: Added under the root, in [0, inf), in units of the squared gradient.
        param_dtype: Dtype in which p_0 is stored; None for float32 or wider. Where it is narrower
            than that of the parameters, what is rounded off counts as distance.
        global_scale: A number; -1 makes it a descent.

    Returns:
        The transformation, with a `ScaleByDistanceOverGradientsState`. Its update needs the
        parameters.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Ivgi, Hinder, Carmon 2023, https://arxiv.org/abs/2302.12022, section 3.3.
    Differs: where no gradient was seen, u is 0, also if eps is 0.
    """
    return lift(
        _LAYERWISE,
        reps_rel=reps_rel,
        eps=eps,
        global_scale=global_scale,
        dtypes={"init_params": param_dtype},
    )
